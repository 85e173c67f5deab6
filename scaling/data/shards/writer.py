"""Writing of shards, into a local folder or straight into a bucket: hashed and written while the next are computed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import queue
import threading
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from scaling.config.os_errors import name_file
from scaling.data.shards.manifest import SPLITS, Shard
from scaling.data.shards.token_file import mark_verified
from scaling.store.files import process_exists, write_atomic
from scaling.store.origin.anonymous import is_this_host
from scaling.store.origin.machine import machine_alias
from scaling.store.remote.files import RemoteFiles

BLOCK_BYTES = 1 << 25  # of an upload: at 100 MB/s longer than the latency of a request, and bounded memory
CHUNK_BYTES = 1 << 22  # handed to the thread that hashes and writes
PENDING_CHUNKS = 4  # that wait for this thread
PARTIAL = ".writing-"  # in the name of a local file before it is complete


class ShardFolder:
    """A folder of shards: a local one, or one at an address that fsspec knows.

    A file is there with its whole content or not at all: local files are renamed when they are complete, and object
    stores show an object when its upload has ended.

    Attributes:
        address: The folder or address.
        remote: The files at the address; None for a local folder.
    """

    def __init__(self, address: str) -> None:
        """Opens the folder.

        Args:
            address: The folder or address.

        Raises:
            StoreError: No installed package can open the address.
        """
        self.address = address.rstrip("/")
        self.remote = RemoteFiles(self.address) if "://" in address else None

    def read(self, names: list[str]) -> dict[str, bytes]:
        """Reads those of the files that exist.

        Args:
            names: Names of the files.
        """
        if self.remote is not None:
            return self.remote.read_existing(names)
        paths = {name: Path(self.address) / name for name in names}
        return {name: path.read_bytes() for name, path in paths.items() if path.is_file()}

    def write(self, name: str, data: bytes) -> None:
        """Writes a small file, replacing it if it exists.

        Args:
            name: Its name.
            data: Its content.
        """
        if self.remote is not None:
            self.remote.write(name, data)
        else:
            write_atomic(Path(self.address) / name, data)

    def sizes(self) -> dict[str, int]:
        """Returns the bytes of each file by its name."""
        if self.remote is not None:
            return self.remote.sizes()
        with contextlib.suppress(FileNotFoundError):
            return {entry.name: entry.stat().st_size for entry in os.scandir(self.address) if entry.is_file()}
        return {}

    def remove_partial_files(self) -> None:
        """Removes the local files of processes of this machine that have ended before they completed them."""
        if self.remote is not None:
            return
        for path in Path(self.address).glob(f".*{PARTIAL}*"):
            host, _, pid = path.name.rpartition(PARTIAL)[2].rpartition("-")
            if is_this_host(host) and pid.isdecimal() and not process_exists(int(pid)):
                path.unlink(missing_ok=True)


class ShardWriter:
    """Writes one shard; its thread hashes and writes while the next tokens are computed.

    Attributes:
        split: `train` or `validation`.
        name: Name of the file.
        tokens: Tokens so far.
    """

    def __init__(self, folder: ShardFolder, split: str, name: str, dtype: str) -> None:
        """Starts the shard.

        Args:
            folder: Where it is written.
            split: Its split.
            name: Name of the file.
            dtype: NumPy type of a token.
        """
        self.split, self.name, self.tokens = split, name, 0
        self._folder, self._dtype = folder, dtype
        self._digest, self._error = hashlib.sha256(), cast("BaseException | None", None)
        self._queue: queue.Queue[memoryview | None] = queue.Queue(PENDING_CHUNKS)
        self._file = self._open()
        self._thread = threading.Thread(target=self._write_chunks, daemon=True)
        self._thread.start()

    def append(self, tokens: np.ndarray) -> None:
        """Appends tokens; OSError where earlier ones could not be written.

        Args:
            tokens: Tokens of the vocabulary.
        """
        if not len(tokens):
            return
        data = np.ascontiguousarray(tokens, self._dtype).data.cast("B")
        for start in range(0, len(data), CHUNK_BYTES):
            self._queue.put(data[start : start + CHUNK_BYTES])
        self.tokens += len(tokens)
        self._raise_error()

    def finish(self) -> Shard:
        """Completes the file and returns the shard; OSError where it could not be written."""
        self._queue.put(None)
        self._thread.join()
        self._raise_error()
        with self._errors():
            if self._folder.remote is None:
                self._file.flush()
                os.fsync(self._file.fileno())
            self._file.close()
            if self._folder.remote is None:
                path = Path(self._folder.address) / self.name
                os.replace(self._partial, path)
                mark_verified(path)  # its hash is known
        return Shard(self.split, self.name, self.tokens, self._digest.hexdigest())

    def discard(self) -> None:
        """Ends the thread and removes the incomplete file."""
        self._error = self._error or InterruptedError()
        self._queue.put(None)
        self._thread.join()
        if self._folder.remote is not None:
            with contextlib.suppress(AttributeError):  # closed, an upload of fsspec would appear as a complete object
                cast(Any, self._file).closed = True
            return
        with contextlib.suppress(OSError):
            self._file.close()
        self._partial.unlink(missing_ok=True)

    @property
    def _partial(self) -> Path:
        return Path(self._folder.address) / f".{self.name}{PARTIAL}{machine_alias()}-{os.getpid()}"

    def _open(self) -> BinaryIO:
        with self._errors():
            if self._folder.remote is not None:
                return self._folder.remote.open_writer(self.name, BLOCK_BYTES)
            self._partial.parent.mkdir(parents=True, exist_ok=True)
            return self._partial.open("wb")

    def _errors(self) -> contextlib.AbstractContextManager[None]:
        remote = self._folder.remote
        return name_file(Path(self._folder.address) / self.name) if remote is None else remote.os_errors(self.name)

    def _write_chunks(self) -> None:
        while (chunk := self._queue.get()) is not None:
            if self._error is not None:
                continue  # takes what is appended until `append` raises the error
            try:
                with self._errors():
                    self._file.write(chunk)
                self._digest.update(chunk)
            except Exception as error:
                self._error = error

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error


class SegmentWriter:
    """Writes a shard of each split that has tokens; shards of one segment are completed together.

    Attributes:
        train, validation: Tokens so far.
    """

    def __init__(self, folder: ShardFolder, suffix: str, dtype: str) -> None:
        """Starts the segment.

        Args:
            folder: Where its shards are written.
            suffix: Part of their names that follows the split.
            dtype: NumPy type of a token.
        """
        self._folder, self._suffix, self._dtype = folder, suffix, dtype
        self._writers: dict[str, ShardWriter] = {}

    def append(self, split: str, arrays: list[np.ndarray]) -> None:
        """Appends tokens to a split.

        Args:
            split: `train` or `validation`.
            arrays: Arrays of tokens.
        """
        if not arrays:
            return
        if split not in self._writers:
            name = f"{split}-{self._suffix}.bin"
            self._writers[split] = ShardWriter(self._folder, split, name, self._dtype)
        self._writers[split].append(np.concatenate(arrays))

    def finish(self) -> list[Shard]:
        """Completes the shards and returns them in the order of SPLITS."""
        return [self._writers[split].finish() for split in SPLITS if split in self._writers]

    def discard(self) -> None:
        """Removes the incomplete shards."""
        for writer in self._writers.values():
            writer.discard()

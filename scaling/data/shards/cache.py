"""A bounded cache of pieces of shards on a host's disk, shared by its processes.

A piece is one file: its bytes, then the SHA-256 of its name and its bytes. The hash is computed when the piece arrives,
and checked when a process first reads this state of the file; a piece that fails it is removed and fetched again. A new
piece is written under a lock, after the pieces that were read longest ago are removed, so that the files together never
exceed the limit, whatever the number of processes. A reader needs no lock: a file removed while it is read stays
readable.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import mmap
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from scaling.config.text import printable
from scaling.store.files import user_cache_folder
from scaling.store.origin.clock import time_of_day

SUFFIX = ".piece"
DIGEST_BYTES = 32
LOCK_FILE, SIZE_FILE = "lock", "size"
SPARE_SHARE = 0.05  # of the limit: freed beyond the need of a new piece, so that not every piece lists the folder


def default_folder() -> Path:
    """Returns the folder of pieces in the user's cache."""
    return user_cache_folder() / "tokens"


class PieceCache:
    """Pieces of shards by name.

    Attributes:
        folder: Folder of the files.
        limit: Largest number of bytes of all files together.
        is_full: Whether the disk refused a piece; then nothing more is written.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit, self.is_full = folder, limit, False
        self._verified: dict[str, tuple[int, ...]] = {}  # name -> state of the file that matched its hash

    def contains(self, name: str) -> bool:
        """Whether a piece is stored; it may be damaged, or be removed before it is read."""
        return self._path(name).exists()

    def read(self, name: str) -> np.ndarray | None:
        """Returns the bytes of a piece, uint8 (n,), mapped; None where it is not stored or was damaged."""
        path = self._path(name)
        try:
            with path.open("rb") as file:
                stat = os.fstat(file.fileno())
                if stat.st_size <= DIGEST_BYTES:
                    raise ValueError
                data = np.frombuffer(mmap.mmap(file.fileno(), stat.st_size, access=mmap.ACCESS_READ), np.uint8)
            state = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
            if self._verified.get(name) != state:
                if _digest(name, data[:-DIGEST_BYTES]) != data[-DIGEST_BYTES:].tobytes():
                    raise ValueError
                self._verified[name] = state
            with contextlib.suppress(OSError):  # removed by another process meanwhile
                now = int(time_of_day() * 1e9)  # whatever the file system's option for access times says
                os.utime(path, ns=(now, stat.st_mtime_ns))
        except ValueError:
            print(printable(f"{path}: damaged piece of a cache, fetched again"), file=sys.stderr)
            path.unlink(missing_ok=True)
            return None
        except OSError:
            return None
        return data[:-DIGEST_BYTES]

    def store(self, name: str, data: np.ndarray) -> None:
        """Stores a piece, unless it is larger than the limit; removes the pieces that were read longest ago.

        Args:
            name: Name of the piece.
            data: Its bytes, contiguous.
        """
        size = data.nbytes + DIGEST_BYTES
        if size > self.limit or self.is_full:
            return
        digest = _digest(name, data)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._lock():
                if self.contains(name):  # another process was faster
                    return
                total = self._size()
                if total + size > self.limit:
                    total = self._evict(self.limit - size)
                (self.folder / SIZE_FILE).write_text(str(total + size))
                part = self.folder / f"{name}.part"
                with part.open("wb") as file:
                    file.write(data.data)
                    file.write(digest)
                os.replace(part, self._path(name))
        except OSError as error:  # such as a full disk: the run goes on without storing
            self.is_full = True
            reason = error.strerror or str(error)
            print(
                printable(f"{self.folder}: cannot store pieces of tokens: {reason}: they are read again"),
                file=sys.stderr,
            )

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}{SUFFIX}"

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        with (self.folder / LOCK_FILE).open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _size(self) -> int:
        """Returns the bytes stored as last noted: never too few, and too many after a process was killed here."""
        try:
            return int((self.folder / SIZE_FILE).read_text())
        except (OSError, ValueError):
            return sum(size for _, size, _ in self._files())

    def _files(self) -> list[tuple[int, int, str]]:
        """Returns last use, size and path of each piece; removes what a killed process left half written."""
        files = []
        for entry in os.scandir(self.folder):
            if entry.name.endswith(".part"):  # they are written under the lock, which this process has
                os.unlink(entry.path)
            elif entry.name.endswith(SUFFIX):
                with contextlib.suppress(FileNotFoundError):
                    stat = entry.stat()
                    files.append((stat.st_atime_ns, stat.st_size, entry.path))
        return sorted(files)

    def _evict(self, most: int) -> int:
        """Removes the pieces that were read longest ago until at most `most` bytes are left; returns the bytes left."""
        files = self._files()
        total = sum(size for _, size, _ in files)
        for _, size, path in files:
            if total <= max(most - int(SPARE_SHARE * self.limit), 0):
                break
            Path(path).unlink(missing_ok=True)
            total -= size
        return total


def _digest(name: str, data: np.ndarray) -> bytes:
    digest = hashlib.sha256(name.encode())
    digest.update(data.data)
    return digest.digest()

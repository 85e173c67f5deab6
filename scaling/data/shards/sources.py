"""Where the bytes of shards come from: files of this machine, or range requests to an object store."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from scaling.config.validation import one_line
from scaling.data.shards.manifest import Shard
from scaling.data.shards.token_file import CorpusError, is_verified, mark_verified, sha256_of

ATTEMPTS = 6  # of a request that a server refuses or cuts short
FIRST_WAIT = 0.25  # seconds before the second attempt, doubled each time: 7.75 s in all
CONCURRENT_REQUESTS = 64  # of one call
PERMANENT_ERRORS = (FileNotFoundError, PermissionError)
MAPPED_FILES = 1024  # memory maps that a process keeps; Linux allows 65,530
REMEDY = "restore it from a copy, or prepare the corpus again"
Ranges = Sequence[tuple[int, int]]  # first token and the token after the last, counted from the start of the split


class Layout:
    """The position of each token of a split in its shards.

    Attributes:
        shards: The shards of the split in reading order.
        count: Tokens of the split.
    """

    def __init__(self, shards: Sequence[Shard]) -> None:
        self.shards = tuple(shards)
        self._ends = np.cumsum([shard.tokens for shard in shards], dtype=np.int64)
        self.count = int(self._ends[-1]) if len(shards) else 0

    def parts(self, start: int, stop: int) -> list[tuple[Shard, int, int]]:
        """Returns the shard, and first and last token in it, of each part of a range.

        Args:
            start: First token.
            stop: The token after the last; more than `start`.
        """
        parts = []
        first, last = np.searchsorted(self._ends, [start, stop - 1], side="right")
        for i in range(int(first), int(last) + 1):
            shard, end = self.shards[i], int(self._ends[i])
            offset = end - shard.tokens
            parts.append((shard, max(start, offset) - offset, min(stop, end) - offset))
        return parts


class LocalShards:
    """Shards in a folder of this machine, memory-mapped."""

    is_remote = False

    def __init__(self, folder: Path, layout: Layout, dtype: str) -> None:
        self.folder, self.layout, self.dtype = folder, layout, dtype
        self._map = functools.lru_cache(maxsize=MAPPED_FILES)(self._open)

    def read(self, ranges: Ranges) -> list[np.ndarray]:
        """Returns the tokens of each range."""
        out = []
        for start, stop in ranges:
            parts = [self._map(shard.name)[i:j] for shard, i, j in self.layout.parts(start, stop)]
            out.append(parts[0] if len(parts) == 1 else np.concatenate(parts))
        return out

    def _open(self, name: str) -> np.ndarray:
        try:
            return np.memmap(self.folder / name, dtype=self.dtype, mode="r")
        except (OSError, ValueError) as error:
            raise CorpusError(f"{self.folder / name}: cannot be read: {one_line(error)}: {REMEDY}") from None


def verify_shards(folder: Path, shards: Sequence[Shard], dtype: str) -> None:
    """Checks the size and the SHA-256 of shards on this machine, once for each state of a file.

    Raises:
        CorpusError: A shard is missing, cannot be read, has another size, or was altered.
    """
    itemsize = np.dtype(dtype).itemsize

    def verify(shard: Shard) -> None:
        path = folder / shard.name
        try:
            size, expected = path.stat().st_size, shard.tokens * itemsize
            if size != expected:
                raise CorpusError(f"{path}: {size} bytes where the manifest says {expected}: {REMEDY}")
            if is_verified(path):
                return
            if sha256_of(path) != shard.sha256:
                raise CorpusError(f"{path}: altered: its content does not match the manifest: {REMEDY}")
        except OSError as error:
            raise CorpusError(f"{path}: cannot be read: {error.strerror}: {REMEDY}") from None
        mark_verified(path)

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:  # hashlib works outside the interpreter's lock
        for _ in pool.map(verify, shards):
            pass


class RemoteShards:
    """Shards at an address of fsspec, read by range requests, many at once."""

    is_remote = True

    def __init__(self, address: str, layout: Layout, dtype: str) -> None:
        from scaling.store.remote.files import RemoteFiles  # here: fsspec takes time to import

        files = RemoteFiles(address)
        self.address, self.layout, self.dtype = files.name, layout, dtype
        self.fs, self._root = files.fs, files.root.rstrip("/")

    def read(self, ranges: Ranges) -> list[np.ndarray]:
        """Returns the tokens of each range.

        Raises:
            CorpusError: A shard does not exist, or the store refuses a request again and again.
        """
        answers = iter(self._fetch(self.requests(ranges)))
        counts = [len(self.layout.parts(start, stop)) for start, stop in ranges]
        parts = ([next(answers) for _ in range(count)] for count in counts)
        return [np.frombuffer(part[0] if len(part) == 1 else b"".join(part), self.dtype) for part in parts]

    def requests(self, ranges: Ranges) -> list[tuple[str, int, int]]:
        """Returns path, first byte and byte after the last of each request: one for each shard of a range."""
        itemsize = np.dtype(self.dtype).itemsize
        parts = [part for start, stop in ranges for part in self.layout.parts(start, stop)]
        return [(f"{self._root}/{shard.name}", i * itemsize, j * itemsize) for shard, i, j in parts]

    def _fetch(self, requests: Sequence[tuple[str, int, int]]) -> list[bytes]:
        """Returns the bytes of each request, which is repeated if it fails."""
        answers: dict[int, bytes] = {}
        open_requests, wait = list(range(len(requests))), FIRST_WAIT
        for attempt in range(ATTEMPTS):
            got = self.fs.cat_ranges(
                [requests[i][0] for i in open_requests],
                [requests[i][1] for i in open_requests],
                [requests[i][2] for i in open_requests],
                on_error="return",
                **({"batch_size": CONCURRENT_REQUESTS} if self.fs.async_impl else {}),
            )
            failed = []
            for i, answer in zip(open_requests, got, strict=True):
                path, first, end = requests[i]
                if isinstance(answer, bytes) and len(answer) == end - first:
                    answers[i] = answer
                    continue
                failed.append(i)
                if isinstance(answer, PERMANENT_ERRORS) or attempt == ATTEMPTS - 1:
                    name = path.rpartition("/")[2]
                    raise CorpusError(f"{self.address}/{name}: {_reason(answer, end - first)}") from None
            if not failed:
                break
            open_requests = failed
            time.sleep(wait)
            wait *= 2
        return [answers[i] for i in range(len(requests))]


def _reason(answer: object, expected: int) -> str:
    if isinstance(answer, FileNotFoundError):
        return f"does not exist: {REMEDY}"
    if isinstance(answer, PermissionError):
        return "may not be read: check the permissions of this machine"
    if isinstance(answer, bytes):
        return f"{len(answer)} bytes instead of {expected}: truncated: {REMEDY}"
    reason = one_line(answer) if isinstance(answer, Exception) else "no bytes"
    return f"cannot be read after {ATTEMPTS} attempts: {reason[:200]}"

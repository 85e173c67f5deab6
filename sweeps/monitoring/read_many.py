"""Reading of many small files: sequentially from a fast file system, concurrently from a slow one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

PROBE = 32  # files that are timed first
SLOW_SECONDS = (
    1.5e-4  # of waiting per file; measured: little in memory, twice on a cold disk, 10 ms in a mounted bucket
)
THREADS, CHUNK = 16, 512

Contents = TypeVar("Contents")


def read_all(read: Callable[[str], Contents], names: Sequence[str]) -> Iterator[Contents]:
    """Yields what `read` returns for each name, in order.

    Args:
        read: Reads the file of a name.
        names: Names of the files.
    """
    began, computed = time.perf_counter(), time.thread_time()
    yield from [read(name) for name in names[:PROBE]]
    rest = names[PROBE:]
    waited = time.perf_counter() - began - (time.thread_time() - computed)
    if waited < SLOW_SECONDS * PROBE:
        yield from map(read, rest)
        return
    with ThreadPoolExecutor(THREADS) as pool:
        for first in range(0, len(rest), CHUNK):
            yield from pool.map(read, rest[first : first + CHUNK])

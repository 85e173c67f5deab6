"""Reading very many small files: one after the other where they are near, side by side where they are far."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

PROBE = 32  # files that show how far they are
FAR = 1.5e-4  # seconds a file: in memory it takes a third of that, on a cold disk twice, in a mounted bucket ten ms
THREADS, CHUNK = 16, 512

Found = TypeVar("Found")


def each(read: Callable[[str], Found], names: Sequence[str]) -> Iterator[Found]:
    """What `read` says of each name, in order."""
    began = time.perf_counter()
    yield from [read(name) for name in names[:PROBE]]
    rest = names[PROBE:]
    if time.perf_counter() - began < FAR * PROBE:
        yield from map(read, rest)
        return
    with ThreadPoolExecutor(THREADS) as pool:
        for at in range(0, len(rest), CHUNK):
            yield from pool.map(read, rest[at : at + CHUNK])

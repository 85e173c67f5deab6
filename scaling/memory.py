"""Memory of a CPU's steps that stays with the process, for each page that is new to it costs some microseconds.

XLA takes all of a step's scratch memory as one block. Beyond 32 MiB glibc maps such a block anew at each step and the
kernel clears it page by page: a quarter of a step's time at 128 x 5 on 8 x 128 bytes (24,000 page faults a step).
As blocks of `BLOCK` bytes, and with an allocator that gives nothing back, the pages are the last step's.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any

import jax

BLOCK = 2 << 20  # bytes: measured best of 1/4 to 16 MiB, 64 x 2 to 512 x 10
TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3  # glibc's names of its settings (malloc.h)


def build(lowered: Any) -> Any:
    """The lowered program, compiled with its scratch memory in blocks where it is for a CPU."""
    options = {"xla_multiheap_size_constraint_per_heap": BLOCK} if jax.default_backend() == "cpu" else None
    return lowered.compile(compiler_options=options)


def keep() -> None:
    """Keeps what is freed for the next step; once, before threads start. Nothing where the allocator is not glibc's."""
    if sys.platform != "linux" or not hasattr(libc := ctypes.CDLL(None), "mallopt"):
        return
    libc.mallopt(TRIM_THRESHOLD, -1)  # never
    libc.mallopt(MMAP_THRESHOLD, 32 << 20)  # the most that it allows
    libc.mallopt(TOP_PAD, 64 << 20)  # a thread's heaps are of 64 MiB: none is given back that another could spare

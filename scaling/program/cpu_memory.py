"""Memory of a CPU's steps that stays with the process, for each page that is new to it costs some microseconds.

XLA takes all of a step's scratch memory as one block. Beyond 32 MiB glibc maps such a block anew at each step and the
kernel clears it page by page: a quarter of a step's time at 128 x 5 on 8 x 128 bytes (24,000 page faults a step).
As blocks of `BLOCK` bytes, and with an allocator that gives nothing back, the pages are the last step's.

Axes: B sequences, L positions, D width.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any

import jax

from scaling.program import compile_cache

BLOCK = 2 << 20  # bytes: measured best of 1/4 to 16 MiB, 64 x 2 to 512 x 10
KEPT = 32 << 20  # bytes of one block that glibc keeps by itself, once told to
# Floats of scratch memory: of width D a token and layer, and of a head a token and position it sees. Measured: 31 to 32
# of D, heads included, from 128 x 5 to 512 x 10 at L = 128.
OF_WIDTH, OF_HEADS = 30, 3
TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3  # glibc's names of its settings (malloc.h)


def scratch(*, rows: int, length: int, layers: int, width: int, heads: int) -> int:
    """Bytes of scratch memory that a step takes, roughly; rows: sequences that a device computes at once."""
    return 4 * rows * length * layers * (OF_WIDTH * width + OF_HEADS * heads * length)


def build(lowered: Any, bytes_needed: int) -> Any:
    """The lowered program, compiled with its scratch memory in blocks where it is for a CPU and needs many bytes.

    XLA cannot write such a program to the compile cache: it is compiled in each process.
    """
    if jax.default_backend() != "cpu" or bytes_needed <= KEPT:
        return lowered.compile()
    with compile_cache.nothing_kept():
        return lowered.compile(compiler_options={"xla_multiheap_size_constraint_per_heap": BLOCK})


def keep() -> None:
    """Keeps what is freed for the next step; once, before threads start. Nothing where the allocator is not glibc's."""
    if sys.platform != "linux" or not hasattr(libc := ctypes.CDLL(None), "mallopt"):
        return
    libc.mallopt(TRIM_THRESHOLD, -1)  # never
    libc.mallopt(MMAP_THRESHOLD, KEPT)  # the most that it allows
    libc.mallopt(TOP_PAD, 64 << 20)  # a thread's heaps are of 64 MiB: none is given back that another could spare

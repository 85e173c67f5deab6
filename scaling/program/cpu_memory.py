"""Reuse of the scratch memory of a CPU step in the next step, because each new page costs some microseconds.

XLA allocates all scratch memory of a step as one block. Above 32 MiB, glibc maps such a block anew at each step, and
the kernel clears it page by page: a quarter of a step's time at 128 x 5 on 8 x 128 bytes (24,000 page faults per step).
With small blocks, and an allocator that does not return memory to the system, the pages are reused.

XLA logs a line for each buffer that does not fit a block and each block that it tries: half a million lines for a
model of 100M parameters. So a block is at least as large as the largest buffer; and where that is more than glibc can
retain (gradients of stacked layers, from about 35M parameters on), the scratch memory stays one block. At 768 x 14 that
takes 3.2 instead of 9.2 GB, and a step 6.1 instead of 5.9 s of CPU time.
"""

from __future__ import annotations

import ctypes
import math
import re
import sys
from typing import Any

import jax

from scaling.config.model import ModelConfig
from scaling.program import compile_cache

HEAP_BYTES = 2 << 20  # smallest block; measured best of 1/4 to 16 MiB, for models from 64 x 2 to 512 x 10
MAX_RETAINED_BYTES = 32 << 20  # largest block that glibc can be told to retain
THREAD_HEAP_BYTES = 64 << 20  # glibc's heaps of a thread
# Floats of scratch memory per token and layer: times the width, and times heads and positions. Measured: 31 to 32 times
# the width, heads included, for models from 128 x 5 to 512 x 10 at 128 positions.
FLOATS_PER_WIDTH, FLOATS_PER_HEAD = 30, 3
FLOAT_BYTES = 4
TENSOR_TYPE = re.compile(r"tensor<((?:\d+x)+)[a-z]+(\d+)")  # of StableHLO, as tensor<8x128xf32>: sizes, bits
TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3  # glibc's numbers of its settings (malloc.h)


def estimate_scratch_bytes(model: ModelConfig, *, rows: int, length: int) -> int:
    """Estimates the bytes of scratch memory of a training step.

    Args:
        model: The model.
        rows: Sequences that a device computes at once.
        length: Tokens of a sequence.
    """
    floats_per_token = model.layers * (FLOATS_PER_WIDTH * model.width + FLOATS_PER_HEAD * model.heads * length)
    return FLOAT_BYTES * rows * length * floats_per_token


def largest_tensor_bytes(program: str) -> int:
    """Returns the bytes of the largest tensor in the text of a program in StableHLO; 0 without tensors.

    Args:
        program: The text.
    """
    types = set(TENSOR_TYPE.findall(program))
    return max(
        (math.prod(map(int, sizes[:-1].split("x"))) * max(8, int(bits)) // 8 for sizes, bits in types), default=0
    )


def compile_step(lowered: Any, scratch_bytes: int) -> Any:
    """Compiles a lowered program; on a CPU, a program with much scratch memory allocates it in small blocks.

    XLA cannot write such a program to the compile cache, so each process compiles it.

    Args:
        lowered: The lowered program.
        scratch_bytes: Estimate of its scratch memory.
    """
    if jax.default_backend() != "cpu" or scratch_bytes <= MAX_RETAINED_BYTES:
        return lowered.compile()
    block_bytes = max(HEAP_BYTES, largest_tensor_bytes(lowered.as_text()))
    if block_bytes > MAX_RETAINED_BYTES:
        return lowered.compile()
    with compile_cache.disable_cache_writes():
        return lowered.compile(compiler_options={"xla_multiheap_size_constraint_per_heap": block_bytes})


def retain_freed_memory() -> None:
    """Configures glibc to keep freed memory for the next step; call once, before threads start."""
    if sys.platform != "linux" or not hasattr(libc := ctypes.CDLL(None), "mallopt"):
        return
    libc.mallopt(TRIM_THRESHOLD, -1)  # never trim
    libc.mallopt(MMAP_THRESHOLD, MAX_RETAINED_BYTES)
    libc.mallopt(TOP_PAD, THREAD_HEAP_BYTES)  # no heap of a thread is returned that another could use

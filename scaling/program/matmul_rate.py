"""The measured rate of matrix products, with which speeds are compared where no peak rate is published."""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import time
from pathlib import Path

import jax
import jax.numpy as jnp

from scaling.program.compile_cache import cpu_fingerprint
from scaling.store.files import DamagedFileError, read_json, user_cache_folder, write_json

SIZE, REPEATS = 1024, 8  # 2 GFLOP per product
LONGEST_SECONDS = 0.3  # of measuring, after the compilation
RATES_FILE = "matmul-rates.json"  # in the user's cache folder


def matmul_rate(dtype: str, size: int, repeats: int, longest: float = float("inf")) -> float:
    """Returns the FLOP/s of a matrix product on one device, the best of several.

    Args:
        dtype: Type of the operands.
        size: Rows and columns of the square matrices.
        repeats: Largest number of products that are timed.
        longest: Seconds after which no further product is started.
    """
    a = jnp.ones((size, size), dtype)
    product = jax.jit(lambda a: a @ a)
    product(a).block_until_ready()
    began, best = time.perf_counter(), float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        product(a).block_until_ready()
        end = time.perf_counter()
        best = min(best, end - start)
        if end - began > longest:
            break
    return 2 * size**3 / best


@functools.cache
def machine_matmul_rate(dtype: str) -> float:
    """Returns the FLOP/s of matrix products on this machine's CPU, measured once per machine, threads and type.

    Args:
        dtype: Type of the operands.
    """
    path, key = user_cache_folder() / RATES_FILE, f"{processor_name()}, {thread_count()} threads, {dtype}"
    try:
        rates = read_json(path)
    except (FileNotFoundError, DamagedFileError):
        rates = {}
    rates = rates if isinstance(rates, dict) else {}
    if type(rates.get(key)) is float and 0 < rates[key] < float("inf"):
        return rates[key]
    rate = matmul_rate(dtype, SIZE, REPEATS, LONGEST_SECONDS)
    with contextlib.suppress(OSError):  # a folder that cannot be written: the next process measures again
        write_json(path, {**rates, key: rate})
    return rate


def processor_name() -> str:
    """Returns the model of the CPU with a hash of its instruction sets."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{models[0] if models else platform.processor() or 'CPU'} ({cpu_fingerprint()})"


def thread_count() -> int:
    """Returns the number of threads that this process may run at once."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

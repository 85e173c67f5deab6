"""The cache of compiled programs, kept from one process to the next."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import platform
from collections.abc import Iterator
from pathlib import Path

import jax

from scaling.config.placement import Placement
from scaling.store.files import user_cache_folder

MIN_COMPILE_SECONDS = 0.3  # programs that compile faster are not cached


def configure_cache(placement: Placement) -> None:
    """Configures JAX's compile cache: in JAX_COMPILATION_CACHE_DIR where that is set, else in `cache_folder()`.

    Args:
        placement: Its `compile_cache` turns the cache off.
    """
    jax.config.update("jax_enable_compilation_cache", placement.compile_cache)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", MIN_COMPILE_SECONDS)
    if placement.compile_cache and not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        jax.config.update("jax_compilation_cache_dir", str(cache_folder()))


@contextlib.contextmanager
def disable_cache_writes() -> Iterator[None]:
    """Context in which compiled programs are not written to the cache."""
    jax.config.update("jax_persistent_cache_min_compile_time_secs", math.inf)
    try:
        yield
    finally:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", MIN_COMPILE_SECONDS)


def cache_folder() -> Path:
    """Returns the user's folder of compiled programs, one per kind of CPU: code for one may not run on another."""
    return user_cache_folder() / "compiled" / f"{jax.default_backend()}-{cpu_fingerprint()}"


def cpu_fingerprint() -> str:
    """Returns a short name of the CPU's model and instruction sets."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else [platform.processor()]
    features = sorted({line for line in lines if line.startswith(("flags", "Features", "model name"))}) or lines[:1]
    return f"{platform.machine()}-{hashlib.sha256(chr(10).join(features).encode()).hexdigest()[:8]}"

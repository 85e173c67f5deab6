"""Where compiled programs are kept from one process to the next."""

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

LEAST_SECONDS = 0.3  # of compiling, for a program to be worth keeping


def use(placement: Placement) -> None:
    """Keeps compiled programs in `folder()`, or in JAX_COMPILATION_CACHE_DIR where that is set; or not at all."""
    jax.config.update("jax_enable_compilation_cache", placement.compile_cache)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", LEAST_SECONDS)
    if placement.compile_cache and not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        jax.config.update("jax_compilation_cache_dir", str(folder()))


@contextlib.contextmanager
def nothing_kept() -> Iterator[None]:
    """Programs compiled herein are not written to the cache that `use` has set."""
    jax.config.update("jax_persistent_cache_min_compile_time_secs", math.inf)
    try:
        yield
    finally:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", LEAST_SECONDS)


def folder() -> Path:
    """The user's own, one for each kind of machine: code for one CPU may not run on another."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "scaling" / "compiled" / f"{jax.default_backend()}-{machine()}"


def machine() -> str:
    """A short name of the CPU's abilities."""
    known = Path("/proc/cpuinfo")
    lines = known.read_text().splitlines() if known.exists() else [platform.processor()]
    told = sorted({line for line in lines if line.startswith(("flags", "Features", "model name"))}) or lines[:1]
    return f"{platform.machine()}-{hashlib.sha256(chr(10).join(told).encode()).hexdigest()[:8]}"

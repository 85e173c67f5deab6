"""The cache of compiled programs, kept from one process to the next."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import math
import os
import platform
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import jax

from scaling.config.os_errors import describe_os_error, name_file
from scaling.config.placement import Placement
from scaling.store.files import user_cache_folder

MIN_COMPILE_SECONDS = 0.3  # programs that compile faster are not cached
PROGRAM_BYTES = 1 << 20  # of a compiled program, about


def configure_cache(placement: Placement) -> None:
    """Configures JAX's compile cache: in JAX_COMPILATION_CACHE_DIR where that is set, else in `cache_folder()`.

    Args:
        placement: Its `compile_cache` turns the cache off.
    """
    enabled = placement.compile_cache
    if enabled:
        address = os.environ.get("JAX_COMPILATION_CACHE_DIR") or str(cache_folder())
        enabled = "://" in address or can_write(Path(address))
        jax.config.update("jax_compilation_cache_dir", address)
    jax.config.update("jax_enable_compilation_cache", enabled)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", MIN_COMPILE_SECONDS)
    # a program that cannot be stored or read is compiled; JAX warns of each one
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache")


@functools.cache
def can_write(folder: Path) -> bool:
    """Returns whether a program can be stored in a folder; if not, says so once on standard error.

    Args:
        folder: The folder of compiled programs; it is created if needed.
    """
    try:
        with name_file(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as file:
                file.write(b"\0" * PROGRAM_BYTES)
                file.flush()
    except OSError as error:
        print(f"compiled programs are not stored: {describe_os_error(error)}", file=sys.stderr)
        return False
    return True


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

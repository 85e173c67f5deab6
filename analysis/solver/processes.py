"""Dividing work among processes where forking is safe."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from analysis.errors import FitError

PR_SET_PDEATHSIG = 1  # of prctl(2): the signal that a process receives when its parent ends


def fork_processes() -> int:
    """Returns the number of processes to divide work among by forking, at most one per available core.

    It is 1 where forking is not safe: in a process with other Python threads, such as a notebook, or with JAX, and on
    systems without fork.
    """
    safe = "fork" in multiprocessing.get_all_start_methods() and threading.active_count() == 1
    if not safe or "jax" in sys.modules or not hasattr(os, "sched_getaffinity"):
        return 1
    return len(os.sched_getaffinity(0))


def fork_pool(workers: int, initialise: Callable[..., None] | None = None, *arguments: Any) -> ProcessPoolExecutor:
    """Returns a pool of forked processes, which on Linux end with this process, however it ends.

    Args:
        workers: Number of processes.
        initialise: Called first in each of them.
        *arguments: Its arguments.
    """
    context = multiprocessing.get_context("fork")
    return ProcessPoolExecutor(workers, context, _start_worker, (os.getpid(), initialise, arguments))


def map_in_pool(pool: Executor, function: Callable[..., Any], *columns: Any) -> Iterator[Any]:
    """Returns the results of a function in order.

    Args:
        pool: Pool of processes, as of `fork_pool`.
        function: The function.
        *columns: Values of each of its arguments.

    Raises:
        FitError: A process ended without a result.
    """
    return _results(pool.map(function, *columns))


def _results(results: Iterator[Any]) -> Iterator[Any]:
    try:
        yield from results
    except BrokenProcessPool:
        raise FitError("a worker process was killed, as when memory runs out: run the command again") from None


def _start_worker(parent: int, initialise: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    """Makes a worker end with its parent: an idle one would wait for work forever."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it has ended already
            os._exit(1)
    if initialise is not None:
        initialise(*arguments)

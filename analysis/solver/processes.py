"""Dividing work among processes where forking is safe."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading


def fork_processes() -> int:
    """Returns the number of processes to divide work among by forking, at most one per available core.

    It is 1 where forking is not safe: in a process with other Python threads, such as a notebook, or with JAX, and on
    systems without fork.
    """
    safe = "fork" in multiprocessing.get_all_start_methods() and threading.active_count() == 1
    if not safe or "jax" in sys.modules or not hasattr(os, "sched_getaffinity"):
        return 1
    return len(os.sched_getaffinity(0))

"""What Orbax and TensorStore print about errors that they also raise."""

from __future__ import annotations

import inspect
import logging
import sys
from typing import Any

LOGGERS = ("absl", "asyncio")  # of errors in Orbax's threads and of tasks that it does not await
CLOSED_LOOP = "Event loop is closed"  # for each array whose read was still under way when that of another one failed


def silence_orbax() -> None:
    """Silences the log messages and tracebacks of errors that Orbax raises in the caller's thread as well.

    A read that fails closes Orbax's event loop. TensorStore then reports the end of every other read to that loop,
    at any time later, and Python prints a traceback for each, as for coroutines that Orbax drops.
    """
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    hook = sys.unraisablehook
    if getattr(hook, "ignores_reads", False):
        return

    def ignore_reads(error: Any) -> None:
        is_late = isinstance(error.exc_value, RuntimeError) and str(error.exc_value) == CLOSED_LOOP
        is_dropped = inspect.iscoroutine(error.object) and "/orbax/" in error.object.cr_code.co_filename
        if not (is_late or is_dropped):
            hook(error)

    ignore_reads.ignores_reads = True  # type: ignore[attr-defined]
    sys.unraisablehook = ignore_reads

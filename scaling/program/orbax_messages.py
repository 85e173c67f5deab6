"""What Orbax and TensorStore print about errors that they also raise."""

from __future__ import annotations

import logging
import sys
from typing import Any

LOGGERS = ("absl", "asyncio")  # of errors in Orbax's threads and of tasks that it does not await
CLOSED_LOOP = "Event loop is closed"  # for each array whose read was still under way when that of another one failed


def silence_orbax() -> None:
    """Silences the log messages and tracebacks of errors that Orbax raises in the caller's thread as well.

    A read that fails closes Orbax's event loop. TensorStore then reports the end of every other read to that loop,
    at any time later, and Python prints a traceback for each.
    """
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    hook = sys.unraisablehook
    if getattr(hook, "ignores_closed_loop", False):
        return

    def ignore_closed_loop(error: Any) -> None:
        if not (isinstance(error.exc_value, RuntimeError) and str(error.exc_value) == CLOSED_LOOP):
            hook(error)

    ignore_closed_loop.ignores_closed_loop = True  # type: ignore[attr-defined]
    sys.unraisablehook = ignore_closed_loop

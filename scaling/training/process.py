"""Settings of a process that trains: memory, and what signals do."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

REPEAT_SECONDS = 2.0  # a signal within this time is a duplicate: clusters signal both the parent and the child


def prepare_process() -> None:
    """Keeps freed memory for the next step."""
    from scaling.program import cpu_memory  # imports JAX; signals are handled before

    cpu_memory.retain_freed_memory()


@contextlib.contextmanager
def stop_signals(*signals: signal.Signals, at_second: Callable[[int, FrameType | None], Any]) -> Iterator[list[int]]:
    """Context with a list that receives the first signal; outside the main thread, signals keep what they do.

    Args:
        *signals: The signals.
        at_second: Called with a later signal, such as a function that ends the process.

    Yields:
        The list, empty until a signal arrives.
    """
    received: list[int] = []
    received_at: list[float] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if received_at and time.monotonic() - received_at[0] > REPEAT_SECONDS:
            at_second(number, frame)
        if not received_at:
            received_at.append(time.monotonic())
            received.append(number)
            print("stopping after this step (signal again to stop at once, without saving)", file=sys.stderr)

    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    earlier = {number: signal.signal(number, handle) for number in signals}
    try:
        yield received
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)

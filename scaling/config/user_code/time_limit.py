"""A time limit for code of a user that may never return.

The limit is a timer of the process (SIGALRM), so that it needs no thread and also ends a wait, such as for input. It
does not end one long operation in C, such as a product of huge matrices, until that returns.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

from scaling.config.exit_status import BAD_INPUT
from scaling.config.text import printable
from scaling.config.user_code.process_exit import END_PROCESS
from scaling.config.user_code.sources import UserCodeError

SECONDS_VARIABLE = "SCALING_USER_CODE_SECONDS"  # environment variable with another limit; 0: none
MAX_SECONDS = 1e8  # three years; timers take no longer ones
STANDARD_ERROR = 2  # file descriptor
AGAIN_SECONDS = 2.0  # after the limit, until the process is ended because code goes on after the exception


class UserCodeTimeout(BaseException):
    """A user's code takes longer than its limit. No Exception, because code often catches those and goes on."""


_active: list[float] = []  # the limit in seconds of the outermost context


@contextlib.contextmanager
def time_limit(seconds: float, describe: Callable[[FrameType | None], str]) -> Iterator[None]:
    """Context in which code of a user is interrupted by UserCodeTimeout after a time.

    Of contexts in one another the outermost counts. There is no limit outside of the main thread, and on systems
    without timers. Code that catches the exception and goes on ends the process with one line and the status of bad
    input.

    Args:
        seconds: The limit; the environment variable SCALING_USER_CODE_SECONDS overrides it.
        describe: Returns the file and line of a frame, for that line.

    Raises:
        UserCodeError: The environment variable is not a number of seconds.
    """
    seconds = _seconds(seconds)
    is_main = threading.current_thread() is threading.main_thread()
    if _active or not seconds or not is_main or not hasattr(signal, "setitimer"):
        yield
        return
    reason = f"takes longer than {seconds:g} seconds: {SECONDS_VARIABLE}=0 removes the limit"
    alarms = 0

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        nonlocal alarms
        alarms += 1
        if alarms > 1:
            os.write(STANDARD_ERROR, f"error: {printable(describe(frame))}: {reason}\n".encode())
            END_PROCESS(BAD_INPUT)
        raise UserCodeTimeout(reason)

    earlier = signal.signal(signal.SIGALRM, interrupt)
    _active.append(seconds)
    signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, earlier)
        _active.pop()


def _seconds(default: float) -> float:
    """The limit of the environment variable, else the default; 0: none."""
    text = os.environ.get(SECONDS_VARIABLE)
    try:
        seconds = float(text) if text else default
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < MAX_SECONDS:
        raise UserCodeError(f"{SECONDS_VARIABLE}={text}: must be a number of seconds, or 0 for no limit")
    return seconds

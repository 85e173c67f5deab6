"""The time of day, for what people read. Durations, limits and pauses use `time.monotonic`, which no one can set."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path

CLOCK_FILE = "SCALING_CLOCK_FILE"  # environment variable for tests: a file with the seconds by which the clock is wrong


def time_of_day() -> float:
    """Returns the seconds since 1970 by this machine's clock, which may be set back or forth at any time."""
    path = os.environ.get(CLOCK_FILE)
    return time.time() + (float(Path(path).read_text()) if path else 0.0)


def current_date(precision: str = "seconds") -> str:
    """Returns date and time in UTC, such as 2026-01-31T12:00:00+00:00.

    Args:
        precision: "seconds" or "milliseconds".
    """
    return datetime.fromtimestamp(time_of_day(), UTC).isoformat(timespec=precision)

"""Start-up time of the process, which is recorded for its first run and not counted as training time."""

from __future__ import annotations

import os
from pathlib import Path

_start_seconds: list[float] = []  # of this process; empty once a run has recorded it


def process_age() -> float | None:
    """Returns the seconds since the start of this process, None if /proc is not available."""
    stat, uptime = Path("/proc/self/stat"), Path("/proc/uptime")
    if not (stat.exists() and uptime.exists()):
        return None
    ticks = int(stat.read_text().rpartition(")")[2].split()[19])  # since the machine started (proc(5), field 22)
    return float(uptime.read_text().split()[0]) - ticks / os.sysconf("SC_CLK_TCK")


def note_start() -> None:
    """Records the seconds between the start of the process and this call, if /proc is available."""
    if (age := process_age()) is not None:
        _start_seconds.append(age)


def start_seconds() -> dict[str, float]:
    """Returns {"start_seconds": s} for the first run of this process, {} for the others."""
    return {"start_seconds": round(max(0.0, _start_seconds.pop()), 3)} if _start_seconds else {}

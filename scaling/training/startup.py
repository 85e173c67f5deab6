"""Start-up time of the process, which no run's seconds include but each process of a sweep costs."""

from __future__ import annotations

import os
from pathlib import Path

_noted: list[float] = []


def note_start() -> None:
    """Notes the seconds between the start of the process and this call, where /proc tells."""
    stat, uptime = Path("/proc/self/stat"), Path("/proc/uptime")
    if stat.exists() and uptime.exists():
        ticks = int(stat.read_text().rpartition(")")[2].split()[19])  # since the machine started (proc(5), field 22)
        _noted.append(float(uptime.read_text().split()[0]) - ticks / os.sysconf("SC_CLK_TCK"))


def start_seconds() -> dict[str, float]:
    """Returns {"start_seconds": s} for the first run of this process, {} for the others."""
    return {"start_seconds": round(max(0.0, _noted.pop()), 3)} if _noted else {}

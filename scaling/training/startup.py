"""How long this process took to start: what a sweep pays for each of its processes, and no run's seconds hold."""

from __future__ import annotations

import os
from pathlib import Path

_taken: list[float] = []


def note() -> None:
    """Notes that all is imported, and how long after the process began; nothing where the system does not say."""
    stat, uptime = Path("/proc/self/stat"), Path("/proc/uptime")
    if stat.exists() and uptime.exists():
        ticks = int(stat.read_text().rpartition(")")[2].split()[19])  # since the machine started (proc(5), field 22)
        _taken.append(float(uptime.read_text().split()[0]) - ticks / os.sysconf("SC_CLK_TCK"))


def once() -> dict[str, float]:
    """`start_seconds`, to the process's first run alone."""
    return {"start_seconds": round(max(0.0, _taken.pop()), 3)} if _taken else {}

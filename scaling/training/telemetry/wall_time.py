"""The wall time of a run in parts, from its first start on, over all processes that trained it.

The parts (`scaling.store.cost.WALL_TIME_PARTS`) add up to the wall time.

goodput = steps / (sum of all parts), the definition of Google's ML Goodput Measurement: the share of the time that was
spent on training progress which was kept. Durations within a process are by a clock that does not jump, gaps between
processes by the time of day.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from scaling.store.cost import WALL_TIME_PARTS
from scaling.store.origin.clock import time_of_day
from scaling.training.telemetry import startup

PHASES = ("input", "validation", "evaluation", "checkpoint")  # parts during which no step is computed


@dataclass
class WallTime:
    """The wall time of a run while this process trains it.

    Attributes:
        kept_seconds: Seconds of earlier processes in the steps up to the restored checkpoint; None if they are unknown.
        earlier: Parts of earlier processes.
        attempts: Processes that have trained the run, with this one.
        is_known: Whether the time of all earlier processes is known; false after one of an earlier version.
        began_at: When this process started to work on the run (time.monotonic).
        stepping_since: When it started its first step; None before.
        phases: Seconds of this process by phase.
        compile_seconds: Its seconds of compiling.
        open_phase: The phase that it is in, and since when.
    """

    kept_seconds: float | None = 0.0
    earlier: dict[str, float] = field(default_factory=dict)
    attempts: int = 1
    is_known: bool = True
    began_at: float = field(default_factory=time.monotonic)
    stepping_since: float | None = None
    phases: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PHASES, 0.0))
    compile_seconds: float = 0.0
    open_phase: tuple[str, float] | None = None

    def begin(self, earlier: Mapping[str, float], until: float | None, is_first_run: bool) -> None:
        """Continues the times of earlier processes.

        Args:
            earlier: Parts up to the last note of the last process; empty without one.
            until: Time of day of that note, in seconds since 1970.
            is_first_run: Whether this process has trained no other run, so that all of its time counts.
        """
        age = startup.process_age() if is_first_run else None
        if age is not None:
            self.began_at = min(self.began_at, time.monotonic() - age)
        self.earlier = dict(earlier)
        if until is None:
            return
        computed = earlier.get("steps", 0.0) + earlier.get("lost", 0.0)
        gap = time_of_day() - (time.monotonic() - self.began_at) - until
        unnoted = max(0.0, (self.kept_seconds or 0.0) - computed)  # steps of a checkpoint that is newer than the note
        self.earlier["between"] = earlier.get("between", 0.0) + max(0.0, gap - unnoted)

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Context whose time counts as a phase; inside another phase it counts as that one."""
        if self.open_phase is not None:
            yield
            return
        self.open_phase = name, time.monotonic()
        try:
            yield
        finally:
            since, self.open_phase = self.open_phase[1], None
            self.phases[name] += time.monotonic() - since

    def parts(self) -> dict[str, float]:
        """Returns the seconds of each part up to now, over all processes."""
        now, phases = time.monotonic(), dict(self.phases)
        if self.open_phase is not None:
            phases[self.open_phase[0]] += now - self.open_phase[1]
        loop = 0.0 if self.stepping_since is None else now - self.stepping_since
        start = now - self.began_at - loop - self.compile_seconds
        kept = self.kept_seconds or 0.0
        computed = self.earlier.get("steps", 0.0) + self.earlier.get("lost", 0.0)
        here = {
            "steps": kept + max(0.0, loop - sum(phases.values())),
            "lost": max(0.0, computed - kept),
            **phases,
            "compile": self.compile_seconds,
            "start": max(0.0, start),
        }
        return {
            name: here.get(name, 0.0) + (0.0 if name in ("steps", "lost") else self.earlier.get(name, 0.0))
            for name in WALL_TIME_PARTS
        }

    def step_seconds(self) -> float:
        """Returns the seconds of this process in steps and waiting for their batches."""
        parts = self.parts()
        return parts["steps"] - (self.kept_seconds or 0.0) + parts["input"] - self.earlier.get("input", 0.0)

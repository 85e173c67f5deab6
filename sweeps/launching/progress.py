"""Progress of a launch: one bar for the whole sweep, weighted by the estimated time of the steps."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from scaling.config.run import RunConfig
from scaling.config.text import printable, printable_lines
from sweeps.engines.events import Event
from sweeps.format import duration, short_count
from sweeps.monitoring.live import PERCENT_COLUMNS, ProgressBar
from sweeps.planning.budget import flops_until
from sweeps.planning.plan import Plan
from sweeps.planning.workers import estimated_work

LINE_SECONDS = 10.0  # between progress lines if standard error is not a terminal


@dataclass
class SweepProgress:
    """FLOPs and steps of the runs of a launch: planned, done in this launch, and their rate.

    Attributes:
        runs: Config by run_id.
        start: Step at which each run starts: expected at first, actual once it has started.
        steps: Last step of each run that has started.
        statuses: Status of each run that has ended.
        loss: Last loss of each run.
        current: Run of the last event.
        lost: FLOPs of steps that were computed but not saved when their process died.
        began: Start of the launch (time.monotonic).
    """

    runs: dict[str, RunConfig]
    start: dict[str, int]
    steps: dict[str, int] = field(default_factory=dict)
    statuses: dict[str, str] = field(default_factory=dict)
    loss: dict[str, float] = field(default_factory=dict)
    current: str | None = None
    lost: float = 0.0
    began: float = field(default_factory=time.monotonic)

    def note(self, event: Event) -> None:
        """Updates the progress with an event of the engine; events of other runs are ignored."""
        name = event.get("run_id")
        if name not in self.runs:
            return
        if event["event"] == "start":
            self._note_start(name, event["from"])
        elif event["event"] == "step":
            self.current = name
            self.steps[name] = event["step"]
        elif event["event"] == "end":
            self._note_end(name, event["status"])
        if event["event"] in ("step", "end") and event.get("loss") is not None:
            self.loss[name] = event["loss"]

    def _note_start(self, name: str, step: int) -> None:
        self.current = name
        if name in self.steps:  # the run starts again in this launch: the steps after `step` are repeated
            config, last_step = self.runs[name], self.steps[name]
            self.lost += max(0, flops_until(config, last_step) - flops_until(config, step))
            self.start[name] = min(self.start[name], step)
        else:
            self.start[name] = step
        self.steps[name] = step

    def _note_end(self, name: str, status: str) -> None:
        self.statuses[name] = status
        if status == "done":
            if name not in self.steps:  # another process had finished it: this launch computed nothing
                self.start[name] = self.runs[name].steps
            self.steps[name] = self.runs[name].steps

    @property
    def total(self) -> float:
        """FLOPs of this launch, done and remaining, without the missing steps of diverged or failed runs."""
        return self._sum_total(flops_until)

    @property
    def done(self) -> float:
        """FLOPs done in this launch."""
        return self._sum_done(flops_until)

    @property
    def share(self) -> float:
        """Share of the launch that is done, by estimated time: steps of small models take more time per FLOP."""
        return self._sum_done(estimated_work) / max(self._sum_total(estimated_work), 1.0)

    def _sum_total(self, cost_until: Callable[[RunConfig, int], float]) -> float:
        return sum(
            cost_until(config, self.steps.get(name, self.start[name]) if self._cut_short(name) else config.steps)
            - cost_until(config, self.start[name])
            for name, config in self.runs.items()
        )

    def _sum_done(self, cost_until: Callable[[RunConfig, int], float]) -> float:
        return sum(
            cost_until(self.runs[name], step) - cost_until(self.runs[name], self.start[name])
            for name, step in self.steps.items()
            if step > self.start[name]
        )

    def _cut_short(self, name: str) -> bool:
        return self.statuses.get(name) in ("diverged", "failed")

    @property
    def seconds(self) -> float:
        """Seconds since the launch began."""
        return time.monotonic() - self.began

    @property
    def seconds_left(self) -> float | None:
        """Seconds left at the rate so far, compilation and evaluation included; None before anything is done."""
        share = self.share
        return (1 - share) * self.seconds / share if share > 0 else None

    def line(self) -> str:
        """Returns the progress of the sweep in one line."""
        parts = [f"{len(self.statuses)}/{len(self.runs)} runs"]
        if self.current is not None and self.current not in self.statuses:
            config = self.runs[self.current]
            parts.append(f"width {config.model.width}, step {self.steps[self.current]:,}/{config.steps:,}")
            if self.current in self.loss:
                parts.append(f"loss {self.loss[self.current]:.3f}")
        seconds_left = self.seconds_left
        if seconds_left is not None:
            parts.append(f"{short_count(self.done / self.seconds)} FLOP/s")
            parts.append(f"{duration(seconds_left)} left")
        return ", ".join(parts)


def plan_progress(plan: Plan) -> SweepProgress:
    """Returns the initial progress of a plan's remaining runs."""
    return SweepProgress(
        runs={run.run_id: run.config for run in plan.remaining},
        start={run.run_id: run.from_step for run in plan.remaining},
    )


class ProgressDisplay:
    """Shows the progress of a sweep on standard error: a bar on a terminal, else a line every LINE_SECONDS."""

    def __init__(self, sweep: str, progress: SweepProgress) -> None:
        self.sweep, self.progress = sweep, progress
        self.bar = ProgressBar(sweep, 1.0, PERCENT_COLUMNS, transient=True) if sys.stderr.isatty() else None
        self.last_line = -LINE_SECONDS

    def __enter__(self) -> ProgressDisplay:
        if self.bar is not None:
            self.bar.start()
        return self

    def __exit__(self, *_: Any) -> None:
        if self.bar is not None:
            self.bar.stop()

    def print_line(self, text: str) -> None:
        """Prints a line above the bar."""
        if self.bar is not None:
            self.bar.print_line(text)
        else:
            print(printable_lines(text), file=sys.stderr, flush=True)

    def refresh(self) -> None:
        """Updates the display with the current progress."""
        progress = self.progress
        if self.bar is not None:
            self.bar.update(progress.share, progress.line())
        elif progress.current is not None and progress.seconds - self.last_line >= LINE_SECONDS:
            self.last_line = progress.seconds
            print(f"{printable(self.sweep)} {progress.share:4.0%}  {progress.line()}", file=sys.stderr, flush=True)

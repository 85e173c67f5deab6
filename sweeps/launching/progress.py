"""One bar for a whole sweep, weighted by the time that steps take; plain lines where nobody watches a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from scaling.config.run import RunConfig
from sweeps.format import duration, short
from sweeps.planning.budget import flops_until
from sweeps.planning.plan import Plan
from sweeps.planning.workers import step_time

if TYPE_CHECKING:
    from rich.progress import Progress

LINE_SECONDS = 10.0  # between plain lines


@dataclass
class Meter:
    """FLOPs and steps of a sweep: to do, done here, and at what rate. Holds no terminal, so a test can read it."""

    runs: dict[str, RunConfig]
    start: dict[str, int]  # step each run is expected to start from, then the one it did start from
    steps: dict[str, int] = field(default_factory=dict)  # steps done by each run that has started
    ended: dict[str, str] = field(default_factory=dict)  # status of each run that has ended
    loss: dict[str, float] = field(default_factory=dict)
    current: str | None = None
    lost: float = 0.0  # FLOPs done here and gone with a process that died before it saved
    began: float = field(default_factory=time.monotonic)

    def note(self, event: dict[str, Any]) -> None:
        """Takes in one event of the engine; those of runs that are not ours are ignored."""
        name = event.get("run_id")
        if name not in self.runs:
            return
        if event["event"] == "start":
            self.current = name
            # a run that starts again has paid for the steps up to here in this launch already
            if name in self.steps:
                config, stood = self.runs[name], self.steps[name]
                self.lost += max(0, flops_until(config, stood) - flops_until(config, event["from"]))
                self.start[name] = min(self.start[name], event["from"])
            else:
                self.start[name] = event["from"]
            self.steps[name] = event["from"]
        elif event["event"] == "step":
            self.current = name
            self.steps[name] = event["step"]
            if event.get("loss") is not None:
                self.loss[name] = event["loss"]
        elif event["event"] == "end":
            self.ended[name], started = event["status"], set(self.steps)
            if event["status"] == "done":
                self.steps[name] = self.runs[name].steps
                if name not in started:  # another process had done it: nothing was paid here
                    self.start[name] = self.runs[name].steps
            if event.get("loss") is not None:
                self.loss[name] = event["loss"]

    @property
    def total(self) -> float:
        """FLOPs of this launch, done and to do; what a diverged or failed run did not do is not counted."""
        return self._to_do(flops_until)

    @property
    def done(self) -> float:
        """FLOPs done in this launch."""
        return self._done(flops_until)

    @property
    def share(self) -> float:
        """Of this launch's time that is over, by FLOPs and steps: a small model's steps take long for their FLOPs."""
        return self._done(step_time) / max(self._to_do(step_time), 1.0)

    def _to_do(self, until: Callable[[RunConfig, int], float]) -> float:
        return sum(
            until(config, self.steps.get(name, self.start[name]) if self._cut_short(name) else config.steps)
            - until(config, self.start[name])
            for name, config in self.runs.items()
        )

    def _done(self, until: Callable[[RunConfig, int], float]) -> float:
        return sum(
            until(self.runs[name], step) - until(self.runs[name], self.start[name])
            for name, step in self.steps.items()
            if step > self.start[name]
        )

    def _cut_short(self, name: str) -> bool:
        return self.ended.get(name) in ("diverged", "failed")

    @property
    def seconds(self) -> float:
        """Since the launch."""
        return time.monotonic() - self.began

    @property
    def seconds_left(self) -> float | None:
        """By the rate so far, compilation and evaluation included; None before anything is done."""
        share = self.share
        return (1 - share) * self.seconds / share if share > 0 else None

    def count(self, status: str) -> int:
        """Runs that ended so in this launch."""
        return sum(value == status for value in self.ended.values())

    def line(self) -> str:
        """Where the sweep stands, in one line."""
        parts = [f"{len(self.ended)}/{len(self.runs)} runs"]
        if self.current is not None and self.current not in self.ended:
            config = self.runs[self.current]
            parts.append(f"width {config.model.width}, step {self.steps[self.current]:,}/{config.steps:,}")
            if self.current in self.loss:
                parts.append(f"loss {self.loss[self.current]:.3f}")
        left = self.seconds_left
        if left is not None:
            parts.append(f"{short(self.done / self.seconds)} FLOP/s")
            parts.append(f"{duration(left)} left")
        return ", ".join(parts)


def meter(of: Plan) -> Meter:
    """The meter of what a plan has left to run."""
    return Meter(runs={run.run_id: run.config for run in of.left}, start={run.run_id: run.from_step for run in of.left})


class Display:
    """Shows a meter on standard error: a bar on a terminal, else a plain line every LINE_SECONDS."""

    def __init__(self, sweep: str, of: Meter) -> None:
        self.sweep, self.meter = sweep, of
        self.bar: Progress | None = None
        self.last = -LINE_SECONDS

    def __enter__(self) -> Display:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
            text = TextColumn("{task.fields[line]}")
            self.bar = Progress(*columns, text, console=Console(stderr=True), transient=True)
            self.task = self.bar.add_task(self.sweep, total=1.0, line="")
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def say(self, text: str) -> None:
        """A line that stays."""
        if self.bar is not None:
            self.bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=sys.stderr, flush=True)

    def refresh(self) -> None:
        """Shows where the meter stands now."""
        if self.bar is not None:
            self.bar.update(self.task, completed=self.meter.share, line=self.meter.line())
        elif self.meter.current is not None and self.meter.seconds - self.last >= LINE_SECONDS:
            self.last = self.meter.seconds
            print(f"{self.sweep} {self.meter.share:4.0%}  {self.meter.line()}", file=sys.stderr, flush=True)

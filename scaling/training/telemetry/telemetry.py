"""What a run tells about its machine while it is trained: facts of its record, and figures for its trackers."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from scaling.config.os_errors import describe_os_error
from scaling.config.run import RunConfig, run_id
from scaling.distributed import collectives
from scaling.store.cost import write_timing
from scaling.store.files import write_atomic
from scaling.store.origin.anonymous import PrivateNames, is_anonymous
from scaling.store.origin.clock import current_date
from scaling.store.record import Store
from scaling.training.telemetry.slow_steps import SlowStep, SlowStepWatch
from scaling.training.telemetry.utilisation import memory_peak, peak_flops
from scaling.training.telemetry.wall_time import WallTime

NOTE_SECONDS = 5.0  # between two writes of timing.json, each of which waits for the disk
GIB = 2**30
FIGURES = {  # of trackers: tag and unit by fact
    "mfu": ("machine/mfu", 1),
    "goodput": ("machine/goodput", 1),
    "memory_peak_bytes": ("machine/memory_peak_gib", GIB),
    "slow_steps": ("machine/slow_steps", 1),
}
TRACKED_PARTS = ("input", "compile", "checkpoint")  # of the wall time, in seconds


@dataclass(frozen=True)
class ProcessStart:
    """A process that starts to train a run.

    Attributes:
        store: Store of the run.
        config: The run.
        flops: Training FLOPs of the whole run.
        emit: Receives events.
        first_step: Finished steps at the start.
        devices: Devices whose peak rate the run could reach (`utilisation.peak_devices`).
        compile_seconds: Seconds of compiling before the first step.
        is_first_run: Whether this process has trained no other run.
        attempts: Processes that have trained the run, with this one.
        earlier: Facts of earlier processes (`scaling.store.cost.machine_facts`); None without such processes.
    """

    store: Store
    config: RunConfig
    flops: int
    emit: Callable[[dict[str, Any]], None]
    first_step: int
    devices: float
    compile_seconds: float
    is_first_run: bool
    attempts: int
    earlier: Mapping[str, Any] | None


@dataclass
class Telemetry:
    """What a run tells about its machine.

    Attributes:
        wall: Parts of its wall time.
        watch: Watches for slow steps; None before the first step.
        start: The start of this process; None before.
        saves: Checkpoints that were saved.
        write_seconds: Seconds from the start of each save until its checkpoint was complete.
        earlier_saves: Facts of the checkpoints of earlier processes.
        earlier_slow_steps: Slow steps of earlier processes.
        noted_at: When timing.json was last written (time.monotonic).
    """

    wall: WallTime = field(default_factory=WallTime)
    watch: SlowStepWatch | None = None
    start: ProcessStart | None = None
    saves: int = 0
    write_seconds: float = 0.0
    earlier_saves: dict[str, float] = field(default_factory=dict)
    earlier_slow_steps: int = 0
    noted_at: float = -float("inf")

    def begin(self, start: ProcessStart) -> None:
        """Continues the facts of earlier processes.

        Args:
            start: The start of this process.
        """
        self.start, self.wall.compile_seconds = start, start.compile_seconds
        peak_flops(start.config.precision)  # measured here, not between steps
        earlier = start.earlier or {}
        until = datetime.fromisoformat(earlier["timed_until"]).timestamp() if "timed_until" in earlier else None
        kept = self.wall.kept_seconds
        self.wall.is_known = kept is not None and ("timing" in earlier if start.earlier is not None else kept == 0.0)
        parts = {name: seconds for name, seconds in earlier.get("timing", {}).items() if name != "wall"}
        self.wall.attempts = start.attempts
        self.wall.begin(parts, until, start.is_first_run)
        self.earlier_saves = dict(earlier.get("checkpoints", {}))
        self.earlier_slow_steps = earlier.get("slow_steps", 0)
        self.note(start.first_step, at_once=True)

    def begin_steps(self, step: int, count: int) -> None:
        """Notes that the steps before have ended and the next ones are computed; starts to watch them.

        Args:
            step: Finished steps.
            count: Steps of the next dispatch.
        """
        assert self.start is not None
        if self.watch is None:
            self.watch = SlowStepWatch(self._report_slow_step)
            self.watch.start_thread()
        config = self.start.config
        self.watch.begin_steps(step + 1, count, config.sequences(step + count) - config.sequences(step))

    @contextlib.contextmanager
    def stepping(self) -> Iterator[None]:
        """Context of the training loop."""
        self.wall.stepping_since = time.monotonic()
        try:
            yield
        finally:
            self.end()

    def end(self) -> None:
        """Ends the watch for slow steps."""
        if self.watch is not None:
            self.watch.stop()

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Context of a validation, an evaluation of tasks or a checkpoint that the training waits for.

        Args:
            name: "validation", "evaluation" or "checkpoint".
        """
        is_outermost = self.wall.open_phase is None
        if self.watch is not None and is_outermost:
            self.watch.pause()
        try:
            with self.wall.phase(name):
                yield
        finally:
            if self.watch is not None and is_outermost:
                self.watch.resume()

    def add_input_wait(self, seconds: float, devices_are_idle: bool) -> None:
        """Notes a wait for a batch.

        Args:
            seconds: Seconds of the wait.
            devices_are_idle: Whether the devices had finished their steps at its end; else the wait cost no time.
        """
        if devices_are_idle:
            self.wall.phases["input"] += seconds

    def add_checkpoint(self, write_seconds: float) -> None:
        """Notes that a checkpoint is complete.

        Args:
            write_seconds: Seconds since the start of its save.
        """
        self.saves += 1
        self.write_seconds += write_seconds

    def facts(self, step: int) -> dict[str, Any]:
        """Returns the facts for the record's `about` that are known: `scaling.store.cost.MACHINE_FACTS`.

        Args:
            step: Finished steps.
        """
        if self.start is None:
            return {}
        facts: dict[str, Any] = {"attempts": self.wall.attempts}
        parts = {name: round(seconds, 3) for name, seconds in self.wall.parts().items()}
        wall = round(sum(parts.values()), 3)
        if self.wall.is_known and wall > 0:
            facts |= {"timing": {"wall": wall, **parts}, "goodput": round(parts["steps"] / wall, 6)}
        facts["timed_until"] = current_date("milliseconds")
        if self.saves or self.earlier_saves:
            saves = {"saved": self.saves, "write_seconds": self.write_seconds}
            saves["wait_seconds"] = self.wall.phases["checkpoint"]
            facts["checkpoints"] = {k: round(self.earlier_saves.get(k, 0) + v, 3) for k, v in saves.items()}
        facts["slow_steps"] = self.earlier_slow_steps + (self.watch.slow if self.watch is not None else 0)
        return facts | self._utilisation(step) | memory_peak()

    def kept_step_seconds(self) -> float | None:
        """Returns the seconds in the steps that led to the current state, for its checkpoint; None if unknown."""
        return round(self.wall.parts()["steps"], 3) if self.wall.is_known else None

    def _utilisation(self, step: int) -> dict[str, Any]:
        """Returns the model FLOPs utilisation of this process and the peak rate (Chowdhery 2022, appendix B)."""
        assert self.start is not None
        config, seconds = self.start.config, self.wall.step_seconds()
        if step <= self.start.first_step or seconds <= 0:
            return {}
        peak = peak_flops(config.precision)
        if peak is None:
            return {}
        sequences = config.sequences(step) - config.sequences(self.start.first_step)
        flops = self.start.flops * sequences / config.sequences(config.steps)  # all sequences cost the same
        rate, source = peak[0] * self.start.devices, peak[1]
        mfu = {"mfu": round(flops / seconds / rate, 6), "peak_flops_per_second": round(rate, 1)}
        return {**mfu, "peak_source": source}

    def note(self, step: int, *, at_once: bool = False) -> None:
        """Writes timing.json, at most every `NOTE_SECONDS` unless `at_once`.

        Args:
            step: Finished steps.
            at_once: Whether it is written now.
        """
        if self.start is not None and (at_once or time.monotonic() - self.noted_at > NOTE_SECONDS):
            self.noted_at = time.monotonic()
            write_timing(self.start.store, run_id(self.start.config), self.facts(step))

    def figures(self, step: int) -> dict[str, float]:
        """Returns figures for trackers, by tag.

        Args:
            step: Finished steps.
        """
        return tracked_figures(self.facts(step))

    def _report_slow_step(self, slow: SlowStep) -> None:
        """Writes the stacks of this host and emits the event; called from the watching thread as well."""
        assert self.start is not None
        import jax

        store, name = self.start.store, run_id(self.start.config)
        path = store.run_dir(name) / "slow-steps" / f"{slow.step:08d}-host{jax.process_index()}.txt"
        text = f"{slow.describe()}\n\n{slow.stacks or 'It had ended before its stacks could be written.'}\n"
        if is_anonymous(store.root):
            text = PrivateNames(store.root).remove_from(text)
        try:
            write_atomic(path, text.encode())
            store.upload(path)
        except OSError as error:  # a full disk: the run itself will say so
            print(describe_os_error(error), file=sys.stderr)
        event = {"event": "slow", "run_id": name, **dataclasses.asdict(slow), "why": slow.describe(), "file": str(path)}
        del event["stacks"]
        self.start.emit(event)
        if not collectives.is_main_host():
            print(f"{slow.describe()}: {path}", file=sys.stderr)


def tracked_figures(facts: Mapping[str, Any]) -> dict[str, float]:
    """Returns the figures of trackers, by tag.

    Args:
        facts: Facts of `Telemetry.facts`.
    """
    timing = facts.get("timing", {})
    return {tag: facts[name] / unit for name, (tag, unit) in FIGURES.items() if name in facts} | {
        f"machine/{name}_seconds": float(timing[name]) for name in TRACKED_PARTS if name in timing
    }

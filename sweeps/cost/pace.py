"""Estimate of the time left, from the speed of the finished runs in the store.

The time of a run is its FLOPs divided by the measured rate of its shape, plus the time before its first step, plus
compilation if its shape is new; each process adds its start-up time. The rate of an unknown shape is interpolated in
FLOPs per step.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from scaling.config.run import RunConfig
from scaling.store.record import Record, Store
from sweeps.planning.budget import step_flops
from sweeps.planning.plan import Plan, PlannedRun, step_shape
from sweeps.planning.workers import assign_runs


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Speed of the store's finished runs.

    Attributes:
        shapes: FLOP/s by shape, including evaluations.
        rates: ln of FLOPs per step and ln of FLOP/s of each shape, sorted.
        compile_seconds: Compile time of a shape.
        run_seconds: Time of a run before its first step, without compilation.
        process_seconds: Start-up time of a process.
        workers: Number of processes that trained at the same time.
    """

    shapes: dict[tuple[object, ...], float]
    rates: list[tuple[float, float]]
    compile_seconds: float
    run_seconds: float
    process_seconds: float = 0.0
    workers: int = 1

    def rate(self, config: RunConfig) -> float:
        """Returns the FLOP/s of a run."""
        measured = self.shapes.get(step_shape(config))
        return measured or math.exp(interpolate(math.log(step_flops(config)), self.rates))


def training_work(config: RunConfig, steps: int, flops: int) -> float:
    """Returns the FLOPs of a run's last steps and evaluations; evaluating a token costs a third of training on it.

    Args:
        config: The run.
        steps: Number of last steps.
        flops: FLOPs of one step of the full batch.
    """
    evaluations = steps // config.eval.every if config.eval.every else 0
    held_out = config.eval.sequences / config.batch / 3  # steps that cost as much as one evaluation
    return flops * (steps + held_out * max(1, evaluations))


def recorded_step_flops(record: Record) -> int:
    """Returns the training FLOPs of one step of a run, from its record, which needs no code of a user's blocks."""
    total, config = record.flops.get("total"), record.config
    return step_flops(config) if total is None else total * config.batch // config.sequences(config.steps)


def _remaining_work(run: PlannedRun) -> float:
    return training_work(run.config, run.config.steps - run.from_step, step_flops(run.config))


def measure_pace(store: Store) -> Pace | None:
    """Measures the speed of the store's finished runs; returns None without finished runs."""
    seconds: dict[tuple[object, ...], float] = defaultdict(float)
    flops_done: dict[tuple[object, ...], float] = defaultdict(float)
    flops: dict[tuple[object, ...], int] = {}
    compile_times, run_times, machine_shares, process_times = [], [], [], []
    for record in store.records():
        if record.status != "done" or not record.about.get("seconds") or not record.about.get("steps_computed"):
            continue
        key = step_shape(record.config)
        startup, training = split_seconds(record)
        seconds[key] += training
        flops[key] = recorded_step_flops(record)
        flops_done[key] += training_work(record.config, record.about["steps_computed"], flops[key])
        run_times.append(startup)
        machine_shares.append(record.about.get("machine_share") or 1.0)
        if record.about.get("compile_seconds"):  # in a pack, each run's share
            compile_times.append(record.about["compile_seconds"] * record.about.get("pack", {}).get("runs", 1))
        if "start_seconds" in record.about:
            process_times.append(record.about["start_seconds"])
    if not seconds:
        return None
    shapes = {key: flops_done[key] / seconds[key] for key in seconds}
    return Pace(
        shapes=shapes,
        rates=sorted((math.log(flops[key]), math.log(rate)) for key, rate in shapes.items()),
        compile_seconds=median(compile_times) if compile_times else 0.0,
        run_seconds=median(run_times),
        process_seconds=median(process_times) if process_times else 0.0,
        workers=max(1, round(1 / median(machine_shares))),
    )


def split_seconds(record: Record) -> tuple[float, float]:
    """Returns the seconds of a run before its first step (without compilation), and after it."""
    about, config = record.about, record.config
    total = max(about["seconds"] - about.get("compile_seconds", 0.0), 1e-9)
    if not about.get("tokens_per_second") or about.get("before"):  # a resumed run has the rate of its last process only
        return 0.0, total
    steps = about["steps_computed"]
    read = (config.sequences(config.steps) - config.sequences(config.steps - steps)) * config.data.length
    training = min(total, read / about["tokens_per_second"])
    return total - training, training


def estimate_seconds_left(plan: Plan, pace: Pace) -> float:
    """Returns the wall-clock seconds for the remaining runs of a plan, which are those of the slowest worker.

    Args:
        plan: The plan.
        pace: Measured speed.
    """
    assigned = assign_runs([run.config for run in plan.remaining], pace.workers)
    return max(worker_seconds([run for run in plan.remaining if run.run_id in names], pace) for names in assigned)


def worker_seconds(runs: list[PlannedRun], pace: Pace) -> float:
    """Returns the seconds of runs in one process.

    Args:
        runs: The runs.
        pace: Measured speed.
    """
    total = pace.process_seconds + pace.compile_seconds * len({step_shape(run.config) for run in runs})
    for run in runs:
        total += pace.run_seconds + _remaining_work(run) / pace.rate(run.config)
    return total


def interpolate(x: float, points: list[tuple[float, float]]) -> float:
    """Interpolates linearly between points; constant before the first and after the last.

    Args:
        x: Where to interpolate.
        points: (x, y), sorted by x.
    """
    if x <= points[0][0]:
        return points[0][1]
    for (x0, y0), (x1, y1) in pairwise(points):
        if x <= x1:
            return y0 + (y1 - y0) * ((x - x0) / (x1 - x0) if x1 > x0 else 0.0)
    return points[-1][1]

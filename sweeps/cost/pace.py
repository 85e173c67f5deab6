"""How long the rest of a sweep takes on the machine its store's runs were trained on.

A run's seconds = what its steps and evaluations took a FLOP at its shape, what every run takes before its first step,
and the compilation of a shape that is new to the launch; and a process takes a while to start. A shape the store has
not seen takes the rate, in FLOP/s, of those nearest in FLOPs a step.
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
from sweeps.planning.plan import Plan, shape
from sweeps.planning.plan import Run as PlannedRun
from sweeps.planning.workers import shares


@dataclass(frozen=True, kw_only=True)
class Pace:
    """What the store's finished runs took."""

    shapes: dict[tuple[object, ...], float]  # FLOP/s, evaluation included
    rates: list[tuple[float, float]]  # ln FLOPs a step and ln FLOP/s of each shape, in order
    compiling: float  # seconds a shape
    beginning: float  # seconds a run
    starting: float = 0.0  # seconds a process
    workers: int = 1  # processes that trained beside each other

    def rate(self, config: RunConfig) -> float:
        """FLOP/s of a run."""
        known = self.shapes.get(shape(config))
        return known or math.exp(interpolated(math.log(step_flops(config)), self.rates))


def work(config: RunConfig, steps: int) -> float:
    """FLOPs of so many last steps and the evaluations among them: a token evaluated is a third of one trained on."""
    evaluations = steps // config.eval.every if config.eval.every else 0
    held_out = config.eval.sequences / config.batch / 3  # steps that one evaluation is worth
    return step_flops(config) * (steps + held_out * max(1, evaluations))


def pace(store: Store) -> Pace | None:
    """What runs took here, None where none has finished."""
    seconds: dict[tuple[object, ...], float] = defaultdict(float)
    done: dict[tuple[object, ...], float] = defaultdict(float)
    flops: dict[tuple[object, ...], int] = {}
    compiling, beginning, share, starting = [], [], [], []
    for record in store.records():
        if record.status != "done" or not record.about.get("seconds") or not record.about.get("steps_computed"):
            continue
        key = shape(record.config)
        before, training = parts(record)
        seconds[key] += training
        done[key] += work(record.config, record.about["steps_computed"])
        flops[key] = step_flops(record.config)
        beginning.append(before)
        share.append(record.about.get("machine_share", 1.0))
        if record.about.get("compile_seconds"):  # of a pack, each run's part
            compiling.append(record.about["compile_seconds"] * record.about.get("pack", {}).get("runs", 1))
        if "start_seconds" in record.about:
            starting.append(record.about["start_seconds"])
    if not seconds:
        return None
    shapes = {key: done[key] / seconds[key] for key in seconds}
    return Pace(
        shapes=shapes,
        rates=sorted((math.log(flops[key]), math.log(rate)) for key, rate in shapes.items()),
        compiling=median(compiling) if compiling else 0.0,
        beginning=median(beginning),
        starting=median(starting) if starting else 0.0,
        workers=max(1, round(1 / median(share))),
    )


def parts(record: Record) -> tuple[float, float]:
    """Seconds of a run before its first step, compilation left out, and from there on."""
    about, config = record.about, record.config
    took = max(about["seconds"] - about.get("compile_seconds", 0.0), 1e-9)
    if not about.get("tokens_per_second") or about.get("before"):  # of a run that was stopped, only the last part's
        return 0.0, took
    steps = about["steps_computed"]
    read = (config.sequences(config.steps) - config.sequences(config.steps - steps)) * config.data.length
    training = min(took, read / about["tokens_per_second"])
    return took - training, training


def seconds_left(of: Plan, by: Pace) -> float:
    """Wall-clock of what is left of a plan: each worker's runs one after the other, the longest worker's time."""
    dealt = shares([run.config for run in of.left], by.workers)
    return max(seconds_of([run for run in of.left if run.run_id in names], by) for names in dealt)


def seconds_of(runs: list[PlannedRun], by: Pace) -> float:
    """Of runs in one process."""
    total = by.starting + by.compiling * len({shape(run.config) for run in runs})
    for run in runs:
        total += by.beginning + work(run.config, run.config.steps - run.from_step) / by.rate(run.config)
    return total


def interpolated(x: float, points: list[tuple[float, float]]) -> float:
    """y at x on the line between neighbours in x, level beyond the ends."""
    if x <= points[0][0]:
        return points[0][1]
    for (x0, y0), (x1, y1) in pairwise(points):
        if x <= x1:
            return y0 + (y1 - y0) * ((x - x0) / (x1 - x0) if x1 > x0 else 0.0)
    return points[-1][1]

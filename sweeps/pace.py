"""How long the rest of a sweep takes on the machine its store's runs were trained on.

A run's seconds = its steps times the seconds a step of its shape took, and the compilation of a shape that is new to
the launch. A shape the store has not seen takes the rate, in FLOP/s, of those nearest in FLOPs a step.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from scaling.record import Store
from sweeps.budget import flops_until, step_flops
from sweeps.plan import Plan, shape


@dataclass(frozen=True, kw_only=True)
class Pace:
    """What the store's finished runs took."""

    shapes: dict[tuple[object, ...], float]  # seconds a step
    rates: list[tuple[float, float]]  # ln FLOPs a step and ln FLOP/s of each shape, in order
    compiling: float  # seconds a shape


def pace(store: Store) -> Pace | None:
    """What runs took here, None where none has finished."""
    seconds: dict[tuple[object, ...], float] = defaultdict(float)
    steps: dict[tuple[object, ...], int] = defaultdict(int)
    flops: dict[tuple[object, ...], int] = {}
    compiling = []
    for record in store.records():
        took, done = record.about.get("seconds"), record.about.get("steps_computed")
        if record.status != "done" or not took or not done:
            continue
        key, compile_seconds = shape(record.config), record.about.get("compile_seconds", 0.0)
        seconds[key] += max(took - compile_seconds, 1e-9)
        steps[key] += done
        flops[key] = step_flops(record.config)
        if compile_seconds:
            compiling.append(compile_seconds)
    if not seconds:
        return None
    rates = sorted((math.log(flops[key]), math.log(flops[key] * steps[key] / seconds[key])) for key in seconds)
    each = {key: seconds[key] / steps[key] for key in seconds}
    return Pace(shapes=each, rates=rates, compiling=median(compiling) if compiling else 0.0)


def seconds_left(of: Plan, by: Pace) -> float:
    """Wall-clock of what is left of a plan, one run after the other in one process."""
    total = by.compiling * len({shape(run.config) for run in of.left})
    for run in of.left:
        known = by.shapes.get(shape(run.config))
        if known is not None:
            total += known * (run.config.steps - run.from_step)
        else:
            flops = run.C - flops_until(run.config, run.from_step)
            total += flops / math.exp(interpolated(math.log(step_flops(run.config)), by.rates))
    return total


def interpolated(x: float, points: list[tuple[float, float]]) -> float:
    """y at x on the line between neighbours in x, level beyond the ends."""
    if x <= points[0][0]:
        return points[0][1]
    for (x0, y0), (x1, y1) in pairwise(points):
        if x <= x1:
            return y0 + (y1 - y0) * ((x - x0) / (x1 - x0) if x1 > x0 else 0.0)
    return points[-1][1]

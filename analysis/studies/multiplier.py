"""How many times the compute one architecture needs to reach another's loss: the compute multiplier, with its interval.

At each budget C the losses of a group's sizes have a parabola in ln N, whose lowest point is the group's loss at C. The
groups' curves are one curve, ln L = p(ln C + s), each shifted by its own s = ln multiplier: a group with a multiplier
of 2 does with C what the reference does with 2 C. p is a parabola, a line where the budgets are two.
The interval: the runs' residuals about their parabolas, drawn anew (DRAWS times) and all of it fitted again.

Key: C planned FLOPs, N parameters, L nats a token; B draws, K budgets of both groups, S shifts, n runs of a budget.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from analysis.data.load import load
from analysis.data.points import Points
from analysis.data.points import group as by_budget
from analysis.errors import DataError, FitError
from analysis.uncertainty import intervals

LARGEST = 32.0  # multiplier that is looked for, and 1 / this
SHIFTS = 801
SIZES = 3  # of a budget: a parabola's


@dataclass(frozen=True)
class Multiplier:
    """Of `group` against `reference`: value, interval, and verdict, `converged` where nothing was found to doubt."""

    group: str
    reference: str
    value: float
    interval: tuple[float, float]
    level: float
    budgets: int
    runs: int
    verdict: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """As written by --json."""
        return {**asdict(self), "interval": list(self.interval)}


@dataclass(frozen=True)
class Curve:
    """A group's budgets: ln C (K,), the lowest loss of each (K,), draws of it (B, K); doubts."""

    x: np.ndarray
    L: np.ndarray
    draws: np.ndarray
    doubts: list[str]


def multipliers(
    source: str | Path,
    by: str,
    *,
    reference: str | None = None,
    bootstrap: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    columns: dict[str, str] | None = None,
    **reading: Any,
) -> list[Multiplier]:
    """Each group of column `by` against the reference (default: the first in order of name).

    Raises DataError where the groups are not two or more, or lack budgets; FitError where a budget has no minimum.
    """
    points = load(source, columns={**(columns or {}), "group": by}, **reading)
    assert points.groups is not None
    names = sorted({str(name) for name in points.groups})
    if len(names) < 2:
        raise DataError(f"{source}: {by} is {names[0]} in all runs: a multiplier is of two groups or more")
    chosen = names[0] if reference is None else reference
    if chosen not in names:
        raise DataError(f"--reference {chosen}: {by} is one of {', '.join(names)}")
    rng = np.random.default_rng(seed)
    labels = np.array([str(name) for name in points.groups])
    parts = {name: points.where(labels == name) for name in names}
    curves = {name: curve(part, name, bootstrap, rng) for name, part in parts.items()}
    return [
        against(name, chosen, curves, level, len(parts[name]) + len(parts[chosen])) for name in names if name != chosen
    ]


def curve(points: Points, name: str, count: int, rng: np.random.Generator) -> Curve:
    """The lowest loss of each budget with at least SIZES sizes."""
    used = [(C, at) for C, at in by_budget(points) if len(np.unique(points.N[at])) >= SIZES]
    if len(used) < 2:
        raise DataError(f"{name}: {len(used)} budgets with {SIZES} sizes or more: a multiplier needs 2")
    bases, doubts = [], []
    for C, at in used:
        x = np.log(points.N[at]) - np.log(points.N[at]).mean()
        X = np.stack([np.ones_like(x), x, x**2], -1)
        bases.append((X, np.linalg.pinv(X)))
        if np.argmin(points.L[at]) in (np.argmin(x), np.argmax(x)):
            doubts.append(f"{name}: lowest loss at C = {C:.3g} is at the edge of its sizes")
    fits = [inverse @ points.L[at] for (_, inverse), (_, at) in zip(bases, used, strict=True)]
    kept = [at for at, c in enumerate(fits) if c[2] > 0]
    if len(kept) < len(fits):
        named = ", ".join(f"{used[at][0]:.3g}" for at in range(len(fits)) if at not in kept)
        doubts.append(f"{name}: losses at C = {named} have no minimum in N (concave): left out")
        if len(kept) < 2:
            raise FitError(f"{doubts[-1]}; a multiplier needs 2 budgets: more sizes, further apart")
        used, bases, fits = [used[at] for at in kept], [bases[at] for at in kept], [fits[at] for at in kept]
    left = [points.L[at] - X @ c for (X, _), (_, at), c in zip(bases, used, fits, strict=True)]
    free = sum(len(r) - SIZES for r in left)
    if free < 1:
        doubts.append(f"{name}: no run beyond a parabola's three: the noise is unknown, the interval too narrow")
    noise = float(np.sqrt(sum(np.sum(r**2) for r in left) / max(free, 1)))
    wide = noise * np.sqrt(max(free, 1) / rng.chisquare(max(free, 1), (count, 1)))  # the noise is not known exactly
    lowest, draws = [], []
    for (X, inverse), c in zip(bases, fits, strict=True):
        lowest.append(c[0] - c[1] ** 2 / (4 * c[2]))
        new = (X @ c + wide * rng.standard_normal((count, len(X)))) @ inverse.T
        with np.errstate(all="ignore"):
            draws.append(np.where(new[:, 2] > 0, new[:, 0] - new[:, 1] ** 2 / (4 * new[:, 2]), np.nan))
    return Curve(np.log([C for C, _ in used]), np.array(lowest), np.stack(draws, -1), doubts)


def against(name: str, reference: str, curves: dict[str, Curve], level: float, runs: int) -> Multiplier:
    """The multiplier of one group, from both curves and their draws."""
    one, other = curves[name], curves[reference]
    doubts = [*other.doubts, *one.doubts]
    best = float(shifts(other.x, one.x, np.concatenate([other.L, one.L])[None])[0])
    draws = np.concatenate([other.draws, one.draws], -1)
    sound = np.isfinite(draws).all(-1)
    if sound.mean() < level:
        doubts.append(f"{1 - sound.mean():.0%} of draws have a budget without a minimum: left out")
    low, high = intervals.interval(shifts(other.x, one.x, draws[sound]), level) if sound.any() else (-np.inf, np.inf)
    if abs(best) > np.log(LARGEST) * 0.99:
        doubts.append(f"beyond the {LARGEST:g} times that is looked for")
    if other.L.min() > one.L.max() or one.L.min() > other.L.max():
        doubts.append("the losses of the two have no range in common: extrapolated")
    return Multiplier(
        group=name,
        reference=reference,
        value=float(np.exp(best)),
        interval=(float(np.exp(low)), float(np.exp(high))),
        level=level,
        budgets=len(one.x) + len(other.x),
        runs=runs,
        verdict=doubts or ["converged"],
    )


def shifts(x: np.ndarray, moved: np.ndarray, L: np.ndarray) -> np.ndarray:
    """s (B,) with which ln L (B, K), the reference's first, lies nearest one curve in ln C + s.

    The curve's coefficients are solved for at each of a grid of shifts; a parabola through the best three refines it.
    """
    grid = np.linspace(-np.log(LARGEST), np.log(LARGEST), SHIFTS)
    y, degree = np.log(L), 2 if min(len(x), len(moved)) > 2 else 1
    square = np.empty((len(grid), len(y)))
    for at, s in enumerate(grid):
        z = np.concatenate([x, moved + s])
        X = np.vander((z - z.mean()) / np.ptp(z), degree + 1)
        q = np.linalg.qr(X)[0]
        square[at] = np.sum(y**2, -1) - np.sum((y @ q) ** 2, -1)
    best = np.clip(square.argmin(0), 1, len(grid) - 2)
    rows = np.arange(len(y))
    a, b, c = (square[best + k, rows] for k in (-1, 0, 1))
    bend = np.maximum(a - 2 * b + c, 1e-300)
    return np.asarray(grid[best] + (grid[1] - grid[0]) * np.clip((a - c) / (2 * bend), -1, 1))

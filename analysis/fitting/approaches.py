"""Hoffmann's approaches 1 and 2 as fits: the exponents of N*(C) and D*(C), without a law of the loss.

Key: N parameters, D tokens, C FLOPs, L nats a token; B draws.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.data.points import Curve, Points, group
from analysis.errors import FitError
from analysis.fitting import isoflop
from analysis.fitting.result import Fit, Optimum
from analysis.uncertainty import intervals

GRID = 200  # values of C at which the envelope of the curves is read (Hoffmann 2022, section 3.1, has 1500)
WARM = 0.1  # share of a run that is left out of the envelope: warm-up
SMOOTH = 0.1  # a training loss is averaged over this share of the steps so far, to either side


def fit(
    points: Points,
    law: str,
    *,
    bootstrap: int,
    seed: int,
    level: float,
    extrapolate: tuple[float, ...],
    weighting: str = "noise",
    minimum: str = "parabola",
) -> Fit:
    """chinchilla-1 or chinchilla-2 on points. params: a, b, G_N, G_D of N* = G_N·C^a, D* = G_D·C^b."""
    if law == "chinchilla-2":
        choices = {"weighting": weighting, "minimum": minimum}
        return _second(
            points, isoflop.isoflop(points, bootstrap=bootstrap, seed=seed, level=level, **choices), extrapolate
        )
    envelope = lowest(points)
    params, value = _through(envelope, bootstrap, seed)
    said = {"name": "least squares of ln N on ln C", "value": value}
    verdict = _with_open_exponent(envelope.verdict, params["a"], level)
    return _as_fit(points, law, params, said, verdict, (envelope.note,), level, extrapolate)


def _second(points: Points, found: isoflop.IsoFlop, extrapolate: tuple[float, ...]) -> Fit:
    """Approach 2 with its own error beside it."""
    from analysis.fitting import parabola_bias

    if found.params is None:
        raise FitError(f"chinchilla-2: {'; '.join(found.verdict)}")
    curves = {"parabola": "parabolas by least squares", "akima": "Akima curves; the value is of parabolas"}
    said = {"name": curves[found.minimum], "value": found.value}
    verdict, notes = _with_open_exponent(found.verdict, found.params["a"], found.level), found.notes
    own = parabola_bias.bias(points, found, extrapolate)
    if own is not None:
        more = parabola_bias.verdict(own, found.params, float(points.C.max()), found.level)
        verdict = tuple(one for one in verdict if one != "converged" or not more) + more
        notes = (*notes, own.note)
    return _as_fit(points, "chinchilla-2", found.params, said, verdict, notes, found.level, extrapolate)


def _with_open_exponent(said: tuple[str, ...], a: np.ndarray, level: float) -> tuple[str, ...]:
    """The verdict, and whether the points leave open that N* or D* shrinks as compute grows."""
    low, high = intervals.interval(a[1:], level)
    said = tuple(one for one in said if one != "converged")
    if low <= 0 or high >= 1:
        said += (f"unidentifiable: the interval of a, {low:.3g} to {high:.3g}, leaves open which of N* and D* grows",)
    return said or ("converged",)


def _as_fit(
    points: Points,
    law: str,
    params: dict[str, np.ndarray],
    objective: dict[str, object],
    verdict: tuple[str, ...],
    notes: tuple[str, ...],
    level: float,
    extrapolate: tuple[float, ...],
) -> Fit:
    with np.errstate(divide="ignore"):
        path = {"ln_n": np.log(params["G_N"]), "a": params["a"], "ln_d": np.log(params["G_D"]), "b": params["b"]}
    return Fit(
        law=law,
        points=points,
        params={name: float(values[0]) for name, values in params.items()},
        intervals={name: intervals.interval(values[1:], level) for name, values in params.items()},
        level=level,
        objective=objective,
        starts={"tried": 0, "agreed": 0},
        verdict=verdict,
        draws={name: values[1:] for name, values in params.items()},
        optimum=Optimum(path, level, float(points.C.max())),
        notes=notes,
        extrapolate=tuple(extrapolate),
    )


@dataclass(frozen=True)
class Envelope:
    """The run with the lowest loss at each C (K,); spacing: typical step between the sizes there were, in ln N."""

    C: np.ndarray
    N: np.ndarray
    D: np.ndarray
    L: np.ndarray
    spacing: float
    note: str
    verdict: tuple[str, ...]


def lowest(points: Points) -> Envelope:
    """The lower envelope: of the learning curves where the points carry them, else of each budget's runs."""
    if not (np.isfinite(points.N).all() and np.isfinite(points.C).all()):
        raise FitError(f"chinchilla-1 needs N and C, which {points.source} does not have")
    found = _of_curves(points.curves) if points.curves else _of_budgets(points)
    sizes = len(np.unique(found.N))
    if sizes < 2:
        raise FitError("chinchilla-1: one model size is the best at every C: run smaller and larger ones")
    if sizes < 4:
        few = f"too-few-budgets: only {sizes} model sizes are ever the best"
        found = replace(found, verdict=(*found.verdict, few))
    return found


def _of_budgets(points: Points) -> Envelope:
    groups = [at for _, at in group(points) if len(np.unique(points.N[at])) > 2]
    if len(groups) < 2:
        raise FitError("chinchilla-1: fewer than two budgets with three sizes, and no learning curves")
    best = [at[np.argmin(points.L[at])] for at in groups]
    edges = [
        points.C[one]
        for one, at in zip(best, groups, strict=True)
        if points.N[one] in (points.N[at].min(), points.N[at].max())
    ]
    if len(edges) == len(groups):
        raise FitError("chinchilla-1: the best run is the smallest or the largest at every budget: widen the grid")
    said = [f"edge-minimum: at C = {C:.3g} the best run is the smallest or largest" for C in edges]
    spacing = float(np.median([np.median(np.diff(np.log(np.unique(points.N[at])))) for at in groups]))
    note = "no learning curves: the lowest loss of each budget's runs stands for the envelope"
    C, N, D, L = (x[best] for x in (points.C, points.N, points.D, points.L))
    return Envelope(C, N, D, L, spacing, note, tuple(said))


def _of_curves(curves: tuple[Curve, ...]) -> Envelope:
    """Lowest loss over curves at values of C where at least two sizes have been, interpolated in ln C."""
    kept = []
    for one in curves:
        late = one.C / one.C.max() >= WARM
        if late.sum() > 1:
            loss = one.L if one.held else _smoothed(one.L)
            kept.append((one.N, np.log(one.C[late]), loss[late], float(one.D[-1] / one.C[-1])))
    sizes = np.array([n for n, *_ in kept])
    if len(np.unique(sizes)) < 2:
        raise FitError("chinchilla-1: fewer than two model sizes have learning curves")
    grid = np.linspace(min(x[0] for _, x, *_ in kept), max(x[-1] for _, x, *_ in kept), GRID)
    losses = np.array([np.interp(grid, x, L, left=np.inf, right=np.inf) for _, x, L, _ in kept])
    # Where the best size is the smallest or largest that was there, a better one may lie outside: an edge minimum.
    there = np.where(np.isfinite(losses), sizes[:, None], np.nan)
    seen = np.isfinite(there).any(0)
    best_N = np.where(seen, sizes[losses.argmin(0)], np.nan)
    low, high = np.where(np.isfinite(there), there, np.inf).min(0), np.where(np.isfinite(there), there, -np.inf).max(0)
    at = np.flatnonzero((best_N > low) & (best_N < high))
    if len(at) < 2:
        raise FitError("chinchilla-1: at no C is the best learning curve that of a size between others")
    best = losses[:, at].argmin(0)
    C = np.exp(grid[at])
    held = "held-out" if all(c.held for c in curves) else "training"
    note = f"envelope of {len(kept)} {held} learning curves"
    note += "" if held == "held-out" else f", each loss averaged over {SMOOTH:.0%} of the steps before and after"
    note += "; a loss before a run's end is from before its decay"
    if len(at) < seen.sum():
        note += f"; {1 - len(at) / seen.sum():.0%} of it left out, where the best size is the smallest or largest"
    spacing = float(np.median(np.diff(np.log(np.unique(sizes)))))
    D = C * np.array([kept[i][3] for i in best])
    return Envelope(C, sizes[best], D, losses[best, at], spacing, note, ())


def _smoothed(L: np.ndarray) -> np.ndarray:
    """A training loss, one a step, averaged over SMOOTH of the steps so far to either side, or what there is of them.

    The loss of one batch is too noisy for an envelope: the lowest of many is the luckiest (Hoffmann 2022, section 3.1,
    smooths too).
    """
    at = np.arange(len(L))
    half = np.round(SMOOTH * (at + 1)).astype(int)
    low, high = np.maximum(at - half, 0), np.minimum(at + half + 1, len(L))
    total = np.concatenate([[0.0], np.cumsum(L)])
    return (total[high] - total[low]) / (high - low)


def _through(found: Envelope, count: int, seed: int) -> tuple[dict[str, np.ndarray], float]:
    """ln N = ln G_N + a·ln C by least squares, the same for D, with draws.

    Along an envelope neighbouring values share their run, so what counts is sizes: the scatter of each size's middle
    about the line, at least that of rounding to the nearest size (spacing / √12), with Student's t for their number.
    """
    x, n, d = np.log(found.C), np.log(found.N), np.log(found.D)
    middle = x.mean()
    slope = [(y @ (x - middle)) / ((x - middle) @ (x - middle)) for y in (n, d)]
    level = [n.mean(), d.mean()]
    value = float(np.sum((n - level[0] - slope[0] * (x - middle)) ** 2))
    sizes = np.unique(found.N)
    at = np.array([x[size == found.N].mean() for size in sizes])
    off = np.log(sizes) - level[0] - slope[0] * (at - middle)
    free = max(len(sizes) - 2, 1)
    sigma = max(float(np.sqrt(np.sum(off**2) / free)), found.spacing / np.sqrt(12))
    rng = np.random.default_rng(seed)
    scale = sigma * np.sqrt(free / rng.chisquare(free, size=count))
    tilt = scale * rng.standard_normal(count) / np.sqrt(np.sum((at - at.mean()) ** 2))
    lift = scale * rng.standard_normal(count) / np.sqrt(len(sizes)) - tilt * (at.mean() - middle)
    a, b = (s + np.concatenate([[0.0], sign * tilt]) for s, sign in zip(slope, (1, -1), strict=True))
    ends = [v + np.concatenate([[0.0], sign * lift]) for v, sign in zip(level, (1, -1), strict=True)]
    with np.errstate(over="ignore"):
        return {"a": a, "b": b, "G_N": np.exp(ends[0] - a * middle), "G_D": np.exp(ends[1] - b * middle)}, value

"""Hoffmann's approaches 1 and 2 as fits: the exponents of N*(C) and D*(C), without a law of the loss.

Key: N parameters, D tokens, C FLOPs, L nats a token; B draws.
"""

from __future__ import annotations

import numpy as np

from analysis import doubt, isoflop
from analysis.fit import Fit, Optimum
from analysis.points import Curve, Points
from analysis.solve import FitError

GRID = 200  # values of C at which the envelope of the curves is read (Hoffmann 2022, section 3.1, has 1500)
WARM = 0.1  # share of a run that is left out of the envelope: warm-up


def fit(
    points: Points,
    law: str,
    *,
    bootstrap: int,
    seed: int,
    level: float,
    extrapolate: tuple[float, ...],
    weighting: str = "noise",
) -> Fit:
    """chinchilla-1 or chinchilla-2 on points. params: a, b, G_N, G_D of N* = G_N·C^a, D* = G_D·C^b."""
    if law == "chinchilla-2":
        found = isoflop.isoflop(points, bootstrap=bootstrap, seed=seed, level=level, weighting=weighting)
        if found.params is None:
            raise FitError(f"chinchilla-2: {'; '.join(found.verdict)}")
        said = {"name": "parabolas by least squares", "value": found.value}
        return _as_fit(points, law, found.params, said, found.verdict, found.notes, level, extrapolate)
    C, N, D, _, notes, verdict = lowest(points)
    params, value = _through(C, N, D, bootstrap, seed)
    said = {"name": "least squares of ln N on ln C", "value": value}
    return _as_fit(points, law, params, said, verdict, notes, level, extrapolate)


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
        intervals={name: doubt.interval(values[1:], level) for name, values in params.items()},
        level=level,
        objective=objective,
        starts={"tried": 0, "agreed": 0},
        verdict=verdict,
        draws={name: values[1:] for name, values in params.items()},
        optimum=Optimum(path, level, float(points.C.max())),
        notes=notes,
        extrapolate=tuple(extrapolate),
    )


def lowest(
    points: Points,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, tuple[str, ...], tuple[str, ...]]:
    """The run with the lowest loss at each C: C, N, D, L (K,), notes and verdict.

    Over the learning curves where the points carry them, else over the budgets' runs.
    """
    if not (np.isfinite(points.N).all() and np.isfinite(points.C).all()):
        raise FitError(f"chinchilla-1 needs N and C, which {points.source} does not have")
    said = []
    if points.curves:
        C, N, D, L, note = _envelope(points.curves)
    else:
        best = [at[np.argmin(points.L[at])] for _, at in isoflop.group(points) if len(at) > 1]
        if len(best) < 2:
            raise FitError("chinchilla-1: fewer than two budgets with several runs, and no learning curves")
        C, N, D, L = (x[best] for x in (points.C, points.N, points.D, points.L))
        note = "no learning curves: the lowest loss of each budget's runs stands for the envelope"
        for _, at in isoflop.group(points):
            if len(at) > 1 and points.N[at[np.argmin(points.L[at])]] in (points.N[at].min(), points.N[at].max()):
                said.append(
                    f"edge-minimum: at C = {np.median(points.C[at]):.3g} the best run is the smallest or largest"
                )
    sizes = len(np.unique(N))
    if sizes < 2:
        raise FitError("chinchilla-1: one model size is the best at every C: run smaller and larger ones")
    if sizes < 4:
        said.append(f"too-few-budgets: only {sizes} model sizes are ever the best")
    return C, N, D, L, (note,), tuple(said) or ("converged",)


def _envelope(curves: tuple[Curve, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, str]:
    """Lowest loss over curves at values of C where at least two sizes have been, interpolated in ln C."""
    kept = []
    for one in curves:
        late = one.C / one.C.max() >= WARM
        if late.sum() > 1:
            kept.append((one.N, np.log(one.C[late]), one.L[late], one.D[late] / one.C[late]))
    if len({n for n, *_ in kept}) < 2:
        raise FitError("chinchilla-1: fewer than two model sizes have learning curves")
    first, last = min(x[0] for _, x, *_ in kept), max(x[-1] for _, x, *_ in kept)
    grid = np.linspace(first, last, GRID)
    losses = np.array([np.interp(grid, x, L, left=np.inf, right=np.inf) for _, x, L, _ in kept])
    sizes = np.array([n for n, *_ in kept])
    alive = np.array([len(np.unique(sizes[np.isfinite(column)])) for column in losses.T])
    at = np.flatnonzero(alive >= 2)
    if len(at) < 2:
        raise FitError("chinchilla-1: the learning curves of different sizes do not overlap in C")
    best = losses[:, at].argmin(0)
    C = np.exp(grid[at])
    D = C * np.array([kept[i][3][-1] for i in best])
    held = "held-out" if all(c.held for c in curves) else "training"
    note = f"envelope of {len(kept)} {held} learning curves; losses before a run's end are from before its decay"
    return C, sizes[best], D, losses[best, np.arange(len(at))], note


def _through(C: np.ndarray, N: np.ndarray, D: np.ndarray, count: int, seed: int) -> tuple[dict[str, np.ndarray], float]:
    """ln N = ln G_N + a·ln C by least squares, the same for D, and draws over blocks of equal N.

    Along an envelope neighbouring values share their run: what is drawn anew is runs, not values.
    """
    rng = np.random.default_rng(seed)
    sizes, index = np.unique(N, return_inverse=True)
    weights = np.vstack([np.ones(len(sizes)), rng.dirichlet(np.ones(len(sizes)), size=count) * len(sizes)])[:, index]
    x, n, d = np.log(C), np.log(N), np.log(D)
    middle = weights @ x / weights.sum(-1)
    spread = weights @ x**2 / weights.sum(-1) - middle**2
    out = {}
    for y, exponent, scale in ((n, "a", "G_N"), (d, "b", "G_D")):
        mean = weights @ y / weights.sum(-1)
        slope = (weights @ (x * y) / weights.sum(-1) - middle * mean) / spread
        out[exponent], out[scale] = slope, np.exp(mean - slope * middle)
    off = n - np.log(out["G_N"][0]) - out["a"][0] * x
    return {name: out[name] for name in ("a", "b", "G_N", "G_D")}, float(np.sum(off**2))

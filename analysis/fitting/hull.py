"""Approach 1 by the convex hull of the learning curves: power laws fitted to the vertices of its lower side.

The hull of ln L over ln C of all losses needs no interpolation. Its vertices are the losses that no mixture of other
runs, on logarithmic scales, undercuts.

Key: N parameters, D tokens, C FLOPs, L loss; B bootstrap samples, R runs, V vertices.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.data.points import Points, TrainingCurve
from analysis.errors import FitError
from analysis.fitting.envelope import MIN_SIZES, late_part
from analysis.uncertainty.verdicts import warning

Vertex = tuple[float, float, float, float]  # ln C, ln L, ln N, ln D


def fit_hull(points: Points, count: int, seed: int) -> tuple[dict[str, np.ndarray], float, str, list[str]]:
    """Fits ln N = ln G_N + a·ln C, and the same for D, by ordinary least squares on the vertices of the hull.

    Args:
        points: Runs with N, D and C, and their learning curves if available; else the hull is that of the last losses.
        count: Number of bootstrap samples; each draws as many runs as there are, with replacement.
        seed: Seed of the bootstrap.

    Returns:
        a, b, G_N and G_D, each (1 + B,) with the estimate first and NaN for samples with one size; the sum of squared
        residuals of ln N; a description; and warnings.

    Raises:
        FitError: N, D or C is not known, or fewer than two sizes are on the hull.
    """
    if not all(np.isfinite(points[letter]).all() for letter in "NDC"):
        raise FitError(f"chinchilla-1 with --frontier hull needs N, D and C, which {points.source} does not have")
    runs = [part for curve in points.curves if (part := _curve_vertices(curve))] if points.curves else _last(points)
    vertices = np.array(lower_hull([vertex for run in runs for vertex in run]))
    sizes = len(np.unique(vertices[:, 2]))
    if sizes < 2:
        raise FitError("chinchilla-1: the hull has one model size: train smaller and larger sizes")
    rng = np.random.default_rng(seed)
    lines = [_fit_lines(vertices)]
    for _ in range(count):
        drawn = np.unique(rng.integers(len(runs), size=len(runs)))
        lines.append(_fit_lines(np.array(lower_hull([vertex for i in drawn for vertex in runs[i]]))))
    a, ln_n, b, ln_d = np.array(lines).T
    with np.errstate(over="ignore"):
        params = {"a": a, "b": b, "G_N": np.exp(ln_n), "G_D": np.exp(ln_d)}
    value = float(np.sum((vertices[:, 2] - ln_n[0] - a[0] * vertices[:, 0]) ** 2))
    return params, value, _note(points, len(runs), vertices), _check(sizes, a, vertices, runs)


def lower_hull(vertices: Sequence[Vertex]) -> list[Vertex]:
    """Returns the vertices of the lower convex hull in order of C, down to the lowest loss (Andrew 1979).

    Args:
        vertices: Losses of runs.
    """
    hull: list[Vertex] = []
    for vertex in sorted(vertices):
        if hull and vertex[0] == hull[-1][0]:  # a higher loss at the same C
            continue
        while len(hull) > 1 and _turns_down(hull[-2], hull[-1], vertex):
            hull.pop()
        hull.append(vertex)
    lowest = min(range(len(hull)), key=lambda i: hull[i][1])
    return hull[: lowest + 1]


def _turns_down(first: Vertex, middle: Vertex, last: Vertex) -> bool:
    """Whether the middle is not below the line from the first to the last."""
    return (middle[0] - first[0]) * (last[1] - first[1]) <= (middle[1] - first[1]) * (last[0] - first[0])


def _curve_vertices(curve: TrainingCurve) -> list[Vertex]:
    """Hull of one curve after warm-up, which contains all of its vertices of the common hull."""
    part = late_part(curve)
    if part is None:
        return []
    ln_C, loss, ln_D = part
    return lower_hull([(x, y, float(np.log(curve.N)), d) for x, y, d in zip(ln_C, np.log(loss), ln_D, strict=True)])


def _last(points: Points) -> list[list[Vertex]]:
    """The last loss of each run."""
    rows = np.log(np.stack([points.C, points.L, points.N, points.D], -1)).tolist()
    return [[(x, y, n, d)] for x, y, n, d in rows]


def _fit_lines(vertices: np.ndarray) -> tuple[float, float, float, float]:
    """Slope and intercept of ln N, then of ln D, on ln C; NaN for one size."""
    x = vertices[:, 0]
    if len(np.unique(vertices[:, 2])) < 2:
        return (float("nan"),) * 4
    slopes, intercepts = np.polynomial.polynomial.polyfit(x - x.mean(), vertices[:, 2:], 1)[::-1]
    (a, b), (n, d) = slopes, intercepts
    return float(a), float(n - a * x.mean()), float(b), float(d - b * x.mean())


def _note(points: Points, runs: int, vertices: np.ndarray) -> str:
    if points.curves:
        kind = "held-out" if all(curve.held_out for curve in points.curves) else "training"
        source = f"{runs} {kind} learning curves"
    else:
        source = f"the last losses of {runs} runs (no learning curves)"
    sizes = len(np.unique(vertices[:, 2]))
    return f"lower convex hull of ln L over ln C of {source}: {len(vertices)} vertices of {sizes} sizes"


def _check(sizes: int, a: np.ndarray, vertices: np.ndarray, runs: list[list[Vertex]]) -> list[str]:
    """Warns of few sizes, and of a hull of the smallest and the largest size."""
    warnings = []
    if sizes < MIN_SIZES:
        warnings.append(warning("too-few-sizes", f"only {sizes} model sizes are on the hull"))
    ends = {min(run[0][2] for run in runs), max(run[0][2] for run in runs)}
    share = float(np.mean([n in ends for n in vertices[:, 2]]))
    if share > 0.5:
        sentence = f"{share:.0%} of the vertices of the hull are of the smallest or largest size"
        warnings.append(warning("edge-minimum", sentence))
    missing = float(np.mean(np.isnan(a[1:])))
    if missing:
        warnings.append(warning("unidentifiable", f"{missing:.1%} of the bootstrap samples have one size on the hull"))
    return warnings

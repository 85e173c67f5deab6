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
from analysis.fitting.hoffmann.envelope import MIN_SIZES, smoothed
from analysis.uncertainty.verdicts import warning

Vertex = tuple[float, float, float, float]  # ln C, ln L, ln N, ln D


def fit_hull(points: Points, count: int, seed: int) -> tuple[dict[str, np.ndarray], float, str, list[str]]:
    """Fits ln N = ln G_N + a·ln C, and the same for D, by ordinary least squares on the vertices of the hull.

    Args:
        points: Runs with N, D and C, and their learning curves if available; else the hull is that of the last losses.
        count: Number of bootstrap samples; each draws as many runs as there are, with replacement.
        seed: Seed of the bootstrap.

    The vertices of the smallest and the largest size tilt the line, because other sizes could be better there. The
    samples leave them out, so that the interval is not biased by them.

    Returns:
        a, b, G_N and G_D, each (1 + B,) with the estimate first and NaN for samples with one size; the sum of squared
        residuals of ln N; a description; and warnings.

    Raises:
        FitError: N, D or C is not known, or fewer than two sizes are on the hull.
    """
    if not all(np.isfinite(points[letter]).all() for letter in "NDC"):
        raise FitError(f"chinchilla-1 with --frontier hull needs N, D and C, which {points.source} does not have")
    runs = [run for run in map(_curve_vertices, points.curves) if run] if points.curves else _last(points)
    vertices = np.array(lower_hull([vertex for run in runs for vertex in run]))
    sizes = len(np.unique(vertices[:, 2]))
    if sizes < 2:
        raise FitError("chinchilla-1: the hull has one model size: train smaller and larger sizes")
    rng = np.random.default_rng(seed)
    lines, inner = [_fit_lines(vertices)], _fit_lines(_inner(vertices, runs))
    for _ in range(count):
        drawn = [runs[i] for i in np.unique(rng.integers(len(runs), size=len(runs)))]
        hull = np.array(lower_hull([vertex for run in drawn for vertex in run]))
        lines.append(_fit_lines(_inner(hull, drawn)))
    a, ln_n, b, ln_d = np.array(lines).T
    with np.errstate(over="ignore"):
        params = {"a": a, "b": b, "G_N": np.exp(ln_n), "G_D": np.exp(ln_d)}
    value = float(np.sum((vertices[:, 2] - ln_n[0] - a[0] * vertices[:, 0]) ** 2))
    return params, value, _note(points, len(runs), vertices, inner[0]), _check(sizes, a, vertices, runs)


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
    """Hull of one curve, which contains all of its vertices of the common hull."""
    columns = np.stack([curve.C, smoothed(curve), np.full(len(curve.C), curve.N), curve.D], -1)
    rows = np.log(columns[(columns > 0).all(1)]).tolist()  # an evaluation before the first step has spent no compute
    return lower_hull([(x, y, n, d) for x, y, n, d in rows]) if rows else []


def _last(points: Points) -> list[list[Vertex]]:
    """The last loss of each run."""
    rows = np.log(np.stack([points.C, points.L, points.N, points.D], -1)).tolist()
    return [[(x, y, n, d)] for x, y, n, d in rows]


def _inner(vertices: np.ndarray, runs: list[list[Vertex]]) -> np.ndarray:
    """Vertices that are not of the smallest or largest size, beside which no other size could be better."""
    sizes = [run[0][2] for run in runs]
    return vertices[(vertices[:, 2] > min(sizes)) & (vertices[:, 2] < max(sizes))]


def _fit_lines(vertices: np.ndarray) -> tuple[float, float, float, float]:
    """Slope and intercept of ln N, then of ln D, on ln C; NaN for one size."""
    x = vertices[:, 0]
    if len(np.unique(vertices[:, 2])) < 2:
        return (float("nan"),) * 4
    slopes, intercepts = np.polynomial.polynomial.polyfit(x - x.mean(), vertices[:, 2:], 1)[::-1]
    (a, b), (n, d) = slopes, intercepts
    return float(a), float(n - a * x.mean()), float(b), float(d - b * x.mean())


def _note(points: Points, runs: int, vertices: np.ndarray, inner: float) -> str:
    if points.curves:
        kind = "held-out" if all(curve.held_out for curve in points.curves) else "training"
        source = f"{runs} {kind} learning curves"
    else:
        source = f"the last losses of {runs} runs (no learning curves)"
    sizes = len(np.unique(vertices[:, 2]))
    ends = "" if np.isnan(inner) else f"; without those of the smallest and the largest size a is {inner:.4g}"
    return f"lower convex hull of ln L over ln C of {source}: {len(vertices)} vertices of {sizes} sizes{ends}"


def _check(sizes: int, a: np.ndarray, vertices: np.ndarray, runs: list[list[Vertex]]) -> list[str]:
    """Warns of few sizes, and of a hull of the smallest and the largest size."""
    warnings = []
    if sizes < MIN_SIZES:
        warnings.append(warning("too-few-sizes", f"only {sizes} model sizes are on the hull"))
    share = 1 - len(_inner(vertices, runs)) / len(vertices)
    if share > 0.5:
        sentence = f"{share:.0%} of the vertices of the hull are of the smallest or largest size"
        warnings.append(warning("edge-minimum", sentence))
    missing = float(np.mean(np.isnan(a[1:])))
    if missing:
        warnings.append(warning("unidentifiable", f"{missing:.1%} of the bootstrap samples have one size on the hull"))
    return warnings

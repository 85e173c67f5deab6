"""Approach 1: the run with the lowest loss at each C, and power laws fitted to these runs (Hoffmann 2022, section 3.1).

Key: N parameters, D tokens, C FLOPs, L nats per token; B bootstrap samples, K values of C, R curves, m steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.data.points import Points, TrainingCurve, separate_budgets
from analysis.errors import FitError
from analysis.uncertainty.verdicts import warning

GRID_POINTS = 200  # number of values of C on the envelope (1500 in Hoffmann 2022, section 3.1)
WARMUP_SHARE = 0.1  # first share of each run, which is not used
SMOOTHING = 0.1  # a training loss is averaged over this share of its step number on either side
MIN_SIZES = 4  # smallest number of model sizes on the envelope without a warning
MIN_BUDGET_SIZES = 3  # smallest number of model sizes of a budget


@dataclass(frozen=True)
class Envelope:
    """The run with the lowest loss at each C.

    Attributes:
        C: FLOPs (K,).
        N: Parameters (K,).
        D: Tokens (K,).
        L: Loss (K,).
        spacing: Median distance between neighbouring sizes in ln N.
        note: Description of the envelope.
        warnings: Warnings for the verdict.
    """

    C: np.ndarray
    N: np.ndarray
    D: np.ndarray
    L: np.ndarray
    spacing: float
    note: str
    warnings: tuple[str, ...]


def loss_envelope(points: Points) -> Envelope:
    """Returns the lower envelope of the learning curves, or the best run of each budget if there are no curves.

    Raises:
        FitError: N or C is not known, or fewer than two sizes are optimal at some C.
    """
    if not (np.isfinite(points.N).all() and np.isfinite(points.C).all()):
        raise FitError(f"chinchilla-1 needs N and C, which {points.source} does not have")
    envelope = _envelope_of_curves(points.curves) if points.curves else _envelope_of_budgets(points)
    sizes = len(np.unique(envelope.N))
    if sizes < 2:
        raise FitError("chinchilla-1: one model size is the best at every C: train smaller and larger sizes")
    if sizes < MIN_SIZES:
        line = warning("too-few-sizes", f"only {sizes} model sizes are the best at some C")
        envelope = replace(envelope, warnings=(*envelope.warnings, line))
    return envelope


def fit_envelope(envelope: Envelope, count: int, seed: int) -> tuple[dict[str, np.ndarray], float]:
    """Fits ln N = ln G_N + a·ln C, and the same for D, by least squares.

    Neighbouring values of an envelope belong to the same run, so the sizes are the independent data. The noise is the
    scatter of the mean of each size about the line, at least the rounding to the nearest size (spacing / √12), with
    Student's t for the number of sizes.

    Args:
        envelope: The envelope.
        count: Number of parametric bootstrap samples.
        seed: Seed of the bootstrap.

    Returns:
        a, b, G_N and G_D, each (1 + B,) with the estimate first; and the sum of squared residuals of ln N.
    """
    x, n, d = np.log(envelope.C), np.log(envelope.N), np.log(envelope.D)
    centre = x.mean()
    slope = [(y @ (x - centre)) / ((x - centre) @ (x - centre)) for y in (n, d)]
    level = [n.mean(), d.mean()]
    value = float(np.sum((n - level[0] - slope[0] * (x - centre)) ** 2))
    sizes = np.unique(envelope.N)
    x_size = np.array([x[size == envelope.N].mean() for size in sizes])
    deviation = np.log(sizes) - level[0] - slope[0] * (x_size - centre)
    dof = max(len(sizes) - 2, 1)
    sigma = max(float(np.sqrt(np.sum(deviation**2) / dof)), envelope.spacing / np.sqrt(12))
    rng = np.random.default_rng(seed)
    scale = sigma * np.sqrt(dof / rng.chisquare(dof, size=count))
    tilt = scale * rng.standard_normal(count) / np.sqrt(np.sum((x_size - x_size.mean()) ** 2))
    lift = scale * rng.standard_normal(count) / np.sqrt(len(sizes)) - tilt * (x_size.mean() - centre)
    a, b = (s + np.concatenate([[0.0], sign * tilt]) for s, sign in zip(slope, (1, -1), strict=True))
    ln_n, ln_d = (v + np.concatenate([[0.0], sign * lift]) for v, sign in zip(level, (1, -1), strict=True))
    with np.errstate(over="ignore"):
        return {"a": a, "b": b, "G_N": np.exp(ln_n - a * centre), "G_D": np.exp(ln_d - b * centre)}, value


def _envelope_of_budgets(points: Points) -> Envelope:
    """The best run of each budget."""
    groups, _ = separate_budgets(points, "chinchilla-1")
    budgets = [rows for _, rows in groups if len(np.unique(points.N[rows])) >= MIN_BUDGET_SIZES]
    if len(budgets) < 2:
        raise FitError("chinchilla-1: fewer than two budgets with three sizes, and no learning curves")
    best = [rows[np.argmin(points.L[rows])] for rows in budgets]
    edges = [
        points.C[run]
        for run, rows in zip(best, budgets, strict=True)
        if points.N[run] in (points.N[rows].min(), points.N[rows].max())
    ]
    if len(edges) == len(budgets):
        raise FitError("chinchilla-1: the best run is the smallest or the largest at every budget: widen the grid")
    warnings = [warning("edge-minimum", f"at C = {C:.3g} the best run is the smallest or largest") for C in edges]
    spacing = float(np.median([np.median(np.diff(np.log(np.unique(points.N[rows])))) for rows in budgets]))
    note = "no learning curves: the envelope is the lowest loss of each budget's runs"
    C, N, D, L = (x[best] for x in (points.C, points.N, points.D, points.L))
    return Envelope(C, N, D, L, spacing, note, tuple(warnings))


def _envelope_of_curves(curves: tuple[TrainingCurve, ...]) -> Envelope:
    """Lowest loss of the curves at values of C that at least two sizes have reached, interpolated in ln C."""
    late = [part for curve in curves if (part := _after_warmup(curve)) is not None]
    sizes = np.array([N for N, *_ in late])
    if len(np.unique(sizes)) < 2:
        raise FitError("chinchilla-1: fewer than two model sizes have learning curves")
    grid = np.linspace(min(x[0] for _, x, *_ in late), max(x[-1] for _, x, *_ in late), GRID_POINTS)
    loss_RK = np.array([np.interp(grid, x, L, left=np.inf, right=np.inf) for _, x, L, _ in late])
    # If the best size is the smallest or largest at C, a better size can lie outside (edge minimum).
    size_RK = np.where(np.isfinite(loss_RK), sizes[:, None], np.nan)
    reached = np.isfinite(size_RK).any(0)
    best_N = np.where(reached, sizes[loss_RK.argmin(0)], np.nan)
    low = np.where(np.isfinite(size_RK), size_RK, np.inf).min(0)
    high = np.where(np.isfinite(size_RK), size_RK, -np.inf).max(0)
    inner = np.flatnonzero((best_N > low) & (best_N < high))
    if len(inner) < 2:
        raise FitError("chinchilla-1: the best learning curve is that of the smallest or largest size at every C")
    best = loss_RK[:, inner].argmin(0)
    C = np.exp(grid[inner])
    D = C * np.array([late[i][3] for i in best])
    spacing = float(np.median(np.diff(np.log(np.unique(sizes)))))
    note = _note(len(late), all(curve.held_out for curve in curves), len(inner) / reached.sum())
    return Envelope(C, sizes[best], D, loss_RK[best, inner], spacing, note, ())


def _after_warmup(curve: TrainingCurve) -> tuple[float, np.ndarray, np.ndarray, float] | None:
    """N, ln C and loss after warm-up, and tokens per FLOP; None if fewer than two steps remain."""
    late = curve.C / curve.C.max() >= WARMUP_SHARE
    if late.sum() < 2:
        return None
    return curve.N, np.log(curve.C[late]), smoothed(curve)[late], float(curve.D[-1] / curve.C[-1])


def _note(curves: int, held_out: bool, share: float) -> str:
    """Describes the envelope; share: share of the values of C without an edge minimum."""
    note = f"envelope of {curves} {'held-out' if held_out else 'training'} learning curves"
    note += "" if held_out else f", each loss averaged over {SMOOTHING:.0%} of the steps before and after"
    note += "; losses before the end of a run are from before its learning-rate decay"
    if share < 1:
        note += f"; {1 - share:.0%} of it is left out, because the best size is the smallest or largest"
    return note


def smoothed(curve: TrainingCurve) -> np.ndarray:
    """Returns the losses of a curve (m,); a training loss is its running mean.

    The mean is over SMOOTHING of the step number on either side, truncated at the end. Losses of single batches are too
    noisy for an envelope, because the minimum of many is biased (Hoffmann 2022, section 3.1, also smooths).

    Args:
        curve: A learning curve.
    """
    if curve.held_out:
        return curve.L
    step = np.arange(len(curve.L))
    half = np.round(SMOOTHING * (step + 1)).astype(int)
    low, high = np.maximum(step - half, 0), np.minimum(step + half + 1, len(curve.L))
    total = np.concatenate([[0.0], np.cumsum(curve.L)])
    return np.asarray((total[high] - total[low]) / (high - low))

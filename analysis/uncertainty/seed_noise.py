"""Weights by seed noise: runs that differ in nothing but their seed tell how noisy a size is.

Key: n points, R replicated settings, K sizes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from analysis.data.points import Points
from analysis.errors import FitError
from analysis.laws.law import Law
from analysis.solver.objective import Objective
from analysis.uncertainty.bootstrap import moderated

WEIGHTS = ("column", "seeds", "even")
CLEAR = 2.0  # standard errors from which on noise is said to change with size


def weighed(points: Points, law: Law, objective: Objective, by: str) -> Points:
    """The points with weights: their own (column), 1/σ² of their size by its seeds, or all alike (even).

    Raises FitError: by seeds where no two runs share all inputs.
    """
    if by == "column":
        return points
    out = 1 / _variance(points, law, objective) if by == "seeds" else np.ones(len(points))
    return replace(points, weights=out / out.mean())


def _variance(points: Points, law: Law, objective: Objective) -> np.ndarray:
    """Variance (n,) of the link of the output between seeds, at each point's size (N, or the law's first input).

    Seeds of one size are pooled over all else; a trend of ln variance along ln size is followed where it is clear; and
    each size is drawn to that trend as far as its few seeds deserve (Smyth 2004, with a trend for a prior as in limma).
    """
    y = objective.of(points[law.output])
    size = points.N if np.isfinite(points.N).all() else points[law.inputs[0]]
    inputs = np.stack([points[letter] for letter in law.inputs], -1)
    _, setting = np.unique(inputs, axis=0, return_inverse=True)
    setting = setting.ravel()
    runs = np.bincount(setting)
    off = y - (np.bincount(setting, y) / runs)[setting]
    sizes, at = np.unique(size, return_inverse=True)
    spare = np.bincount(at, weights=1 - 1 / runs[setting])  # degrees of freedom: runs less settings
    squares = np.bincount(at, off**2)
    told = (spare > 0.5) & (squares > 0)
    if not told.any():
        raise FitError(
            f"weights by seeds: no two of the {len(points)} runs have the same {', '.join(law.inputs)} and another "
            f"{law.output}: run some settings with several seeds, or leave the weights even"
        )
    variance, free = np.where(told, squares / np.maximum(spare, 1), 0.0), np.round(spare)
    trend = _trend(np.log(sizes), variance, free, told)
    return np.asarray((trend * moderated(variance / trend, free)[0])[at])


def _trend(x_K: np.ndarray, variance_K: np.ndarray, free_K: np.ndarray, told_K: np.ndarray) -> np.ndarray:
    """How variance goes with size, as a power (K,), about 1; all 1 where no trend is clear."""
    if told_K.sum() < 3 or np.ptp(x_K[told_K]) == 0:
        return np.ones(len(x_K))
    x, weight = x_K[told_K], free_K[told_K] / 2  # Var(ln s²) is about 2 / degrees of freedom
    middle = np.average(x, weights=weight)
    spread = np.sum(weight * (x - middle) ** 2)
    slope = np.sum(weight * (x - middle) * np.log(variance_K[told_K])) / spread
    return np.exp(slope * (x_K - middle)) if abs(slope) * np.sqrt(spread) > CLEAR else np.ones(len(x_K))

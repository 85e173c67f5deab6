"""Weights of runs by seed noise, estimated from runs that only differ in their seed.

Key: n points, K sizes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from analysis.data.points import Points
from analysis.errors import FitError
from analysis.laws.law import Law
from analysis.solver.objective import Objective
from analysis.uncertainty.resampling.bootstrap import moderate_variances

CLEAR = 2.0  # smallest ratio of slope to standard error at which a trend of the noise with size is used
MIN_TREND_SIZES = 3


def weight_points(points: Points, law: Law, objective: Objective, weights: str) -> Points:
    """Sets the weights of points.

    Args:
        points: The points.
        law: The law, for its inputs and output.
        objective: The objective, for the scale of the noise.
        weights: "column" keeps the weights of the points, "seeds" uses 1/σ² between seeds by size, "even" is uniform.

    Raises:
        FitError: For "seeds", no two runs share all inputs.
    """
    if weights == "column":
        return points
    weights_n = 1 / _variance(points, law, objective) if weights == "seeds" else np.ones(len(points))
    return replace(points, weights=weights_n / weights_n.mean())


def _variance(points: Points, law: Law, objective: Objective) -> np.ndarray:
    """Variance (n,) of the link of the output between seeds, at each point's size (N, or the law's first input).

    Seeds of one size are pooled over all other inputs. If there is a clear trend of ln variance with ln size, the
    variances are shrunk towards it, more strongly for sizes with fewer seeds (Smyth 2004, with a trend as prior as in
    limma).
    """
    y = objective.transform(points[law.output])
    size = points.N if np.isfinite(points.N).all() else points[law.inputs[0]]
    inputs = np.stack([points[letter] for letter in law.inputs], -1)
    _, setting = np.unique(inputs, axis=0, return_inverse=True)
    setting = setting.ravel()
    runs = np.bincount(setting)
    deviation = y - (np.bincount(setting, y) / runs)[setting]
    sizes, index_n = np.unique(size, return_inverse=True)
    spare_K = np.bincount(
        index_n, weights=1 - 1 / runs[setting]
    )  # degrees of freedom: number of runs minus number of settings
    squares_K = np.bincount(index_n, deviation**2)
    informative = (spare_K > 0.5) & (squares_K > 0)
    if not informative.any():
        raise FitError(
            f"weights by seeds: no two of the {len(points)} runs have the same {', '.join(law.inputs)} and another "
            f"{law.output}: train some settings with several seeds, or use --weights even"
        )
    variance = np.where(informative, squares_K / np.maximum(spare_K, 1), 0.0)
    dof = np.round(spare_K)
    trend = _trend(np.log(sizes), variance, dof, informative)
    return np.asarray((trend * moderate_variances(variance / trend, dof)[0])[index_n])


def _trend(x_K: np.ndarray, variance_K: np.ndarray, dof_K: np.ndarray, informative_K: np.ndarray) -> np.ndarray:
    """Trend of the variance with ln size x, as a power (K,) about 1; all 1 without a clear trend."""
    if informative_K.sum() < MIN_TREND_SIZES or np.ptp(x_K[informative_K]) == 0:
        return np.ones(len(x_K))
    x, weight = x_K[informative_K], dof_K[informative_K] / 2  # Var(ln s²) is about 2 / degrees of freedom
    centre = np.average(x, weights=weight)
    spread = np.sum(weight * (x - centre) ** 2)
    slope = np.sum(weight * (x - centre) * np.log(variance_K[informative_K])) / spread
    return np.exp(slope * (x_K - centre)) if abs(slope) * np.sqrt(spread) > CLEAR else np.ones(len(x_K))

"""Interval of a new run: the interval of the law, and the scatter of single runs about it.

Key: B samples, n points.
"""

from __future__ import annotations

import numpy as np

from analysis.uncertainty.intervals import percentile_interval


def draw_scatter(residual_n: np.ndarray, parameters: int, count: int, seed: int) -> np.ndarray:
    """Returns draws of the deviation of a new run from the law (B,).

    Normal, with the standard deviation √(RSS / (n − P)) and its uncertainty √(dof / χ²(dof)). Resampled residuals would
    give too narrow intervals: of 20 runs the largest and the smallest are about 90% apart.

    Args:
        residual_n: Residuals, such as ln(measured / predicted).
        parameters: Number of fitted parameters P.
        count: Number of draws.
        seed: Seed of the random generator.
    """
    residual_n = residual_n[np.isfinite(residual_n)]
    if len(residual_n) < 2:
        return np.full(count, np.nan)
    rng, dof = np.random.default_rng(seed), max(len(residual_n) - parameters, 1)
    scale = np.sqrt(np.sum(residual_n**2) / rng.chisquare(dof, size=count))
    return np.asarray(scale * rng.standard_normal(count))


def new_run_interval(
    value: float,
    samples_B: np.ndarray,
    scatter_B: np.ndarray,
    level: float,
    *,
    profiled: tuple[float, float] | None = None,
    signed: bool = False,
) -> tuple[float, float]:
    """Returns the interval of the output of a new run.

    Args:
        value: Prediction of the law.
        samples_B: Predictions of the bootstrap samples.
        scatter_B: Deviations of a new run from the law (`draw_scatter`).
        level: Coverage, between 0 and 1.
        profiled: Interval of the law by profile likelihood, which replaces the samples. Its distances from the value
            and those of the scatter are added in quadrature.
        signed: Whether deviations are differences instead of logarithms of a ratio.
    """
    if profiled is None:
        return percentile_interval(samples_B + scatter_B if signed else samples_B * np.exp(scatter_B), level)
    scale = (lambda x: x) if signed else lambda x: np.log(np.maximum(x, 0.0))  # an open end of a positive output is 0
    with np.errstate(all="ignore"):
        distance = np.abs(scale(np.array(profiled)) - scale(np.float64(value)))
    low, high = np.hypot(distance, percentile_interval(scatter_B, level)) * (-1, 1)
    return (value + low, value + high) if signed else (float(value * np.exp(low)), float(value * np.exp(high)))

"""Scores by scale. Runs of similar scale form one scale; their differences measure the noise between runs.

Key: r runs, n scales.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.uncertainty.resampling.score_noise import JEFFREYS

SCALE_TOLERANCE = 0.05  # range in decades within which runs count as one scale
RELATIVE_FLOOR = 1e-6  # smallest variance of a mean, relative to the squared range of the means


@dataclass(frozen=True)
class Series:
    """A score by scale.

    Attributes:
        x: Scale (n,), strictly increasing: log10 of C, N or D, or -L.
        y: Mean score (n,).
        variance: Variance of each mean (n,) over items.
        dispersion: Variance between runs of one scale, relative to the variance over items.
        dof: Degrees of freedom of `dispersion`; 0 if each scale has one run.
    """

    x: np.ndarray
    y: np.ndarray
    variance: np.ndarray
    dispersion: float = 1.0
    dof: float = 0.0


def binomial_series(
    x_r: np.ndarray, hits_r: np.ndarray, items_r: np.ndarray, tolerance: float = SCALE_TOLERANCE
) -> Series:
    """Returns the share of correct answers by scale.

    The variance is binomial, at the share smoothed by isotonic regression with Jeffreys' prior, so that a score of 0
    has a variance.

    Args:
        x_r: Scale of each run.
        hits_r: Number of items that each run answers correctly.
        items_r: Number of items of each run.
        tolerance: Distance in x within which runs count as one scale.
    """
    scale_r = scale_indices(x_r, tolerance)
    hits, items = _sum_by_scale(hits_r, scale_r), _sum_by_scale(items_r, scale_r)
    share = isotonic_regression((hits + JEFFREYS) / (items + 2 * JEFFREYS), items)
    variance_r = share[scale_r] * (1 - share[scale_r]) / items_r
    return _build_series(x_r, hits_r / items_r, variance_r, scale_r, hits / items)


def mean_series(x_r: np.ndarray, y_r: np.ndarray, variance_r: np.ndarray, tolerance: float = SCALE_TOLERANCE) -> Series:
    """Returns the mean of a metric by scale.

    Args:
        x_r: Scale of each run.
        y_r: Mean of each run.
        variance_r: Variance of each mean over items.
        tolerance: Distance in x within which runs count as one scale.
    """
    scale_r = scale_indices(x_r, tolerance)
    runs = np.bincount(scale_r)
    floor = RELATIVE_FLOOR * max(float(np.ptp(y_r)), 1e-6) ** 2
    # Averaged over the runs of a scale, because the variance over a few items is noisy.
    variance_r = _sum_by_scale(np.maximum(variance_r, floor), scale_r)[scale_r] / runs[scale_r]
    return _build_series(x_r, y_r, variance_r, scale_r, _sum_by_scale(y_r, scale_r) / runs)


def _build_series(
    x_r: np.ndarray, y_r: np.ndarray, variance_r: np.ndarray, scale_r: np.ndarray, mean: np.ndarray
) -> Series:
    runs = np.bincount(scale_r)
    dof = float(len(x_r) - len(runs))
    residual_r = y_r - (_sum_by_scale(y_r, scale_r) / runs)[scale_r]
    dispersion = float(np.sum(residual_r**2 / variance_r) / dof) if dof else 1.0
    x, variance = _sum_by_scale(x_r, scale_r) / runs, _sum_by_scale(variance_r, scale_r) / runs**2
    return Series(x, mean, variance, dispersion, dof)


def scale_indices(x_r: np.ndarray, tolerance: float = SCALE_TOLERANCE) -> np.ndarray:
    """Returns the index of the scale of each run (r,), from 0 in increasing order of x.

    Args:
        x_r: Scale of each run.
        tolerance: A new scale starts more than this above the first run of the last one.
    """
    index_r, first, current = np.zeros(len(x_r), int), -np.inf, -1
    for i in np.argsort(x_r, kind="stable"):
        if x_r[i] > first + tolerance:
            first, current = x_r[i], current + 1
        index_r[i] = current
    return index_r


def _sum_by_scale(values_r: np.ndarray, scale_r: np.ndarray) -> np.ndarray:
    return np.bincount(scale_r, weights=values_r)


def isotonic_regression(y: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Returns the weighted least-squares fits of nondecreasing curves to y (..., n).

    Min-max formula (Barlow 1972): the value at point i is the maximum over s <= i of the minimum over e >= i of the
    weighted mean of y[s], ..., y[e].

    Args:
        y: Curves (..., n).
        weight: Weight of each point (n,).
    """
    n = y.shape[-1]
    sums = np.concatenate([np.zeros((*y.shape[:-1], 1)), np.cumsum(y * weight, -1)], -1)
    weights = np.concatenate([[0.0], np.cumsum(weight)])
    start, end = np.tril_indices(n)[::-1]
    means = np.full((*y.shape[:-1], n, n), np.inf)  # (start, end)
    means[..., start, end] = (sums[..., end + 1] - sums[..., start]) / (weights[end + 1] - weights[start])
    smallest = np.minimum.accumulate(means[..., ::-1], -1)[..., ::-1]  # over ends from each point on
    smallest = np.where(np.tri(n, dtype=bool).T, smallest, -np.inf)
    return np.asarray(smallest.max(-2))

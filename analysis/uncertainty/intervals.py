"""Percentile intervals of bootstrap samples.

Key: B samples, R rows (the estimate, then the samples).
"""

from __future__ import annotations

import numpy as np


def percentile_interval(samples_B: np.ndarray, level: float, method: str = "linear") -> tuple[float, float]:
    """Returns the percentile interval of a quantity (Efron and Tibshirani 1993, section 13.3).

    Args:
        samples_B: Bootstrap samples; NaN is ignored.
        level: Coverage, between 0 and 1.
        method: Interpolation method of `numpy.quantile`.

    Returns:
        Both ends; NaN if all samples are NaN.
    """
    if np.isnan(samples_B).all():
        return float("nan"), float("nan")
    low, high = _quantiles(samples_B, _tails(level), method=method)
    return float(low), float(high)


def percentile_band(samples_B: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns both ends of the percentile intervals of many quantities.

    Args:
        samples_B: Bootstrap samples along the first axis (B, ...); NaN is ignored.
        level: Coverage, between 0 and 1.
    """
    low, high = _quantiles(samples_B, _tails(level), axis=0)
    return low, high


def corrected_interval(rows_R: np.ndarray, level: float) -> tuple[float, float]:
    """Returns the interval of a quantity whose samples are corrected for the bias of the estimate.

    The percentile interval, whose tails are unequal where an equal-tailed one would not contain the estimate: the end
    on the side of the estimate leaves out no more samples than the estimate does, and the other end all others. The
    coverage is the same.

    Args:
        rows_R: The estimate, then the bootstrap samples; samples that are NaN are ignored.
        level: Coverage, between 0 and 1.

    Returns:
        Both ends; NaN if all samples are NaN.
    """
    value, samples_B = float(rows_R[0]), rows_R[1:][~np.isnan(rows_R[1:])]
    if np.isnan(value) or not len(samples_B):
        return percentile_interval(rows_R[1:], level)
    share = float(np.mean(samples_B < value))
    low_tail = min(max((1 - level) / 2, share - level), share)
    low, high = _quantiles(samples_B, (low_tail, low_tail + level))
    return min(float(low), value), max(float(high), value)


def corrected_band(rows_R: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns both ends of the intervals of `corrected_interval` of many quantities.

    Args:
        rows_R: The estimates, then their bootstrap samples, along the first axis (R, ...).
        level: Coverage, between 0 and 1.
    """
    columns = rows_R.reshape(len(rows_R), -1).T
    ends = np.array([corrected_interval(column, level) for column in columns]).T
    return ends[0].reshape(rows_R.shape[1:]), ends[1].reshape(rows_R.shape[1:])


def _tails(level: float) -> tuple[float, float]:
    return (1 - level) / 2, (1 + level) / 2


def _quantiles(
    samples: np.ndarray, probabilities: tuple[float, float], axis: int | None = None, method: str = "linear"
) -> np.ndarray:
    """Returns quantiles of samples, NaN ignored; between two infinite samples the quantile is infinite too."""
    with np.errstate(invalid="ignore"):  # inf - inf
        ends = np.nanquantile(samples, probabilities, axis=axis, method=method)  # type: ignore[call-overload]
    if np.isnan(ends).any():
        ends = np.where(np.isnan(ends), np.nanquantile(samples, probabilities, axis=axis, method="inverted_cdf"), ends)
    return np.asarray(ends)

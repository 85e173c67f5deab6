"""Percentile intervals of bootstrap samples.

Key: B samples.
"""

from __future__ import annotations

import numpy as np


def percentile_interval(samples_B: np.ndarray, level: float, method: str = "linear") -> tuple[float, float]:
    """Returns the percentile interval of a quantity (Efron and Tibshirani 1993, section 13.3).

    Args:
        samples_B: Bootstrap samples; NaN is ignored.
        level: Coverage, between 0 and 1.
        method: Interpolation method of `numpy.quantile`; "inverted_cdf" also allows infinite samples.

    Returns:
        Both ends; NaN if all samples are NaN.
    """
    if np.isnan(samples_B).all():
        return float("nan"), float("nan")
    low, high = np.nanquantile(samples_B, _tails(level), method=method)  # type: ignore[call-overload]
    return float(low), float(high)


def percentile_band(samples_B: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns both ends of the percentile intervals of many quantities.

    Args:
        samples_B: Bootstrap samples along the first axis (B, ...); NaN is ignored.
        level: Coverage, between 0 and 1.
    """
    low, high = np.nanquantile(samples_B, _tails(level), axis=0)
    return low, high


def _tails(level: float) -> tuple[float, float]:
    return (1 - level) / 2, (1 + level) / 2

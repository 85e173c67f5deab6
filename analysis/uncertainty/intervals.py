"""Percentile intervals of bootstrap samples.

Key: B samples.
"""

from __future__ import annotations

import numpy as np


def percentile_interval(samples_B: np.ndarray, level: float, method: str = "linear") -> tuple[float, float]:
    """Returns the percentile interval of a quantity (Efron and Tibshirani 1993, section 13.3).

    Args:
        samples_B: Bootstrap samples; NaN where a sample has no value, which is left out.
        level: Coverage, between 0 and 1.
        method: How percentiles between two samples are interpolated, as `numpy.quantile` has it; "inverted_cdf" takes
            the samples themselves, also where some are infinite.

    Returns:
        Both ends; NaN where no sample has a value.
    """
    if np.isnan(samples_B).all():
        return float("nan"), float("nan")
    low, high = np.nanquantile(samples_B, _tails(level), method=method)  # type: ignore[call-overload]
    return float(low), float(high)


def percentile_band(samples_B: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns the percentile interval of each of many quantities: arrays of both ends.

    Args:
        samples_B: Bootstrap samples along the first axis (B, ...); NaN is left out.
        level: Coverage, between 0 and 1.
    """
    low, high = np.nanquantile(samples_B, _tails(level), axis=0)
    return low, high


def _tails(level: float) -> tuple[float, float]:
    return (1 - level) / 2, (1 + level) / 2

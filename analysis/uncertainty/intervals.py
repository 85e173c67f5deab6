"""analysis.uncertainty.intervals."""

from __future__ import annotations

import numpy as np

INTERVALS = ("bootstrap", "profile")


def interval(draws_B: np.ndarray, level: float) -> tuple[float, float]:
    """Percentile interval; draws without a value are left out."""
    if np.isnan(draws_B).all():
        return float("nan"), float("nan")
    low, high = np.nanquantile(draws_B, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)

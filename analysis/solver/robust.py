"""Robust scale of residuals."""

from __future__ import annotations

import numpy as np

MAD_SCALE = 1.4826  # 1 / Φ⁻¹(3/4), ratio of standard deviation to median absolute deviation of normal residuals


def robust_std(residuals: np.ndarray) -> float:
    """Returns a robust standard deviation: the median of |residuals|, scaled for normal residuals.

    Args:
        residuals: Residuals about zero; subtract a centre first if there is one.
    """
    return MAD_SCALE * float(np.median(np.abs(residuals)))

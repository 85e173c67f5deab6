"""Robust scale of residuals."""

from __future__ import annotations

import numpy as np

MAD_SCALE = 1.4826  # 1 / Φ⁻¹(3/4): from the median absolute deviation to the standard deviation of normal residuals


def robust_std(residuals: np.ndarray) -> float:
    """Returns the standard deviation that the median of |residuals| implies; unaffected by up to half of them.

    Args:
        residuals: Residuals about zero; subtract a centre first where there is one.
    """
    return MAD_SCALE * float(np.median(np.abs(residuals)))

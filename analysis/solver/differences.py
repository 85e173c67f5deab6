"""Derivatives by central differences.

Key: R rows, P coordinates.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Quantity = Callable[[np.ndarray], np.ndarray]  # coordinates (R, P) -> a quantity of each row (R,)


def central_gradient(quantity: Quantity, u_RP: np.ndarray, step: float, floor: float) -> np.ndarray:
    """Returns ∂ quantity / ∂u (R, P).

    Args:
        quantity: Function of the coordinates.
        u_RP: Coordinates.
        step: Step relative to the absolute value of a coordinate.
        floor: Smallest absolute value used for the step.
    """
    gradient_RP = np.empty_like(u_RP)
    for p in range(u_RP.shape[1]):
        h = np.zeros_like(u_RP)
        h[:, p] = step * np.maximum(np.abs(u_RP[:, p]), floor)
        gradient_RP[:, p] = (quantity(u_RP + h) - quantity(u_RP - h)) / (2 * h[:, p])
    return gradient_RP

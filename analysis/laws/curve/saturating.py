"""Laws of one learning curve, M1 to M4 (Alabdulmohsin 2022): error or loss y against the amount of data or compute x.

Key: x examples, tokens, parameters or FLOPs; y error or loss; t how far y lies between its two limits.
"""

from __future__ import annotations

import itertools

import numpy as np

from analysis.laws.law import Array, Law

FALLS = (-5.0, 0.0)  # exponent of x
STEEPNESS = (0.05, 0.2, 0.5, 1.0)
REACH = 1e-9, 1e3  # of 1/γ, in units of the largest and the smallest x


def m1(x: Array, *, beta: Array, c: Array) -> Array:
    """β·x^c (equation 1 with ε∞ = 0)."""
    return beta * x**c


def m2(x: Array, *, eps_inf: Array, beta: Array, c: Array) -> Array:
    """ε∞ + β·x^c (equation 1)."""
    return eps_inf + beta * x**c


def m3(x: Array, *, beta: Array, gamma: Array, c: Array) -> Array:
    """β·(1/x + γ)^c (equation 2): levels off at β·γ^c."""
    return beta * (1 / x + gamma) ** c


def m4(x: Array, *, eps_inf: Array, eps_0: Array, beta: Array, c: Array, alpha: Array) -> Array:
    """The y with (y − ε∞) / (ε0 − y)^α = β·x^c (equation 4): from ε0, the error of guessing, down to ε∞.

    NaN where ε0 does not lie above ε∞.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        span = np.log(eps_0 - eps_inf)
        return eps_inf + (eps_0 - eps_inf) * share(np.log(beta) + c * np.log(x) + (alpha - 1) * span, alpha)


def share(k: Array, alpha: Array, steps: int = 60) -> Array:
    """The t in (0, 1) with ln t − α·ln(1 − t) = k, to rounding.

    With z = ln(t/(1 − t)) the left side rises in z with a slope between 1 and α, and bends one way only, so that
    Newton's steps come down to z (or up) without overshooting twice.
    """
    k, alpha = np.broadcast_arrays(np.asarray(k, np.float64), np.maximum(alpha, 1e-9))
    with np.errstate(all="ignore"):
        z = np.where(k < 0, k, k / alpha)
        for _ in range(steps):
            tail = np.exp(-np.abs(z))
            small = np.log1p(tail) + np.maximum(-z, 0)  # −ln t; and −ln(1 − t) is that + z
            rest = np.where(z > 0, tail, 1.0) / (1 + tail)  # 1 − t
            step = (alpha * (small + z) - small - k) / (rest + alpha * (1 - rest))
            z = z - step
            if not np.any(np.abs(step) > 1e-8 * np.maximum(np.abs(z), 1.0)):  # the next would be its square
                break
        return np.exp(-np.logaddexp(0, -z))


def _m3_seeds(inputs: tuple[np.ndarray, ...], y: np.ndarray) -> dict[str, np.ndarray]:
    """1/γ from beyond the largest x down to the smallest."""
    (x,) = inputs
    turns = np.r_[1e3 * x.max(), np.geomspace(10 * x.max(), x.min(), 6)]
    pairs = np.array(list(itertools.product(1 / turns, STEEPNESS)))
    return {"gamma": pairs[:, 0], "c": pairs[:, 1]}


def _m4_seeds(inputs: tuple[np.ndarray, ...], y: np.ndarray) -> dict[str, np.ndarray]:
    """ε∞ below the least y, ε0 above the greatest; β and c are then those of a straight line through the logs."""
    (x,) = inputs
    low = y.min() * np.array([1e-3, 0.5, 0.9, 0.99])
    high = y.max() * np.array([1.01, 1.2, 2.0, 10.0])
    eps_inf, eps_0, alpha = np.array(list(itertools.product(low, high, (0.1, 0.5, 1.0, 2.0)))).T
    left = np.log(y - eps_inf[:, None]) - alpha[:, None] * np.log(eps_0[:, None] - y)
    about = np.log(x) - np.log(x).mean()
    c = np.clip(left @ about / np.maximum(about @ about, 1e-300), FALLS[0], -1e-3)
    beta = np.exp(left.mean(-1) - c * np.log(x).mean())
    return {"eps_inf": eps_inf, "eps_0": eps_0, "beta": beta, "c": c, "alpha": alpha}


SOURCE = "Alabdulmohsin 2022"
UNITS = {"x": "examples, tokens, parameters or FLOPs", "L": "error or loss"}
COLUMNS = {"L": "l y loss error error_rate test_loss test_error val_loss test_cross_entropy"}
_STARTS = {"c": tuple(-c for c in STEEPNESS)}

M1 = Law(m1, f"{SOURCE}, M1", _STARTS, ("beta",), {"c": FALLS}, objective="mse-log", units=UNITS)
M2 = Law(
    m2,
    f"{SOURCE}, M2",
    _STARTS,
    ("eps_inf", "beta"),
    {"c": FALLS},
    constants=("eps_inf",),
    objective="mse-log",
    units={**UNITS, "eps_inf": "as y"},
)
M3 = Law(
    m3,
    f"{SOURCE}, M3",
    {},
    ("beta",),
    {"gamma": (1e-40, 1e6), "c": (1e-4, 5.0)},
    objective="mse-log",
    units={**UNITS, "gamma": "1/x"},
    seeds=_m3_seeds,
)
M4 = Law(
    m4,
    f"{SOURCE}, M4",
    {},
    bounds={
        "eps_inf": (0.0, np.inf),
        "eps_0": (1e-12, 1e12),
        "beta": (1e-200, 1e200),
        "c": FALLS,
        "alpha": (0.0, 20.0),
    },
    objective="mse-log",
    units={**UNITS, "eps_inf": "as y", "eps_0": "as y"},
    seeds=_m4_seeds,
)

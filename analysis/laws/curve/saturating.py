"""Laws of learning curves, M1 to M4 (Alabdulmohsin 2022): error or loss as a function of data or compute.

The parameters depend on the task; the paper gives them for each curve.

Key: x examples, tokens, parameters or FLOPs; y error or loss; S starts; t position of y between its limits (0 to 1).
"""

from __future__ import annotations

import itertools

import numpy as np

from analysis.laws.law import Array, Law

EXPONENT = (-5.0, 0.0)  # bounds of the exponent of x; y decreases
STEEPNESS = (0.05, 0.2, 0.5, 1.0)  # starting values of the absolute exponent


def m1(x: Array, *, beta: Array, c: Array) -> Array:
    """β·x^c (Alabdulmohsin 2022, equation 1 with ε∞ = 0).

    Args:
        x: Examples, tokens, parameters or FLOPs.
        beta: Factor.
        c: Exponent, 0 or less.
    """
    return beta * x**c


def m2(x: Array, *, eps_inf: Array, beta: Array, c: Array) -> Array:
    """ε∞ + β·x^c (Alabdulmohsin 2022, equation 1).

    Args:
        x: Examples, tokens, parameters or FLOPs.
        eps_inf: Limit of y.
        beta: Factor.
        c: Exponent, 0 or less.
    """
    return eps_inf + beta * x**c


def m3(x: Array, *, beta: Array, gamma: Array, c: Array) -> Array:
    """β·(1/x + γ)^c (Alabdulmohsin 2022, equation 2): levels off at β·γ^c.

    Args:
        x: Examples, tokens, parameters or FLOPs.
        beta: Factor.
        gamma: Inverse of the x at which y levels off.
        c: Exponent of 1/x.
    """
    return beta * (1 / x + gamma) ** c


def m4(x: Array, *, eps_inf: Array, eps_0: Array, beta: Array, c: Array, alpha: Array) -> Array:
    """The y with (y − ε∞) / (ε0 − y)^α = β·x^c (Alabdulmohsin 2022, equation 4).

    y decreases from ε0, the error of guessing, to ε∞. It is NaN unless ε0 is greater than ε∞.

    Args:
        x: Examples, tokens, parameters or FLOPs.
        eps_inf: Limit of y.
        eps_0: y without data.
        beta: Factor.
        c: Exponent, 0 or less.
        alpha: Slowness of the decrease from ε0.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        log_span = np.log(eps_0 - eps_inf)
        k = np.log(beta) + c * np.log(x) + (alpha - 1) * log_span
        return eps_inf + (eps_0 - eps_inf) * solve_saturation(k, alpha)


def m4_derivatives(x: Array, *, eps_inf: Array, eps_0: Array, beta: Array, c: Array, alpha: Array) -> dict[str, Array]:
    """Returns the derivatives of `m4` by its parameters, from the derivative of its implicit equation.

    Args:
        x: Examples, tokens, parameters or FLOPs.
        eps_inf: Limit of y.
        eps_0: y without data.
        beta: Factor.
        c: Exponent, 0 or less.
        alpha: Slowness of the decrease from ε0.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        span, log_x = eps_0 - eps_inf, np.log(x)
        t = solve_saturation(np.log(beta) + c * log_x + (alpha - 1) * np.log(span), alpha)
        slope = span * t * (1 - t) / (1 - t + alpha * t)  # of y by the right side
        share = slope * (alpha - 1) / span
        log_rest = np.where(t < 1, np.log1p(-t), 0.0)
        return {
            "eps_inf": 1 - t - share,
            "eps_0": t + share,
            "beta": slope / beta,
            "c": slope * log_x,
            "alpha": slope * (np.log(span) + log_rest),
        }


def solve_saturation(k: Array, alpha: Array, steps: int = 60) -> Array:
    """Solves ln t − α·ln(1 − t) = k for t in (0, 1) to machine precision.

    As a function of z = ln(t/(1 − t)), the left side has a slope between 1 and α and is convex or concave, so that
    Newton's method converges from one side.

    Args:
        k: Right side.
        alpha: Weight of ln(1 − t).
        steps: Largest number of steps of Newton's method.
    """
    k, alpha = np.broadcast_arrays(np.asarray(k, np.float64), np.maximum(alpha, 1e-9))
    with np.errstate(all="ignore"):
        z = np.where(k < 0, k, k / alpha)
        for _ in range(steps):
            tail = np.exp(-np.abs(z))
            minus_log_t = np.log1p(tail) + np.maximum(-z, 0)  # −ln(1 − t) = minus_log_t + z
            rest = np.where(z > 0, tail, 1.0) / (1 + tail)  # 1 − t
            step = (alpha * (minus_log_t + z) - minus_log_t - k) / (rest + alpha * (1 - rest))
            z = z - step
            if not np.any(
                np.abs(step) > 1e-8 * np.maximum(np.abs(z), 1.0)
            ):  # quadratic convergence: the next step would be negligible
                break
        return np.exp(-np.logaddexp(0, -z))


def _m3_starts(inputs: tuple[np.ndarray, ...], y: np.ndarray) -> dict[str, np.ndarray]:
    """Starting values of `m3`: 1/γ from 1000 times the largest x to the smallest x."""
    (x,) = inputs
    positions = np.r_[1e3 * x.max(), np.geomspace(10 * x.max(), x.min(), 6)]
    pairs = np.array(list(itertools.product(1 / positions, STEEPNESS)))
    return {"gamma": pairs[:, 0], "c": pairs[:, 1]}


def _m4_starts(inputs: tuple[np.ndarray, ...], y: np.ndarray) -> dict[str, np.ndarray]:
    """Starting values of `m4`: ε∞ below the smallest y, ε0 above the largest; β and c by regression of logarithms."""
    (x,) = inputs
    low = y.min() * np.array([1e-3, 0.5, 0.9, 0.99])
    high = y.max() * np.array([1.01, 1.2, 2.0, 10.0])
    eps_inf, eps_0, alpha = np.array(list(itertools.product(low, high, (0.1, 0.5, 1.0, 2.0)))).T
    log_ratio = np.log(y - eps_inf[:, None]) - alpha[:, None] * np.log(eps_0[:, None] - y)
    log_x = np.log(x) - np.log(x).mean()
    c = np.clip(log_ratio @ log_x / np.maximum(log_x @ log_x, 1e-300), EXPONENT[0], -1e-3)
    beta = np.exp(log_ratio.mean(-1) - c * np.log(x).mean())
    return {"eps_inf": eps_inf, "eps_0": eps_0, "beta": beta, "c": c, "alpha": alpha}


SOURCE = "Alabdulmohsin 2022"
UNITS = {"x": "examples, tokens, parameters or FLOPs", "L": "error or loss"}
STARTS = {"c": tuple(-c for c in STEEPNESS)}

M1 = Law(
    m1,
    f"{SOURCE}, M1",
    STARTS,
    ("beta",),
    {"c": EXPONENT},
    objective="mse-log",
    units=UNITS,
    latex=(r"y(x) = \beta x^c",),
)
M2 = Law(
    m2,
    f"{SOURCE}, M2",
    STARTS,
    ("eps_inf", "beta"),
    {"c": EXPONENT},
    constants=("eps_inf",),
    objective="mse-log",
    units={**UNITS, "eps_inf": "as y"},
    latex=(r"y(x) = \varepsilon_\infty + \beta x^c",),
)
M3 = Law(
    m3,
    f"{SOURCE}, M3",
    {},
    ("beta",),
    {"gamma": (1e-40, 1e6), "c": (1e-4, 5.0)},
    objective="mse-log",
    units={**UNITS, "gamma": "1/x"},
    starts_from_data=_m3_starts,
    latex=(r"y(x) = \beta \left(\frac{1}{x} + \gamma\right)^c",),
)
M4 = Law(
    m4,
    f"{SOURCE}, M4",
    {},
    bounds={
        "eps_inf": (0.0, np.inf),
        "eps_0": (1e-12, 1e12),
        "beta": (1e-200, 1e200),
        "c": EXPONENT,
        "alpha": (0.0, 20.0),
    },
    objective="mse-log",
    units={**UNITS, "eps_inf": "as y", "eps_0": "as y"},
    starts_from_data=_m4_starts,
    latex=(r"\frac{y - \varepsilon_\infty}{\left(\varepsilon_0 - y\right)^\alpha} = \beta x^c",),
    derivatives=m4_derivatives,
)

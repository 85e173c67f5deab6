"""Laws of error and accuracy on tasks as functions of a loss.

Key: N parameters, D tokens, L a loss (nats per token, or bits per byte of the correct answer), Err and Acc shares of
answers; S starts.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from analysis.laws.law import Array, Law, Published
from analysis.laws.loss.chinchilla import CHINCHILLA, chinchilla

STEEPNESS = (1e-4, 1e4)  # bounds of the steepness in L


def error(L: Array, *, epsilon: Array, k: Array, gamma: Array) -> Array:
    """ε − k·e^(−γL): the error decreases from chance level ε with decreasing loss (Gadre 2024, equation 5).

    Args:
        L: Loss in nats per token.
        epsilon: Error at a large loss, a share of answers.
        k: Factor, a share of answers.
        gamma: Steepness per nat.
    """
    return epsilon - k * np.exp(-gamma * L)


def sigmoid(L: Array, *, a: Array, k: Array, L0: Array, b: Array) -> Array:
    """a/(1 + e^(−k(L − L0))) + b, a ≤ 0 (OLMo ladder 2024, equation 3).

    The accuracy is b at zero loss, and b + a, chance level, at a large loss.

    Args:
        L: Loss of the task in bits per byte.
        a: Chance level minus accuracy at zero loss.
        k: Steepness per bit.
        L0: Loss at the middle of the step.
        b: Accuracy at zero loss.
    """
    return a * expit(k * (L - L0)) + b


def two_step(
    N: Array,
    D: Array,
    *,
    E: Array,
    A: Array,
    B: Array,
    alpha: Array,
    beta: Array,
    a: Array,
    k: Array,
    L0: Array,
    b: Array,
) -> Array:
    """Accuracy from parameters and tokens via the loss of the task (OLMo ladder 2024, equations 1 and 3).

    Args:
        N: Parameters.
        D: Tokens.
        E: Irreducible loss of the task in bits per byte.
        A: Factor of the term of the size.
        B: Factor of the term of the data.
        alpha: Exponent of the size.
        beta: Exponent of the data.
        a: Chance level minus accuracy at zero loss.
        k: Steepness per bit.
        L0: Loss at the middle of the step.
        b: Accuracy at zero loss.
    """
    return sigmoid(chinchilla(N, D, E=E, A=A, B=B, alpha=alpha, beta=beta), a=a, k=k, L0=L0, b=b)


def _span(values: np.ndarray) -> float:
    return max(float(np.ptp(values)), 1e-9)


def _error_starts(inputs: tuple[np.ndarray, ...], output: np.ndarray) -> dict[str, np.ndarray]:
    """Starting values of `error`: curves through both ends of the points, from nearly straight to steep."""
    L, span = inputs[0], _span(inputs[0])
    gamma = np.array([0.1, 0.3, 1.0, 3.0, 10.0]) / span
    rise = _span(output) / -np.expm1(-gamma * span)  # k·e^(−γL) at the smallest loss
    return {"epsilon": output.min() + rise, "k": rise * np.exp(np.minimum(gamma * L.min(), 600.0)), "gamma": gamma}


def _sigmoid_starts(inputs: tuple[np.ndarray, ...], output: np.ndarray) -> dict[str, np.ndarray]:
    """Starting values of `sigmoid`: steps below and within the losses, several widths, b at the points or at 1."""
    L, span = inputs[0], _span(inputs[0])
    middle = np.append(np.quantile(L, [0.1, 0.5, 0.9]), L.min() - 0.3 * span)
    high, low = np.array([output.max(), 1.0]), output.min()
    L0, k, b = (x.ravel() for x in np.meshgrid(middle, np.array([2.0, 8.0, 32.0]) / span, high))
    return {"a": np.clip(low - b, -1.0, 0.0), "k": k, "L0": np.maximum(L0, 1e-3), "b": np.clip(b, 0.0, 1.0)}


ERROR = Law(
    error,
    "Gadre 2024, equation 5",
    {},
    bounds={"epsilon": (0.0, np.inf), "k": (1e-12, 1e80), "gamma": STEEPNESS},
    output="Err",
    objective="mse",
    starts_from_data=_error_starts,
    units={"L": "nats per token", "Err": "share of answers", "epsilon": "share of answers", "k": "share of answers"},
    columns={"Err": "err error error_rate err_avg"},
    latex=(r"\mathrm{Err}(L) = \varepsilon - k e^{-\gamma L}",),
    published=(
        Published("Gadre 2024, C4, mean of 17 tasks", {"epsilon": 0.850, "k": 2.08, "gamma": 0.756}),
        Published("Gadre 2024, RedPajama, mean of 17 tasks", {"epsilon": 0.857, "k": 2.21, "gamma": 0.715}),
    ),
    signed=("Err",),
)
SIGMOID = Law(
    sigmoid,
    "OLMo ladder (Bhagia 2024), equation 3",
    {},
    bounds={"a": (-1.0, 0.0), "b": (0.0, 1.0), "k": STEEPNESS, "L0": (1e-3, 1e3)},
    output="Acc",
    objective="mse",
    units={"L": "bits per byte", "L0": "bits per byte", "Acc": "share of answers", "a": "share of answers"},
    columns={"Acc": "acc accuracy rc_acc score"},
    signed=("Acc",),
    starts_from_data=_sigmoid_starts,
    latex=(r"\mathrm{Acc}(L) = \frac{a}{1 + e^{-k (L - L_0)}} + b",),
)
TWO_STEP = Law(
    two_step,
    "OLMo ladder (Bhagia 2024), equations 1 and 3",
    {},  # the two steps are fitted one after the other
    bounds=CHINCHILLA.bounds | SIGMOID.bounds,
    output="Acc",
    objective="huber-log",
    units=CHINCHILLA.units | SIGMOID.units,
    columns=SIGMOID.columns,
    signed=SIGMOID.signed,
    latex=(
        r"\mathrm{Acc}(N, D) = \frac{a}{1 + e^{-k (L - L_0)}} + b",
        r"L = E + \frac{A}{N^\alpha} + \frac{B}{D^\beta}",
    ),
)

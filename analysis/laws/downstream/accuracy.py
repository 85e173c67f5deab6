"""Tasks: error and accuracy from a loss.

Key: N parameters, D tokens, L a loss (nats a token, or bits a byte of the right answer), Err and Acc shares of answers.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from analysis.laws.law import Array, Law
from analysis.laws.loss.chinchilla import CHINCHILLA, chinchilla


def error(L: Array, *, epsilon: Array, k: Array, gamma: Array) -> Array:
    """ε − k·e^(−γL): error that falls from chance, ε, as the loss falls (Gadre 2024, equation 5)."""
    return epsilon - k * np.exp(-gamma * L)


def sigmoid(L: Array, *, a: Array, k: Array, L0: Array, b: Array) -> Array:
    """a/(1 + e^(−k(L − L0))) + b, a ≤ 0 (OLMo ladder 2024, equation 3): b at no loss, b + a, chance, at a large one."""
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
    """Accuracy from parameters and tokens by way of the task's loss (OLMo ladder 2024, equations 1 and 3)."""
    return sigmoid(chinchilla(N, D, E=E, A=A, B=B, alpha=alpha, beta=beta), a=a, k=k, L0=L0, b=b)


def _bends(inputs: tuple[np.ndarray, ...], output: np.ndarray) -> dict[str, np.ndarray]:
    """Starts of `error`: from nearly straight to bent at the lowest losses, through both ends of the points."""
    L, span = inputs[0], max(float(np.ptp(inputs[0])), 1e-9)
    gamma = np.array([0.1, 0.3, 1.0, 3.0, 10.0]) / span
    rise = max(float(np.ptp(output)), 1e-9) / -np.expm1(-gamma * span)  # k·e^(−γL) at the lowest loss
    return {"epsilon": output.min() + rise, "k": rise * np.exp(np.minimum(gamma * L.min(), 600.0)), "gamma": gamma}


def _steps(inputs: tuple[np.ndarray, ...], output: np.ndarray) -> dict[str, np.ndarray]:
    """Starts of `sigmoid`: steps at, below and between the losses, slow and steep, as high as the points or up to 1."""
    L, span = inputs[0], max(float(np.ptp(inputs[0])), 1e-9)
    middle = np.append(np.quantile(L, [0.1, 0.5, 0.9]), L.min() - 0.3 * span)
    high, low = np.array([output.max(), 1.0]), output.min()
    L0, k, b = (x.ravel() for x in np.meshgrid(middle, np.array([2.0, 8.0, 32.0]) / span, high))
    return {"a": np.clip(low - b, -1.0, 0.0), "k": k, "L0": np.maximum(L0, 1e-3), "b": np.clip(b, 0.0, 1.0)}


ERROR = Law(
    error,
    "Gadre 2024, equation 5",
    {},
    bounds={"epsilon": (0.0, np.inf), "k": (1e-12, 1e80), "gamma": (1e-4, 1e4)},
    output="Err",
    objective="mse",
    seeds=_bends,
    units={"L": "nats a token", "Err": "share of answers", "epsilon": "share of answers", "k": "share of answers"},
    columns={"Err": "err error error_rate err_avg"},
    signed=("Err",),
)
SIGMOID = Law(
    sigmoid,
    "OLMo ladder (Bhagia 2024), equation 3",
    {},
    bounds={"a": (-1.0, 0.0), "b": (0.0, 1.0), "k": (1e-4, 1e4), "L0": (1e-3, 1e3)},
    output="Acc",
    objective="mse",
    units={"L": "bits a byte", "L0": "bits a byte", "Acc": "share of answers", "a": "share of answers"},
    columns={"Acc": "acc accuracy rc_acc score"},
    signed=("Acc",),
    seeds=_steps,
)
TWO_STEP = Law(
    two_step,
    "OLMo ladder (Bhagia 2024), equations 1 and 3",
    {},  # fitted step by step
    bounds=CHINCHILLA.bounds | SIGMOID.bounds,
    output="Acc",
    objective="huber-log",
    units=CHINCHILLA.units | SIGMOID.units,
    columns=SIGMOID.columns,
    signed=SIGMOID.signed,
)

"""Tasks: error and accuracy from a loss.

Key: L a loss (nats a token, or bits a byte of the right answer), Err and Acc shares from 0 to 1.
"""

from __future__ import annotations

import numpy as np

from analysis.laws.law import Array, Law


def error(L: Array, *, epsilon: Array, k: Array, gamma: Array) -> Array:
    """ε − k·e^(−γL): error that falls from chance, ε, as the loss falls (Gadre 2024, equation 5)."""
    return epsilon - k * np.exp(-gamma * L)


def sigmoid(L: Array, *, a: Array, k: Array, L0: Array, b: Array) -> Array:
    """a/(1 + e^(−k(L − L0))) + b, a ≤ 0 (OLMo ladder 2024, equation 3): b at no loss, b + a, chance, at a large one."""
    return a / (1 + np.exp(-k * (L - L0))) + b


LOSSES = (0.5, 1.0, 2.0, 4.0)  # of tasks: from an answer nearly known to a byte or token nearly guessed

ERROR = Law(
    error,
    "Gadre 2024, equation 5",
    {"epsilon": (0.5, 0.9), "k": (0.3, 3.0, 30.0), "gamma": (0.2, 0.7, 2.0, 5.0)},
    bounds={"k": (1e-9, 1e12), "gamma": (1e-3, 1e2)},
    output="Err",
    objective="mse",
    units={"L": "nats a token", "Err": "share of answers", "epsilon": "share of answers", "k": "share of answers"},
    columns={"Err": "err error error_rate err_avg"},
    signed=("Err",),
)
SIGMOID = Law(
    sigmoid,
    "OLMo ladder (Bhagia 2024), equation 3",
    {"a": (-0.8, -0.4), "k": (1.0, 3.0, 10.0), "L0": LOSSES, "b": (0.6, 1.0)},
    bounds={"a": (-1.0, 0.0), "b": (0.0, 1.0), "k": (1e-3, 1e3), "L0": (1e-3, 1e3)},
    output="Acc",
    objective="mse",
    units={"L": "bits a byte", "L0": "bits a byte", "Acc": "share of answers", "a": "share of answers"},
    columns={"Acc": "acc accuracy rc_acc score"},
    signed=("Acc",),
)

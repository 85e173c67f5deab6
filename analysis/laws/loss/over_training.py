"""Over-training: loss at a budget and a number of tokens a parameter (Gadre 2024).

Key: C FLOPs, M tokens a parameter (D / N), L nats a token.
"""

from __future__ import annotations

import numpy as np

from analysis.laws.law import Array, Law
from analysis.laws.loss.chinchilla import EXPONENTS


def over_training(C: Array, M: Array, *, E: Array, a: Array, b: Array, eta: Array) -> Array:
    """E + (a·M^η + b·M^−η)·C^−η (Gadre 2024, equation 4): Chinchilla's form with both exponents equal to 2η."""
    return E + a * (M / C) ** eta + b * (M * C) ** -eta


def over_training_optimum(p: dict[str, Array], k: float) -> tuple[Array, Array, Array]:
    """Where the loss is least under C = k·N·D: M* = (b/a)^(1/2η) at every budget, so N* = √(C/k / M*)."""
    half = np.full_like(np.asarray(p["eta"], np.float64), 0.5)
    return half, half, -0.25 * np.log(p["b"] / p["a"]) / p["eta"]


OVER_TRAINING = Law(
    over_training,
    "Gadre 2024, equation 4",
    {"eta": tuple(x / 2 for x in EXPONENTS)},
    linear=("E", "a", "b"),
    bounds={"eta": (1e-3, 2.5)},
    constants=("E",),
    falls=("C",),
    optimum=over_training_optimum,
    units={"C": "FLOPs", "M": "tokens a parameter", "L": "nats a token", "E": "nats a token"},
    columns={"M": "m token_multiplier tokens_per_parameter tokens_per_param"},
)

"""Law of over-training: the loss as a function of compute and tokens per parameter (Gadre 2024).

Key: C FLOPs, M tokens per parameter (D / N), L loss in nats per token.
"""

from __future__ import annotations

import numpy as np

from analysis.laws.law import Array, Law, Published
from analysis.laws.loss.chinchilla import EXPONENT, EXPONENTS


def over_training(C: Array, M: Array, *, E: Array, a: Array, b: Array, eta: Array) -> Array:
    """E + (a·M^η + b·M^−η)·C^−η (Gadre 2024, equation 4).

    It is Chinchilla's law with both exponents equal to 2η.

    Args:
        C: Training FLOPs.
        M: Tokens per parameter.
        E: Irreducible loss in nats per token.
        a: Factor of the term that grows with M.
        b: Factor of the term that decreases with M.
        eta: Exponent of the compute.
    """
    return E + a * (M / C) ** eta + b * (M * C) ** -eta


def over_training_optimum(params: dict[str, Array], k: float, s: float = 1.0) -> tuple[Array, Array, Array]:
    """Minimises the law under C = k·N^s·D: M* = (b/a)^(1/2η) at every budget, so that N* = (C/k / M*)^(1/(1+s)).

    Args:
        params: Parameters of `over_training`.
        k: Factor of the compute; FLOPs per parameter and token if s = 1.
        s: Exponent of N in the compute.

    Returns:
        a, b and ln G of N* = G·(C/k)^a and D* = (C/k)^b / G^s.
    """
    share = np.full_like(np.asarray(params["eta"], np.float64), 1 / (1 + s))
    return share, share, -0.5 * share * np.log(params["b"] / params["a"]) / params["eta"]


OVER_TRAINING = Law(
    over_training,
    "Gadre 2024, equation 4",
    {"eta": tuple(x / 2 for x in EXPONENTS)},
    linear=("E", "a", "b"),
    bounds={"eta": (EXPONENT[0], EXPONENT[1] / 2)},
    constants=("E",),
    decreasing_in=("C",),
    optimum=over_training_optimum,
    units={"C": "FLOPs", "M": "tokens per parameter", "L": "nats per token", "E": "nats per token"},
    latex=(r"L(C, M) = E + \left(a M^\eta + b M^{-\eta}\right) C^{-\eta}",),
    published=(
        Published("Gadre 2024, C4", {"E": 1.51, "a": 141, "b": 190, "eta": 0.121}),
        Published("Gadre 2024, RedPajama", {"E": 1.84, "a": 212, "b": 367, "eta": 0.136}),
    ),
)

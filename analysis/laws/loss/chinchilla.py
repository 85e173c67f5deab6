"""Chinchilla's law (Hoffmann 2022).

Key: N parameters, D tokens, C FLOPs, L loss in nats per token.
"""

from __future__ import annotations

import numpy as np

from analysis.laws.law import Array, Law, Published

EXPONENT = (1e-3, 5.0)  # bounds of an exponent of the laws of the loss
EXPONENTS = (0.05, 0.15, 0.3, 0.5, 0.8, 1.2)  # starting values of an exponent


def chinchilla(N: Array, D: Array, *, E: Array, A: Array, B: Array, alpha: Array, beta: Array) -> Array:
    """E + A/N^α + B/D^β (Hoffmann 2022, equation 2).

    Args:
        N: Parameters.
        D: Tokens.
        E: Irreducible loss in nats per token.
        A: Factor of the term of the size.
        B: Factor of the term of the data.
        alpha: Exponent of the size.
        beta: Exponent of the data.
    """
    return E + A * N**-alpha + B * D**-beta


def chinchilla_optimum(params: dict[str, Array], k: float, s: float = 1.0) -> tuple[Array, Array, Array]:
    """Minimises Chinchilla's law under C = k·N^s·D (Hoffmann 2022, equation 4, where s = 1).

    Args:
        params: Parameters of `chinchilla`.
        k: Factor of the compute; FLOPs per parameter and token if s = 1.
        s: Exponent of N in the compute.

    Returns:
        a, b and ln G of N* = G·(C/k)^a and D* = (C/k)^b / G^s.
    """
    alpha, beta = params["alpha"], params["beta"]
    total = alpha + s * beta  # from α·A·N^−α = s·β·B·D^−β
    return beta / total, alpha / total, np.log(alpha * params["A"] / (s * beta * params["B"])) / total


CHINCHILLA = Law(
    chinchilla,
    "Hoffmann 2022, approach 3 (equation 2)",
    {"alpha": EXPONENTS, "beta": EXPONENTS},
    linear=("E", "A", "B"),
    bounds={"alpha": EXPONENT, "beta": EXPONENT},
    powers={"A": ("N", "alpha"), "B": ("D", "beta")},
    constants=("E",),
    optimum=chinchilla_optimum,
    units={"N": "parameters", "D": "tokens", "L": "nats per token", "E": "nats per token"},
    latex=(r"L(N, D) = E + \frac{A}{N^\alpha} + \frac{B}{D^\beta}",),
    published=(
        Published("Hoffmann 2022, approach 3", {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.34, "beta": 0.28}),
        Published(
            "Besiroglu 2024, a new fit to the same runs",
            {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658},
        ),
    ),
)

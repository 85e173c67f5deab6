"""Chinchilla's form (Hoffmann 2022). N parameters, D tokens, C FLOPs, L nats a token."""

from __future__ import annotations

import numpy as np

from analysis.laws.law import Array, Law

EXPONENT = (1e-3, 5.0)
EXPONENTS = (0.05, 0.15, 0.3, 0.5, 0.8, 1.2)


def chinchilla(N: Array, D: Array, *, E: Array, A: Array, B: Array, alpha: Array, beta: Array) -> Array:
    """E + A/N^α + B/D^β (Hoffmann 2022, equation 2)."""
    return E + A * N**-alpha + B * D**-beta


def chinchilla_optimum(p: dict[str, Array], k: float) -> tuple[Array, Array, Array]:
    """Where E + A/N^α + B/D^β is least under C = k·N·D (Hoffmann 2022, equation 4): a, b, ln G."""
    total = p["alpha"] + p["beta"]
    return p["beta"] / total, p["alpha"] / total, np.log(p["alpha"] * p["A"] / (p["beta"] * p["B"])) / total


CHINCHILLA = Law(
    chinchilla,
    "Hoffmann 2022, approach 3 (equation 2)",
    {"alpha": EXPONENTS, "beta": EXPONENTS},
    linear=("E", "A", "B"),
    bounds={"alpha": EXPONENT, "beta": EXPONENT},
    powers={"A": ("N", "alpha"), "B": ("D", "beta")},
    constants=("E",),
    optimum=chinchilla_optimum,
    units={"N": "parameters", "D": "tokens", "L": "nats a token", "E": "nats a token"},
)

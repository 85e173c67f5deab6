"""The forms of the field: one function each, its parameter names read from the signature.

Positional arguments are what a law takes of N (parameters), D (tokens) and C (FLOPs); keyword-only ones are
its parameters. Losses in nats a token. A law broadcasts: parameters (S, 1) against inputs (n,) give (S, n).
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = Any  # float or np.ndarray, broadcasting


@dataclass(frozen=True)
class Law:
    """A form and what it takes to fit it.

    starts: values to begin from, for each parameter that is not linear; their product is tried.
    linear: parameters that enter linearly and may not be negative: solved for, never searched.
    bounds: lowest and highest value of a parameter; (0, inf) where not given.
    powers: linear parameters that multiply a falling power of an input, {"A": ("N", "alpha")}: solved for faster,
        and a fit in which one vanishes is refused, because then the loss does not fall with that input.
    constants: linear parameters that stand alone.
    optimum: (params, k) -> (a, b, ln G): N* = G·(C/k)^a, D* = (C/k)^b / G, where C = k·N·D.
    frontier: fitted to the runs that no run with less of the input beats.
    """

    function: Callable[..., Array]
    source: str
    starts: dict[str, tuple[float, ...]]
    linear: tuple[str, ...] = ()
    bounds: dict[str, tuple[float, float]] = field(default_factory=dict)
    powers: dict[str, tuple[str, str]] = field(default_factory=dict)
    constants: tuple[str, ...] = ()
    optimum: Callable[[dict[str, Array], float], tuple[Array, Array, Array]] | None = None
    frontier: bool = False

    @property
    def inputs(self) -> tuple[str, ...]:
        """Which of N, D and C the law takes, in order."""
        return tuple(p.name for p in _signature(self.function) if p.kind is not p.KEYWORD_ONLY)

    @property
    def parameters(self) -> tuple[str, ...]:
        """Parameter names in order."""
        return tuple(p.name for p in _signature(self.function) if p.kind is p.KEYWORD_ONLY)

    @property
    def nonlinear(self) -> tuple[str, ...]:
        return tuple(name for name in self.parameters if name not in self.linear)

    def bound(self, name: str) -> tuple[float, float]:
        return self.bounds.get(name, (0.0, np.inf))

    def grid(self) -> np.ndarray:
        """Starts (S, number of nonlinear parameters)."""
        return np.array(list(itertools.product(*(self.starts[name] for name in self.nonlinear))), np.float64)


def _signature(function: Callable[..., Array]) -> list[inspect.Parameter]:
    return list(inspect.signature(function).parameters.values())


def chinchilla(N: Array, D: Array, *, E: Array, A: Array, B: Array, alpha: Array, beta: Array) -> Array:
    """E + A/N^α + B/D^β (Hoffmann 2022, equation 2)."""
    return E + A * N**-alpha + B * D**-beta


def chinchilla_optimum(p: dict[str, Array], k: float) -> tuple[Array, Array, Array]:
    """Where E + A/N^α + B/D^β is least under C = k·N·D (Hoffmann 2022, equation 4): a, b, ln G."""
    total = p["alpha"] + p["beta"]
    return p["beta"] / total, p["alpha"] / total, np.log(p["alpha"] * p["A"] / (p["beta"] * p["B"])) / total


def kaplan_n(N: Array, *, Nc: Array, alpha: Array) -> Array:
    """(Nc/N)^α (Kaplan 2020, equation 1.1; N there without embeddings)."""
    return (Nc / N) ** alpha


def kaplan_d(D: Array, *, Dc: Array, alpha: Array) -> Array:
    """(Dc/D)^α (Kaplan 2020, equation 1.2)."""
    return (Dc / D) ** alpha


def kaplan_c(C: Array, *, Cc: Array, alpha: Array) -> Array:
    """(Cc/C)^α, Cc in FLOPs (Kaplan 2020, equation 1.3, has PF-days: 8.64e19 FLOPs each)."""
    return (Cc / C) ** alpha


def power_n(N: Array, *, E: Array, A: Array, alpha: Array) -> Array:
    """E + A/N^α: Kaplan's law with an irreducible term (Henighan 2020, equation 1.1)."""
    return E + A * N**-alpha


def power_d(D: Array, *, E: Array, B: Array, beta: Array) -> Array:
    """E + B/D^β (Henighan 2020, equation 1.1)."""
    return E + B * D**-beta


def power_c(C: Array, *, E: Array, G: Array, gamma: Array) -> Array:
    """E + G/C^γ: the compute frontier (Henighan 2020, equation 1.1)."""
    return E + G * C**-gamma


EXPONENT = (1e-3, 5.0)
EXPONENTS = (0.05, 0.15, 0.3, 0.5, 0.8, 1.2)
SCALES = tuple(10.0**k for k in range(2, 42, 3))


def _kaplan(function: Callable[..., Array], scale: str, equation: str) -> Law:
    starts = {scale: SCALES, "alpha": (0.03, 0.08, 0.2)}
    bounds = {scale: (1e-6, 1e80), "alpha": EXPONENT}
    return Law(function, f"Kaplan 2020, equation {equation}", starts, bounds=bounds, frontier=True)


def _power(function: Callable[..., Array], scale: str, exponent: str, letter: str) -> Law:
    return Law(
        function,
        "Henighan 2020, equation 1.1",
        {exponent: EXPONENTS},
        linear=("E", scale),
        bounds={exponent: EXPONENT},
        powers={scale: (letter, exponent)},
        constants=("E",),
        frontier=True,
    )


LAWS: dict[str, Law] = {
    "chinchilla": Law(
        chinchilla,
        "Hoffmann 2022, approach 3 (equation 2)",
        {"alpha": EXPONENTS, "beta": EXPONENTS},
        linear=("E", "A", "B"),
        bounds={"alpha": EXPONENT, "beta": EXPONENT},
        powers={"A": ("N", "alpha"), "B": ("D", "beta")},
        constants=("E",),
        optimum=chinchilla_optimum,
    ),
    "kaplan-n": _kaplan(kaplan_n, "Nc", "1.1"),
    "kaplan-d": _kaplan(kaplan_d, "Dc", "1.2"),
    "kaplan-c": _kaplan(kaplan_c, "Cc", "1.3"),
    "power-n": _power(power_n, "A", "alpha", "N"),
    "power-d": _power(power_d, "B", "beta", "D"),
    "power-c": _power(power_c, "G", "gamma", "C"),
}
APPROACHES = {
    "chinchilla-1": "Hoffmann 2022, approach 1: the lowest loss over runs at each C",
    "chinchilla-2": "Hoffmann 2022, approach 2: a parabola in ln N for each budget",
}
NAMES = (*LAWS, *APPROACHES)

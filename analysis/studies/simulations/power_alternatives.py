"""The laws that a power statement compares with Chinchilla's, and the sizes of their effects.

Key: N parameters, D tokens, L nats per token.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis.laws.law import Array, Law
from analysis.laws.loss.chinchilla import EXPONENT

GENERAL_EXPONENT = 0.75  # effect: k of E + (A/N^α + B/D^β)^k instead of 1
BREAK = 0.25  # effect: change of the exponent of the reducible loss beyond the break, relative to that before
BREAK_WIDTH = 0.3  # width of the break in ln(N·D)


@dataclass(frozen=True)
class Alternative:
    """A law that a fit is compared with.

    Attributes:
        name: Its name.
        meaning: What it says, with the size of its effect.
        is_simple: Whether the fitted law contains it; otherwise it contains the fitted law.
    """

    name: str
    meaning: str
    is_simple: bool


ALTERNATIVES = (
    Alternative("no E", "E = 0; the effect is the fitted E", True),
    Alternative("equal exponents", "α = β; the effect is the fitted difference", True),
    Alternative("generalised Chinchilla", f"E + (A/N^α + B/D^β)^k with k = {GENERAL_EXPONENT:g}", False),
    Alternative(
        "broken power law",
        f"exponents of the reducible loss smaller by {BREAK:.0%} beyond the middle of the runs' N·D",
        False,
    ),
)


def generalised_chinchilla(
    N: Array, D: Array, *, E: Array, A: Array, B: Array, alpha: Array, beta: Array, k: Array
) -> Array:
    """E + (A/N^α + B/D^β)^k: Chinchilla's law is k = 1.

    Args:
        N: Parameters.
        D: Tokens.
        E: Irreducible loss in nats per token.
        A: Factor of the term of the size.
        B: Factor of the term of the data.
        alpha: Exponent of the size.
        beta: Exponent of the data.
        k: Exponent of the sum.
    """
    return E + (A * N**-alpha + B * D**-beta) ** k


def broken_chinchilla(middle: float) -> Callable[..., Array]:
    """Returns Chinchilla's law with a break of the reducible loss at a value of N·D (as Caballero 2023, equation 1).

    Args:
        middle: N·D at the break.
    """

    def broken(N: Array, D: Array, *, E: Array, A: Array, B: Array, alpha: Array, beta: Array, c: Array) -> Array:
        factor = np.exp(c * BREAK_WIDTH * np.logaddexp(0.0, np.log(N * D / middle) / BREAK_WIDTH))
        return E + (A * N**-alpha + B * D**-beta) * factor

    return broken


def one_more_parameter(
    function: Callable[..., Array], extra: str, bound: tuple[float, float], *, is_power: bool = False
) -> Law:
    """Returns a law with one parameter more than Chinchilla's.

    Args:
        function: The law.
        extra: Name of the parameter.
        bound: Its bounds.
        is_power: Whether A and B are inside of a power, so that they are not linear.
    """
    bounds: dict[str, tuple[float, float]] = {"alpha": EXPONENT, "beta": EXPONENT, extra: bound}
    starts: dict[str, tuple[float, ...]] = {"alpha": (0.3,), "beta": (0.3,), extra: (1.0,)}
    if is_power:  # A and B are inside of the power
        bounds |= {"A": (1e-6, 1e30), "B": (1e-6, 1e30)}
        starts |= {"A": (400.0,), "B": (400.0,)}
    return Law(
        function, "this study", starts, linear=("E",) if is_power else ("E", "A", "B"), bounds=bounds, constants=("E",)
    )

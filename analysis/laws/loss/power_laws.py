"""Power laws of one input: Kaplan's L(N), L(D) and L(C), and power laws with an irreducible loss.

Key: N parameters, D tokens, C FLOPs, L loss in nats per token.
"""

from __future__ import annotations

from collections.abc import Callable

from analysis.laws.law import LOSS_UNIT, Array, Law, Published
from analysis.laws.loss.chinchilla import EXPONENT, EXPONENTS

UNITS = {"N": "parameters", "D": "tokens", "C": "FLOPs"}
SCALE = (1e-6, 1e80)  # bounds of a scale of Kaplan's laws
SCALES = tuple(10.0**k for k in range(2, 42, 3))  # starting values of a scale
PF_DAY = 8.64e19  # FLOPs
KAPLAN_EXPONENTS = (0.03, 0.08, 0.2)  # starting values: the published exponents are 0.05 to 0.1


def kaplan_n(N: Array, *, Nc: Array, alpha: Array) -> Array:
    """(Nc/N)^α (Kaplan 2020, equation 1.1).

    Args:
        N: Parameters.
        Nc: Scale in parameters.
        alpha: Exponent.
    """
    return (Nc / N) ** alpha


def kaplan_d(D: Array, *, Dc: Array, alpha: Array) -> Array:
    """(Dc/D)^α (Kaplan 2020, equation 1.2).

    Args:
        D: Tokens.
        Dc: Scale in tokens.
        alpha: Exponent.
    """
    return (Dc / D) ** alpha


def kaplan_c(C: Array, *, Cc: Array, alpha: Array) -> Array:
    """(Cc/C)^α, Cc in FLOPs (Kaplan 2020, equation 1.3, uses PF-days of 8.64e19 FLOPs).

    Args:
        C: Training FLOPs.
        Cc: Scale in FLOPs.
        alpha: Exponent.
    """
    return (Cc / C) ** alpha


def power_n(N: Array, *, E: Array, A: Array, alpha: Array) -> Array:
    """E + A/N^α: Kaplan's law with an irreducible loss (Henighan 2020, equation 1.1).

    Args:
        N: Parameters.
        E: Irreducible loss in nats per token.
        A: Factor.
        alpha: Exponent.
    """
    return E + A * N**-alpha


def power_d(D: Array, *, E: Array, B: Array, beta: Array) -> Array:
    """E + B/D^β (Henighan 2020, equation 1.1).

    Args:
        D: Tokens.
        E: Irreducible loss in nats per token.
        B: Factor.
        beta: Exponent.
    """
    return E + B * D**-beta


def power_c(C: Array, *, E: Array, G: Array, gamma: Array) -> Array:
    """E + G/C^γ: the compute-efficient frontier (Henighan 2020, equation 1.1).

    Args:
        C: Training FLOPs.
        E: Irreducible loss in nats per token.
        G: Factor.
        gamma: Exponent.
    """
    return E + G * C**-gamma


def _kaplan(function: Callable[..., Array], scale: str, equation: str, published: Published) -> Law:
    letter = scale[0]
    return Law(
        function,
        f"Kaplan 2020, equation {equation}",
        {scale: SCALES, "alpha": KAPLAN_EXPONENTS},
        bounds={scale: SCALE, "alpha": EXPONENT},
        on_frontier=True,
        units={letter: UNITS[letter], "L": LOSS_UNIT, scale: UNITS[letter]},
        latex=(rf"L({letter}) = \left(\frac{{{letter}_c}}{{{letter}}}\right)^\alpha",),
        published=(published,),
    )


def _power(function: Callable[..., Array], scale: str, exponent: str, letter: str, symbol: str) -> Law:
    return Law(
        function,
        "Henighan 2020, equation 1.1",
        {exponent: EXPONENTS},
        linear=("E", scale),
        bounds={exponent: EXPONENT},
        powers={scale: (letter, exponent)},
        constants=("E",),
        on_frontier=True,
        units={letter: UNITS[letter], "L": LOSS_UNIT, "E": LOSS_UNIT},
        latex=(rf"L({letter}) = E + \frac{{{scale}}}{{{letter}^{symbol}}}",),
    )


KAPLAN_N = _kaplan(
    kaplan_n, "Nc", "1.1", Published("Kaplan 2020, N without embeddings", {"Nc": 8.8e13, "alpha": 0.076})
)
KAPLAN_D = _kaplan(kaplan_d, "Dc", "1.2", Published("Kaplan 2020", {"Dc": 5.4e13, "alpha": 0.095}))
KAPLAN_C = _kaplan(
    kaplan_c,
    "Cc",
    "1.3",
    Published("Kaplan 2020, minimum compute to a loss (3.1e8 PF-days)", {"Cc": 3.1e8 * PF_DAY, "alpha": 0.050}),
)
POWER_N = _power(power_n, "A", "alpha", "N", r"\alpha")
POWER_D = _power(power_d, "B", "beta", "D", r"\beta")
POWER_C = _power(power_c, "G", "gamma", "C", r"\gamma")

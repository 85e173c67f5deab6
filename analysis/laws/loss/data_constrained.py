"""Law of data-constrained training: the value of repeated tokens and of excess parameters.

Key: N parameters, D tokens with repetitions, U unique tokens, L loss in nats per token.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from analysis.laws.law import Array, Law, Published
from analysis.laws.loss.chinchilla import EXPONENT

FACTOR = (1e-6, 1e80)  # bounds of A and B
REPETITIONS = (1e-2, 1e4)  # bounds of RD_star and RN_star
SMALLEST_SHARE = 1e-200  # of U_N in N


def data_constrained(
    N: Array,
    D: Array,
    U: Array,
    *,
    E: Array,
    A: Array,
    B: Array,
    alpha: Array,
    beta: Array,
    RD_star: Array,
    RN_star: Array,
) -> Array:
    """E + A/N′^α + B/D′^β (Muennighoff 2023, equations 10 to 14), N′ and D′ the equivalent values without repetition.

    D′ = U + U·R_D*·(1 − e^(−R_D/R_D*)), where R_D = D/U − 1 is the number of repetitions. N′ is computed in the same
    way from U_N and R_N = N/U_N − 1, where U_N is the minimum of N and the size for which U tokens are compute-optimal.

    Args:
        N: Parameters.
        D: Tokens, repetitions included.
        U: Unique tokens.
        E: Irreducible loss in nats per token.
        A: Factor of the term of the size.
        B: Factor of the term of the data.
        alpha: Exponent of the size.
        beta: Exponent of the data.
        RD_star: Number of repetitions of the data after which a further repetition has 1/e of the initial value.
        RN_star: The same for parameters in excess of U_N.
    """
    U = np.minimum(U, D)
    UN = _supported(N, U, A, B, alpha, beta)
    N_effective = _equivalent(UN, RN_star, (N / UN - 1) / RN_star)
    D_effective = _equivalent(U, RD_star, (D / U - 1) / RD_star)
    return E + A * N_effective**-alpha + B * D_effective**-beta


def data_constrained_geometric(
    N: Array,
    D: Array,
    U: Array,
    *,
    E: Array,
    A: Array,
    B: Array,
    alpha: Array,
    beta: Array,
    RD_star: Array,
    RN_star: Array,
) -> Array:
    """E + A/N′^α + B/D′^β with geometric decay: each repetition has R*/(1 + R*) of the value of the one before.

    D′ = U + U·R_D*·(1 − (1 + 1/R_D*)^(−R_D)), the sum of a geometric series, of which `data_constrained` is the limit
    for large R_D* (Muennighoff 2023, derivation of equation 5); N′ in the same way. Both have the same limit of D′.

    Args:
        N: Parameters.
        D: Tokens, repetitions included.
        U: Unique tokens.
        E: Irreducible loss in nats per token.
        A: Factor of the term of the size.
        B: Factor of the term of the data.
        alpha: Exponent of the size.
        beta: Exponent of the data.
        RD_star: Value of all repetitions together, in unique tokens' worth: ρ/(1 − ρ), ρ the ratio of the series.
        RN_star: The same for parameters in excess of U_N.
    """
    U = np.minimum(U, D)
    UN = _supported(N, U, A, B, alpha, beta)
    N_effective = _equivalent(UN, RN_star, (N / UN - 1) * np.log1p(1 / RN_star))
    D_effective = _equivalent(U, RD_star, (D / U - 1) * np.log1p(1 / RD_star))
    return E + A * N_effective**-alpha + B * D_effective**-beta


def _equivalent(unique: Array, repetitions: Array, decay: Array) -> Array:
    """Unique tokens or parameters, and repetitions of which `repetitions` times the unique ones is the limit."""
    return unique - unique * repetitions * np.expm1(-decay)


def _supported(N: Array, U: Array, A: Array, B: Array, alpha: Array, beta: Array) -> Array:
    """U_N: the minimum of N and the parameters for which U tokens are compute-optimal, at least SMALLEST_SHARE of N."""
    with np.errstate(over="ignore"):
        UN = np.minimum(N, unique_parameters(U, A=A, B=B, alpha=alpha, beta=beta))
    return np.maximum(UN, SMALLEST_SHARE * N)  # N / U_N must not overflow for exponents near 0


def unique_parameters(U: Array, *, A: Array, B: Array, alpha: Array, beta: Array) -> Array:
    """Computes the parameters for which U tokens are compute-optimal: G·(G·U)^(β/α), G = (αA/βB)^(1/(α+β)).

    Args:
        U: Unique tokens.
        A: Factor of the term of the size.
        B: Factor of the term of the data.
        alpha: Exponent of the size.
        beta: Exponent of the data.
    """
    ln_g = np.log(alpha * A / (beta * B)) / (alpha + beta)
    return np.exp(ln_g + beta / alpha * (ln_g + np.log(U)))


_EQUATION = r"L(N, D, U) = E + \frac{A}{(N')^\alpha} + \frac{B}{(D')^\beta}"
_TERMS = (
    r"R_N = N / U_N - 1",
    r"R_D = D / U - 1",
    r"U_N = \min\left(N, G (G U)^{\beta / \alpha}\right)",
    r"G = \left(\frac{\alpha A}{\beta B}\right)^{1 / (\alpha + \beta)}",
)
DATA_CONSTRAINED = Law(
    data_constrained,
    "Muennighoff 2023, equations 10 to 14",
    {
        "A": (30.0, 3000.0),
        "B": (30.0, 3000.0),
        "alpha": (0.2, 0.45),
        "beta": (0.2, 0.45),
        "RD_star": (2.0, 8.0, 32.0),
        "RN_star": (2.0, 8.0, 32.0, 1000.0),
    },
    linear=("E",),
    constants=("E",),
    decreasing_in=("N", "D"),
    bounds={
        "A": FACTOR,
        "B": FACTOR,
        "alpha": EXPONENT,
        "beta": EXPONENT,
        "RD_star": REPETITIONS,
        "RN_star": REPETITIONS,
    },
    units={
        "N": "parameters",
        "D": "tokens",
        "U": "tokens",
        "L": "nats per token",
        "E": "nats per token",
        "RD_star": "repetitions",
        "RN_star": "repetitions",
    },
    latex=(
        _EQUATION,
        r"N' = U_N + U_N R_N^* \left(1 - e^{-R_N / R_N^*}\right)",
        r"D' = U + U R_D^* \left(1 - e^{-R_D / R_D^*}\right)",
        *_TERMS,
    ),
    published=(
        Published(
            "Muennighoff 2023",
            {"E": 1.87, "A": 521, "B": 1488, "alpha": 0.353, "beta": 0.353, "RD_star": 15.4, "RN_star": 5.3},
        ),
    ),
)
GEOMETRIC = replace(
    DATA_CONSTRAINED,
    function=data_constrained_geometric,
    source="Muennighoff 2023, appendix A",
    latex=(
        _EQUATION,
        r"N' = U_N + U_N R_N^* \left(1 - \left(1 + 1 / R_N^*\right)^{-R_N}\right)",
        r"D' = U + U R_D^* \left(1 - \left(1 + 1 / R_D^*\right)^{-R_D}\right)",
        *_TERMS,
    ),
    published=(),
)

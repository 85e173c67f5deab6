"""Data-constrained training: what tokens are worth the second time, and parameters beyond what the data feed.

Key: N parameters, D tokens with repetitions, U unique tokens, L nats a token.
"""

from __future__ import annotations

import numpy as np

from analysis.laws.law import Array, Law


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
    """E + A/N′^α + B/D′^β (Muennighoff 2023, equations 10 to 14), N′ and D′ being worth as much unrepeated.

    D′ = U + U·R_D*·(1 − e^(−R_D/R_D*)), R_D = D/U − 1 repetitions; N′ likewise from U_N, R_N = N/U_N − 1, where U_N is
    N, or the parameters for which U unique tokens are compute-optimal if those are fewer. R_D* and R_N*: repetitions
    after which another is worth 1/e of the first.
    """
    U = np.minimum(U, D)
    with np.errstate(over="ignore"):
        fed = unique_parameters(U, A=A, B=B, alpha=alpha, beta=beta)
    UN = np.minimum(N, fed)
    N_worth = UN - UN * RN_star * np.expm1(-(N / UN - 1) / RN_star)
    D_worth = U - U * RD_star * np.expm1(-(D / U - 1) / RD_star)
    return E + A * N_worth**-alpha + B * D_worth**-beta


def unique_parameters(U: Array, *, A: Array, B: Array, alpha: Array, beta: Array) -> Array:
    """Parameters for which U tokens are compute-optimal: G·(G·U)^(β/α), G = (αA/βB)^(1/(α+β))."""
    ln_g = np.log(alpha * A / (beta * B)) / (alpha + beta)
    return np.exp(ln_g + beta / alpha * (ln_g + np.log(U)))


REPETITIONS = (1e-2, 1e4)
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
    falls=("N", "D"),
    bounds={
        "A": (1e-6, 1e80),
        "B": (1e-6, 1e80),
        "alpha": (1e-3, 5.0),
        "beta": (1e-3, 5.0),
        "RD_star": REPETITIONS,
        "RN_star": REPETITIONS,
    },
    units={
        "N": "parameters",
        "D": "tokens",
        "U": "tokens",
        "L": "nats a token",
        "E": "nats a token",
        "RD_star": "repetitions",
        "RN_star": "repetitions",
    },
    columns={"U": "u unique_tokens unique unique_data"},
)

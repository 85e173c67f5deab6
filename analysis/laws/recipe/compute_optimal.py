"""Power laws N*(C) and D*(C) of measured compute-optimal sizes.

Key: C FLOPs, Nopt parameters, Dopt tokens.
"""

from __future__ import annotations

from analysis.laws.law import Array, Law, Published

STARTS = (0.3, 0.5, 0.7)
BOUND = (1e-3, 3.0)


def optimal_n(C: Array, *, G: Array, a: Array) -> Array:
    """G·C^a: the compute-optimal number of parameters (Hoffmann 2022, section 3; Porian 2024, equation 2).

    Args:
        C: Training FLOPs.
        G: Factor in parameters.
        a: Exponent.
    """
    return G * C**a


def optimal_d(C: Array, *, G: Array, b: Array) -> Array:
    """G·C^b: the compute-optimal number of tokens (Hoffmann 2022, section 3).

    Args:
        C: Training FLOPs.
        G: Factor in tokens.
        b: Exponent.
    """
    return G * C**b


def _published(exponent: str, *values: float) -> tuple[Published, ...]:
    return tuple(
        Published(f"Hoffmann 2022, table 2, approach {number}", {exponent: value})
        for number, value in enumerate(values, 1)
    )


OPTIMAL_N = Law(
    optimal_n,
    "Hoffmann 2022, section 3; Porian 2024, equation 2",
    {"a": STARTS},
    linear=("G",),
    bounds={"a": BOUND},
    output="Nopt",
    objective="mse-log",
    units={"C": "FLOPs", "Nopt": "parameters"},
    columns={"Nopt": "nopt n_opt n_star optimal_n optimal_params n_optimal"},
    latex=("N^*(C) = G C^a",),
    published=_published("a", 0.50, 0.49, 0.46),
)
OPTIMAL_D = Law(
    optimal_d,
    "Hoffmann 2022, section 3",
    {"b": STARTS},
    linear=("G",),
    bounds={"b": BOUND},
    output="Dopt",
    objective="mse-log",
    units={"C": "FLOPs", "Dopt": "tokens"},
    columns={"Dopt": "dopt d_opt d_star optimal_d optimal_tokens t_opt tokens_optimal"},
    latex=("D^*(C) = G C^b",),
    published=_published("b", 0.50, 0.51, 0.54),
)

"""Kaplan's laws of more than one input, and what they need to know of batches (Kaplan 2020).

Key: N parameters without embeddings, D tokens, S steps, B tokens a batch, C FLOPs, L nats a token.
"""

from __future__ import annotations

import numpy as np

from analysis.laws.chinchilla import EXPONENT
from analysis.laws.law import Array, Law

SCALE = (1e-6, 1e80)
SHARES = (0.1, 0.5, 0.9)  # of the first of two terms in their sum, at the middle of the points
SLOW = (0.05, 0.15, 0.4)
FAST = (0.2, 0.6, 1.2)  # of steps: a run falls faster along itself than from one size to the next


def kaplan_nd(N: Array, D: Array, *, Nc: Array, Dc: Array, alphaN: Array, alphaD: Array) -> Array:
    """[(Nc/N)^(αN/αD) + Dc/D]^αD: early stopped on D tokens (Kaplan 2020, equation 1.5)."""
    return ((Nc / N) ** (alphaN / alphaD) + Dc / D) ** alphaD


def kaplan_nd_optimum(p: dict[str, Array], k: float) -> tuple[Array, Array, Array]:
    """Where it is least under C = k·N·D: Chinchilla's optimum with α = αN/αD, β = 1, A = Nc^α and B = Dc."""
    ratio = p["alphaN"] / p["alphaD"]
    a = 1 / (1 + ratio)
    return a, ratio * a, a * (np.log(ratio) + ratio * np.log(p["Nc"]) - np.log(p["Dc"]))


def _nd_starts(inputs: tuple[np.ndarray, ...], output: np.ndarray) -> dict[str, np.ndarray]:
    """Starts of `kaplan_nd`: exponents from slow to steep, scales that go through the middle of the points."""
    N, D, L = _middle(*inputs, output)
    alphaN, alphaD, share = _all(SLOW, SLOW, SHARES)
    Nc = N * (share * L ** (1 / alphaD)) ** (alphaD / alphaN)
    return {"Nc": Nc, "Dc": D * (1 - share) * L ** (1 / alphaD), "alphaN": alphaN, "alphaD": alphaD}


def kaplan_ns(N: Array, S: Array, *, Nc: Array, Sc: Array, alphaN: Array, alphaS: Array) -> Array:
    """(Nc/N)^αN + (Sc/S)^αS, S the fewest steps that would do, `s_min` (Kaplan 2020, equation 1.6)."""
    return (Nc / N) ** alphaN + (Sc / S) ** alphaS


def _ns_starts(inputs: tuple[np.ndarray, ...], output: np.ndarray) -> dict[str, np.ndarray]:
    """Starts of `kaplan_ns`, as those of `kaplan_nd`."""
    N, S, L = _middle(*inputs, output)
    alphaN, alphaS, share = _all(SLOW, FAST, SHARES)
    Nc, Sc = N * (share * L) ** (1 / alphaN), S * ((1 - share) * L) ** (1 / alphaS)
    return {"Nc": Nc, "Sc": Sc, "alphaN": alphaN, "alphaS": alphaS}


def _middle(*arrays: np.ndarray) -> list[float]:
    return [float(np.exp(np.log(x).mean())) for x in arrays]


def _all(*values: tuple[float, ...]) -> list[np.ndarray]:
    return [x.ravel() for x in np.meshgrid(*values)]


def critical_batch(L: Array, *, B_star: Array, alphaB: Array) -> Array:
    """B_*/L^(1/αB) tokens, at a loss of L: half as fast as could be, twice the tokens (Kaplan 2020, equation 1.4)."""
    return B_star * L ** (-1 / alphaB)


def s_min(S: Array, B: Array, B_crit: Array) -> Array:
    """Fewest steps to the loss that S steps of B tokens reach: S/(1 + B_crit/B) (Kaplan 2020, equation 5.4).

    B_crit: the critical batch at that loss, in the units of B. Fit kaplan-ns with these as its S.
    """
    return S / (1 + B_crit / B)


def c_min(C: Array, B: Array, B_crit: Array) -> Array:
    """Least compute to the loss that C FLOPs in batches of B reach: C/(1 + B/B_crit) (Kaplan 2020, equation 5.5).

    Fit kaplan-c with these as its C to get L(C_min).
    """
    return C / (1 + B / B_crit)


KAPLAN_ND = Law(
    kaplan_nd,
    "Kaplan 2020, equation 1.5",
    {},
    bounds={"Nc": SCALE, "Dc": SCALE, "alphaN": EXPONENT, "alphaD": EXPONENT},
    seeds=_nd_starts,
    optimum=kaplan_nd_optimum,
    units={"N": "parameters", "D": "tokens", "L": "nats a token", "Nc": "parameters", "Dc": "tokens"},
)
KAPLAN_NS = Law(
    kaplan_ns,
    "Kaplan 2020, equation 1.6",
    {},
    bounds={"Nc": SCALE, "Sc": SCALE, "alphaN": EXPONENT, "alphaS": EXPONENT},
    units={"N": "parameters", "S": "steps", "L": "nats a token", "Nc": "parameters", "Sc": "steps"},
    seeds=_ns_starts,
    columns={"S": "s s_min steps_min min_steps steps step n_steps"},
)
CRITICAL_BATCH = Law(
    critical_batch,
    "Kaplan 2020, equation 1.4",
    {"alphaB": (0.1, 0.2, 0.4, 1.0)},
    linear=("B_star",),
    bounds={"alphaB": (1e-2, 1e2)},
    output="B",
    objective="mse-log",
    units={"L": "nats a token", "B": "tokens a batch", "B_star": "tokens a batch"},
    columns={"B": "b b_crit critical_batch critical_batch_size batch_size batch_tokens batch"},
)

"""Kaplan's laws of more than one input, and what they need to know of batches (Kaplan 2020).

Key: N parameters without embeddings, D tokens, S steps, B tokens a batch, C FLOPs, L nats a token.
"""

from __future__ import annotations

import itertools

import numpy as np

from analysis.laws.law import Array, Law
from analysis.laws.loss.chinchilla import EXPONENT

SCALE = (1e-6, 1e80)
NEWTON = 100  # steps at most
TRIED = tuple(float(x) for x in np.geomspace(0.02, 2, 12))  # exponents
BEST = 12  # starts


def kaplan_nd(N: Array, D: Array, *, Nc: Array, Dc: Array, alphaN: Array, alphaD: Array) -> Array:
    """[(Nc/N)^(αN/αD) + Dc/D]^αD: early stopped on D tokens (Kaplan 2020, equation 1.5)."""
    return ((Nc / N) ** (alphaN / alphaD) + Dc / D) ** alphaD


def kaplan_nd_optimum(p: dict[str, Array], k: float) -> tuple[Array, Array, Array]:
    """Where it is least under C = k·N·D: Chinchilla's optimum with α = αN/αD, β = 1, A = Nc^α and B = Dc."""
    ratio = p["alphaN"] / p["alphaD"]
    a = 1 / (1 + ratio)
    return a, ratio * a, a * (np.log(ratio) + ratio * np.log(p["Nc"]) - np.log(p["Dc"]))


def _nd_starts(inputs: tuple[np.ndarray, ...], output: np.ndarray) -> dict[str, np.ndarray]:
    """Starts of `kaplan_nd`: at pairs of exponents, the scales of least squares of L^(1/αD)."""
    N, D = inputs
    tried: list[tuple[float, ...]] = []
    for alphaN, alphaD in itertools.product(TRIED, TRIED):
        Nc, Dc, off = _scales(N, alphaN / alphaD, D, 1.0, output ** (1 / alphaD))
        tried.append((off * alphaD, Nc, Dc, alphaN, alphaD))
    return _nearest(tried, ("Nc", "Dc", "alphaN", "alphaD"))


def kaplan_ns(N: Array, S: Array, *, Nc: Array, Sc: Array, alphaN: Array, alphaS: Array) -> Array:
    """(Nc/N)^αN + (Sc/S)^αS, S the fewest steps that would do, `s_min` (Kaplan 2020, equation 1.6)."""
    return (Nc / N) ** alphaN + (Sc / S) ** alphaS


def _ns_starts(inputs: tuple[np.ndarray, ...], output: np.ndarray) -> dict[str, np.ndarray]:
    """Starts of `kaplan_ns`: at pairs of exponents, the scales of least squares."""
    N, S = inputs
    return _nearest(_ns_tried(N, S, output), ("Nc", "Sc", "alphaN", "alphaS"))


def _ns_tried(N: np.ndarray, S: np.ndarray, L: np.ndarray) -> list[tuple[float, ...]]:
    tried: list[tuple[float, ...]] = []
    for alphaN, alphaS in itertools.product(TRIED, TRIED):
        Nc, Sc, off = _scales(N, alphaN, S, alphaS, L)
        tried.append((off, Nc, Sc, alphaN, alphaS))
    return tried


def _scales(x: np.ndarray, p: float, z: np.ndarray, q: float, y: np.ndarray) -> tuple[float, float, float]:
    """X and Z of (X/x)^p + (Z/z)^q nearest to y, and how far that is; neither term under 0.1% of y at the middle."""
    x_mid, z_mid, y_mid = (float(np.exp(np.log(v).mean())) for v in (x, z, y))
    terms = np.stack([(x_mid / x) ** p, (z_mid / z) ** q], -1) * (y_mid / y)[:, None]
    solved = np.maximum(np.linalg.lstsq(terms, np.ones_like(y), rcond=None)[0], 1e-3)
    first, second = np.log(solved) + np.log(y_mid)
    off = float(np.std(np.log(terms @ solved)))
    return float(np.exp(np.log(x_mid) + first / p)), float(np.exp(np.log(z_mid) + second / q)), off


def _nearest(tried: list[tuple[float, ...]], names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The BEST of what was tried, (how far off, values ...), by name."""
    best = np.array(sorted(tried)[:BEST])
    return {name: best[:, at + 1] for at, name in enumerate(names)}


def kaplan_nsb(
    N: Array,
    S: Array,
    B: Array,
    *,
    Nc: Array,
    Sc: Array,
    alphaN: Array,
    alphaS: Array,
    B_star: Array,
    alphaB: Array,
) -> Array:
    """kaplan_ns for S steps of B tokens: at the fewest steps (`s_min`), the critical batch being that of the loss.

    (Kaplan 2020, equations 1.6, 5.4 and 1.4 as one.) The loss stands on both sides: Newton's method on its logarithm,
    where the difference of the sides is convex and falls, so that from below each step stays below.
    """
    size, steps, batch = alphaN * np.log(Nc / N), alphaS * np.log(Sc / S), np.log(B_star / B)
    x = np.logaddexp(size, steps)
    for _ in range(NEWTON):
        more = np.logaddexp(0.0, batch - x / alphaB)  # ln(1 + B_crit/B)
        term = steps + alphaS * more
        side = np.logaddexp(size, term)
        slope = -np.exp(term - side) * alphaS / alphaB * -np.expm1(-more)
        move = (side - x) / (1 - slope)
        x = x + move
        if not np.any(np.abs(move) > 1e-14):
            break
    return np.exp(x)


def _nsb_starts(inputs: tuple[np.ndarray, ...], output: np.ndarray) -> dict[str, np.ndarray]:
    """Starts of `kaplan_nsb`: those of `kaplan_ns` under critical batches about those of the points."""
    N, S, B = inputs
    tried: list[tuple[float, ...]] = []
    B_mid, L_mid = (float(np.exp(np.log(x).mean())) for x in (B, output))
    for times, alphaB in itertools.product((0.1, 1.0, 10.0), (0.15, 0.3, 0.6)):
        B_star = times * B_mid * L_mid ** (1 / alphaB)
        fewest = s_min(S, B, critical_batch(output, B_star=B_star, alphaB=alphaB))
        tried += [(*one, B_star, alphaB) for one in _ns_tried(N, fewest, output)]
    return _nearest(tried, ("Nc", "Sc", "alphaN", "alphaS", "B_star", "alphaB"))


def critical_batch(L: Array, *, B_star: Array, alphaB: Array) -> Array:
    """B_*/L^(1/αB) tokens, at a loss of L: half as fast as could be, twice the tokens (Kaplan 2020, equation 1.4)."""
    return B_star * L ** (-1 / alphaB)


def s_min(S: Array, B: Array, B_crit: Array) -> Array:
    """Fewest steps to the loss that S steps of B tokens reach: S/(1 + B_crit/B) (Kaplan 2020, equation 5.4).

    B_crit: the critical batch at that loss, in the units of B. Fit kaplan-ns with these as its S, or kaplan-nsb with
    S and B as they are.
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
    falls=("N", "D"),
    bounds={"Nc": SCALE, "Dc": SCALE, "alphaN": EXPONENT, "alphaD": EXPONENT},
    seeds=_nd_starts,
    optimum=kaplan_nd_optimum,
    units={"N": "parameters", "D": "tokens", "L": "nats a token", "Nc": "parameters", "Dc": "tokens"},
)
KAPLAN_NS = Law(
    kaplan_ns,
    "Kaplan 2020, equation 1.6",
    {},
    falls=("N", "S"),
    bounds={"Nc": SCALE, "Sc": SCALE, "alphaN": EXPONENT, "alphaS": EXPONENT},
    units={"N": "parameters", "S": "steps", "L": "nats a token", "Nc": "parameters", "Sc": "steps"},
    seeds=_ns_starts,
    columns={"S": "s s_min steps_min min_steps steps step n_steps"},
)
KAPLAN_NSB = Law(
    kaplan_nsb,
    "Kaplan 2020, equations 1.6, 5.4 and 1.4",
    {},
    falls=("N", "S"),
    bounds={
        "Nc": SCALE,
        "Sc": SCALE,
        "alphaN": EXPONENT,
        "alphaS": EXPONENT,
        "B_star": (1e-6, 1e80),
        "alphaB": (1e-2, 1e2),
    },
    seeds=_nsb_starts,
    units={
        "N": "parameters",
        "S": "steps",
        "B": "tokens a batch",
        "L": "nats a token",
        "Nc": "parameters",
        "Sc": "steps",
        "B_star": "tokens a batch",
    },
    columns={"S": "s steps step n_steps", "B": "b batch_tokens batch_size batch bs"},
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

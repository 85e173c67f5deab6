"""Kaplan's laws of several inputs, and the effect of the batch size on steps and compute (Kaplan 2020).

Key: N parameters without embeddings, D tokens, S steps, B tokens per batch, C FLOPs, L loss in nats per token.
"""

from __future__ import annotations

import itertools

import numpy as np

from analysis.laws.law import Array, Law, Published
from analysis.laws.loss.chinchilla import EXPONENT
from analysis.laws.loss.power_laws import SCALE

BATCH_EXPONENT = (1e-2, 1e2)  # bounds of alphaB
START_EXPONENTS = tuple(float(x) for x in np.geomspace(0.02, 2, 12))
MAX_STARTS = 12  # number of starts that are kept, those with the smallest residuals
MAX_LOG = 690.0  # largest logarithm of a starting scale, which is finite as a number
MIN_TERM = 1e-3  # smallest share of a term in the output of a start, at the middle of the points
MAX_NEWTON_STEPS = 100
NEWTON_TOLERANCE = 1e-14  # step in ln L below which Newton's method stops


def kaplan_nd(N: Array, D: Array, *, Nc: Array, Dc: Array, alphaN: Array, alphaD: Array) -> Array:
    """[(Nc/N)^(αN/αD) + Dc/D]^αD, with early stopping on D tokens (Kaplan 2020, equation 1.5).

    Args:
        N: Parameters.
        D: Tokens of the data set.
        Nc: Scale in parameters.
        Dc: Scale in tokens.
        alphaN: Exponent of the size.
        alphaD: Exponent of the data.
    """
    return ((Nc / N) ** (alphaN / alphaD) + Dc / D) ** alphaD


def kaplan_nd_optimum(params: dict[str, Array], k: float, s: float = 1.0) -> tuple[Array, Array, Array]:
    """Minimises L(N, D) under C = k·N^s·D: Chinchilla's optimum with α = αN/αD, β = 1, A = Nc^α and B = Dc.

    Args:
        params: Parameters of `kaplan_nd`.
        k: Factor of the compute; FLOPs per parameter and token if s = 1.
        s: Exponent of N in the compute.

    Returns:
        a, b and ln G of N* = G·(C/k)^a and D* = (C/k)^b / G^s.
    """
    ratio = params["alphaN"] / params["alphaD"]
    a = 1 / (s + ratio)
    return a, ratio * a, a * (np.log(ratio / s) + ratio * np.log(params["Nc"]) - np.log(params["Dc"]))


def kaplan_ns(N: Array, S: Array, *, Nc: Array, Sc: Array, alphaN: Array, alphaS: Array) -> Array:
    """(Nc/N)^αN + (Sc/S)^αS, S the minimum number of steps S_min (Kaplan 2020, equation 1.6).

    Args:
        N: Parameters.
        S: Steps at a batch far above the critical batch (`minimum_steps`).
        Nc: Scale in parameters.
        Sc: Scale in steps.
        alphaN: Exponent of the size.
        alphaS: Exponent of the steps.
    """
    return (Nc / N) ** alphaN + (Sc / S) ** alphaS


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
    """(Nc/N)^αN + (Sc/S_min)^αS, S_min = S/(1 + B_*/(B·L^(1/αB))) (Kaplan 2020, equations 1.6, 5.4 and 1.4).

    The equation is implicit in the loss. Newton's method solves for ln L, in which the difference of both sides is
    convex and decreasing, so that it converges from below.

    Args:
        N: Parameters.
        S: Steps.
        B: Tokens per batch.
        Nc: Scale in parameters.
        Sc: Scale in steps.
        alphaN: Exponent of the size.
        alphaS: Exponent of the steps.
        B_star: Critical batch at a loss of 1, in tokens.
        alphaB: Exponent of the critical batch.
    """
    log_size, log_steps, log_batch = alphaN * np.log(Nc / N), alphaS * np.log(Sc / S), np.log(B_star / B)
    x = np.logaddexp(log_size, log_steps)
    for _ in range(MAX_NEWTON_STEPS):
        log_slowdown = np.logaddexp(0.0, log_batch - x / alphaB)  # ln(1 + B_crit/B)
        term = log_steps + alphaS * log_slowdown
        side = np.logaddexp(log_size, term)
        slope = -np.exp(term - side) * alphaS / alphaB * -np.expm1(-log_slowdown)
        step = (side - x) / (1 - slope)
        x = x + step
        if not np.any(np.abs(step) > NEWTON_TOLERANCE):
            break
    return np.exp(x)


def critical_batch(L: Array, *, B_star: Array, alphaB: Array) -> Array:
    """B_*/L^(1/αB) tokens, for twice the minimum steps and tokens to the loss L (Kaplan 2020, equation 1.4).

    Args:
        L: Loss in nats per token.
        B_star: Critical batch at a loss of 1, in tokens.
        alphaB: Exponent.
    """
    return B_star * L ** (-1 / alphaB)


def minimum_steps(S: Array, B: Array, B_crit: Array) -> Array:
    """Computes the minimum number of steps to the loss of S steps: S/(1 + B_crit/B) (Kaplan 2020, equation 5.4).

    It is the input S of `kaplan_ns`; `kaplan_nsb` uses the actual S and B.

    Args:
        S: Steps.
        B: Batch.
        B_crit: Critical batch at that loss, in the unit of B.
    """
    return S / (1 + B_crit / B)


def minimum_compute(C: Array, B: Array, B_crit: Array) -> Array:
    """Computes the minimum compute to the loss of C FLOPs: C/(1 + B/B_crit) (Kaplan 2020, equation 5.5).

    `kaplan_c` fitted to the minimum compute is L(C_min).

    Args:
        C: Training FLOPs.
        B: Batch.
        B_crit: Critical batch at that loss, in the unit of B.
    """
    return C / (1 + B / B_crit)


def _nd_starts(inputs: tuple[np.ndarray, ...], output: np.ndarray) -> dict[str, np.ndarray]:
    """Starting values of `kaplan_nd`: the scales by least squares of L^(1/αD), at pairs of exponents."""
    N, D = inputs
    candidates: list[tuple[float, ...]] = []
    for alphaN, alphaD in itertools.product(START_EXPONENTS, START_EXPONENTS):
        Nc, Dc, residual = _fit_scales(N, alphaN / alphaD, D, 1.0, np.log(output) / alphaD)
        candidates.append((residual * alphaD, Nc, Dc, alphaN, alphaD))
    return _best_starts(candidates, ("Nc", "Dc", "alphaN", "alphaD"))


def _ns_starts(inputs: tuple[np.ndarray, ...], output: np.ndarray) -> dict[str, np.ndarray]:
    """Starting values of `kaplan_ns`: the scales by least squares, at pairs of exponents."""
    N, S = inputs
    return _best_starts(_ns_candidates(N, S, output), ("Nc", "Sc", "alphaN", "alphaS"))


def _nsb_starts(inputs: tuple[np.ndarray, ...], output: np.ndarray) -> dict[str, np.ndarray]:
    """Starting values of `kaplan_nsb`: as for `kaplan_ns`, at critical batches around the batches of the points."""
    N, S, B = inputs
    candidates: list[tuple[float, ...]] = []
    B_mid, L_mid = _geometric_mean(B), _geometric_mean(output)
    for factor, alphaB in itertools.product((0.1, 1.0, 10.0), (0.15, 0.3, 0.6)):
        B_star = factor * B_mid * L_mid ** (1 / alphaB)
        S_min = minimum_steps(S, B, critical_batch(output, B_star=B_star, alphaB=alphaB))
        candidates += [(*candidate, B_star, alphaB) for candidate in _ns_candidates(N, S_min, output)]
    return _best_starts(candidates, ("Nc", "Sc", "alphaN", "alphaS", "B_star", "alphaB"))


def _ns_candidates(N: np.ndarray, S: np.ndarray, L: np.ndarray) -> list[tuple[float, ...]]:
    """Residual, Nc, Sc, alphaN and alphaS at each pair of exponents."""
    candidates: list[tuple[float, ...]] = []
    for alphaN, alphaS in itertools.product(START_EXPONENTS, START_EXPONENTS):
        Nc, Sc, residual = _fit_scales(N, alphaN, S, alphaS, np.log(L))
        candidates.append((residual, Nc, Sc, alphaN, alphaS))
    return candidates


def _fit_scales(x: np.ndarray, p: float, z: np.ndarray, q: float, log_y: np.ndarray) -> tuple[float, float, float]:
    """X and Z of (X/x)^p + (Z/z)^q by least squares of y relative to its mean, and the spread of the residuals.

    Each term is at least MIN_TERM.
    """
    x_mid, z_mid, log_y_mid = _geometric_mean(x), _geometric_mean(z), float(log_y.mean())
    terms = np.stack([(x_mid / x) ** p, (z_mid / z) ** q], -1) * np.exp(log_y_mid - log_y)[:, None]
    solution = np.maximum(np.linalg.lstsq(terms, np.ones_like(log_y), rcond=None)[0], MIN_TERM)
    first, second = np.log(solution) + log_y_mid
    residual = float(np.std(np.log(terms @ solution)))
    X, Z = (
        float(np.exp(np.clip(value, -MAX_LOG, MAX_LOG)))
        for value in (np.log(x_mid) + first / p, np.log(z_mid) + second / q)
    )
    return X, Z, residual


def _geometric_mean(values: np.ndarray) -> float:
    return float(np.exp(np.log(values).mean()))


def _best_starts(candidates: list[tuple[float, ...]], names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The MAX_STARTS candidates (residual, values ...) with the smallest residuals, by name."""
    best = np.array(sorted(candidates)[:MAX_STARTS])
    return {name: best[:, column] for column, name in enumerate(names, 1)}


KAPLAN_NS_VALUES = {"Nc": 6.5e13, "Sc": 2.1e3, "alphaN": 0.077, "alphaS": 0.76}
CRITICAL_BATCH_VALUES = {"B_star": 2.1e8, "alphaB": 0.21}
KAPLAN_ND = Law(
    kaplan_nd,
    "Kaplan 2020, equation 1.5",
    {},
    decreasing_in=("N", "D"),
    bounds={"Nc": SCALE, "Dc": SCALE, "alphaN": EXPONENT, "alphaD": EXPONENT},
    starts_from_data=_nd_starts,
    optimum=kaplan_nd_optimum,
    units={"N": "parameters", "D": "tokens", "L": "nats per token", "Nc": "parameters", "Dc": "tokens"},
    latex=(r"L(N, D) = \left[\left(\frac{N_c}{N}\right)^{\alpha_N / \alpha_D} + \frac{D_c}{D}\right]^{\alpha_D}",),
    published=(Published("Kaplan 2020", {"Nc": 6.4e13, "Dc": 1.8e13, "alphaN": 0.076, "alphaD": 0.103}),),
)
KAPLAN_NS = Law(
    kaplan_ns,
    "Kaplan 2020, equation 1.6",
    {},
    decreasing_in=("N", "S"),
    bounds={"Nc": SCALE, "Sc": SCALE, "alphaN": EXPONENT, "alphaS": EXPONENT},
    units={"N": "parameters", "S": "steps", "L": "nats per token", "Nc": "parameters", "Sc": "steps"},
    starts_from_data=_ns_starts,
    columns={"S": "s s_min steps_min min_steps steps step n_steps"},
    latex=(r"L(N, S) = \left(\frac{N_c}{N}\right)^{\alpha_N} + \left(\frac{S_c}{S}\right)^{\alpha_S}",),
    published=(Published("Kaplan 2020", KAPLAN_NS_VALUES),),
)
KAPLAN_NSB = Law(
    kaplan_nsb,
    "Kaplan 2020, equations 1.6, 5.4 and 1.4",
    {},
    decreasing_in=("N", "S"),
    bounds={**KAPLAN_NS.bounds, "B_star": SCALE, "alphaB": BATCH_EXPONENT},
    starts_from_data=_nsb_starts,
    units={**KAPLAN_NS.units, "B": "tokens per batch", "B_star": "tokens per batch"},
    columns={"B": "b batch_tokens batch_size batch bs"},
    latex=(
        r"L(N, S, B) = \left(\frac{N_c}{N}\right)^{\alpha_N} + \left(\frac{S_c}{S_{\min}}\right)^{\alpha_S}",
        r"S_{\min} = \frac{S}{1 + B_{\text{crit}} / B}",
        r"B_{\text{crit}} = \frac{B_*}{L^{1 / \alpha_B}}",
    ),
    published=(Published("Kaplan 2020", {**KAPLAN_NS_VALUES, **CRITICAL_BATCH_VALUES}),),
)
CRITICAL_BATCH = Law(
    critical_batch,
    "Kaplan 2020, equation 1.4",
    {"alphaB": (0.1, 0.2, 0.4, 1.0)},
    linear=("B_star",),
    bounds={"alphaB": BATCH_EXPONENT},
    output="B",
    objective="mse-log",
    units={"L": "nats per token", "B": "tokens per batch", "B_star": "tokens per batch"},
    columns={"B": "b b_crit critical_batch critical_batch_size batch_size batch_tokens batch"},
    latex=(r"B(L) = \frac{B_*}{L^{1 / \alpha_B}}",),
    published=(Published("Kaplan 2020", CRITICAL_BATCH_VALUES),),
)

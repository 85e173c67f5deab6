"""Laws of mixtures of experts: the loss as a function of the number or granularity of the experts.

Key: N parameters, E experts, G granularity, D tokens, L loss in nats per token; n points, S starts.
"""

from __future__ import annotations

import numpy as np

from analysis.laws.law import Array, Law, Published
from analysis.laws.loss.chinchilla import EXPONENT

SLOPE = (-10.0, 10.0)  # bounds of a slope of log10 L; the published slopes are below 0.2 in size
OFFSET = (-1e3, 1e3)  # bounds of the constant of log10 L


def effective_experts(E: Array, E_start: Array, E_max: Array) -> Array:
    """Computes Ê: E_start at one expert, E_max at infinitely many (Clark 2022, equation 1).

    Args:
        E: Experts.
        E_start: Ê of one expert.
        E_max: Ê of infinitely many experts; Ê equals E_max unless E_start is smaller.
    """
    gap = np.maximum(E_max - E_start, 1e-12 * E_max)
    return 1 / (1 / (E - 1 + E_start * E_max / gap) + 1 / E_max)


def routing(N: Array, E: Array, *, a: Array, b: Array, c: Array, d: Array, E_start: Array, E_max: Array) -> Array:
    """10^(a·log N + b·log Ê + c·log N·log Ê + d), logs to base 10, Ê = effective_experts(E) (Clark 2022, equation 1).

    Args:
        N: Parameters of the dense model that the experts are added to.
        E: Experts; a dense model has one.
        a: Slope of log N.
        b: Slope of log Ê.
        c: Slope of log N·log Ê.
        d: Constant.
        E_start: Ê of one expert.
        E_max: Ê of infinitely many experts.
    """
    log_N, log_E = np.log10(N), np.log10(effective_experts(E, E_start, E_max))
    return np.exp(np.log(10) * ((a + c * log_E) * log_N + b * log_E + d))


def effective_parameters(
    N: Array, E: Array, *, a: Array, b: Array, c: Array, E_start: Array, E_max: Array, d: Array = 0.0
) -> Array:
    """Computes the size of the dense model that has the same loss by `routing` (Clark 2022, effective parameters).

    Args:
        N: Parameters of the dense model that the experts are added to.
        E: Experts.
        a: Slope of log N.
        b: Slope of log Ê.
        c: Slope of log N·log Ê.
        E_start: Ê of one expert.
        E_max: Ê of infinitely many experts.
        d: Constant, without effect; accepted so that all parameters of `routing` can be passed.
    """
    log_dense = np.log10(effective_experts(1.0, E_start, E_max))
    log_routed = np.log10(effective_experts(E, E_start, E_max))
    return 10 ** (((a + c * log_routed) * np.log10(N) + b * (log_routed - log_dense)) / (a + c * log_dense))


def _routing_starts(inputs: tuple[np.ndarray, ...], output: np.ndarray) -> dict[str, np.ndarray]:
    """Starting values of `routing`: for each E_start and E_max, a, b, c and d by least squares of log L."""
    N, E = inputs
    E_start, E_max = (x.ravel() for x in np.meshgrid((1.1, 3.0, 10.0), (30.0, 300.0, 3000.0)))
    log_N, solutions = np.log10(N), []
    for log_E in np.log10(effective_experts(E, E_start[:, None], E_max[:, None])):
        basis = np.stack([log_N, log_E, log_N * log_E, np.ones_like(log_N)], -1)
        solutions.append(np.linalg.lstsq(basis, np.log10(output), rcond=None)[0])
    return {**dict(zip("abcd", np.transpose(solutions), strict=True)), "E_start": E_start, "E_max": E_max}


def granularity(
    N: Array, D: Array, G: Array, *, c: Array, g: Array, a: Array, b: Array, alpha: Array, beta: Array, gamma: Array
) -> Array:
    """(g/G^γ + a)/N^α + b/D^β + c (Krajewski 2024, the joint law).

    Args:
        N: Parameters.
        D: Tokens.
        G: Granularity: how many times smaller an expert is than the feed-forward layer that it replaces, at one
            expansion rate (number of experts times their size).
        c: Irreducible loss in nats per token.
        g: Factor of the granularity.
        a: Factor of the size at infinite granularity.
        b: Factor of the data.
        alpha: Exponent of the size.
        beta: Exponent of the data.
        gamma: Exponent of the granularity.
    """
    return c + (g * G**-gamma + a) * N**-alpha + b * D**-beta


def _published(router: str, *values: float) -> Published:
    names = ("a", "b", "c", "d", "E_start", "E_max")
    return Published(f"Clark 2022, {router}", dict(zip(names, values, strict=True)))


ROUTING = Law(
    routing,
    "Clark 2022, equation 1",
    {},
    bounds={"a": SLOPE, "b": SLOPE, "c": SLOPE, "d": OFFSET, "E_start": (1e-2, 1e4), "E_max": (1e-1, 1e8)},
    units={
        "N": "parameters of the dense model",
        "E": "experts",
        "L": "nats per token",
        "E_start": "experts",
        "E_max": "experts",
    },
    starts_from_data=_routing_starts,
    columns={
        "N": "dense_params params_dense dense_parameters dense_parameter_count n_dense dense_n num_dense_params "
        "n_dense_params dense_model_params dense_size base_params params_base base_parameters base_model_params n_base "
        "n params parameters n_params num_params param_count parameter_count n_parameters num_parameters nparams",
        "E": "e num_experts n_experts experts expert_count number_of_experts",
    },
    latex=(
        r"\log_{10} L(N, E) = a \log_{10} N + b \log_{10} \hat{E} + c \log_{10} N \log_{10} \hat{E} + d",
        r"\hat{E} = \left(\frac{1}{E - 1 + \left(1 / E_{\text{start}} - 1 / E_{\text{max}}\right)^{-1}} + "
        r"\frac{1}{E_{\text{max}}}\right)^{-1}",
    ),
    published=(
        _published("S-BASE", -0.082, -0.108, 0.009, 1.104, 1.847, 314.478),
        _published("RL-R", -0.083, -0.126, 0.012, 1.111, 1.880, 469.982),
        _published("hash layers", -0.087, -0.136, 0.012, 1.157, 4.175, 477.741),
    ),
)
GRANULARITY = Law(
    granularity,
    "Krajewski 2024, the joint law",
    {"alpha": (0.1, 0.3, 0.8), "beta": (0.1, 0.3, 0.8), "gamma": (0.2, 0.6, 1.5)},
    linear=("c", "g", "a", "b"),
    bounds={"alpha": EXPONENT, "beta": EXPONENT, "gamma": EXPONENT},
    powers={"b": ("D", "beta")},
    constants=("c",),
    decreasing_in=("N",),
    units={"N": "parameters", "D": "tokens", "L": "nats per token", "c": "nats per token"},
    columns={"G": "g granularity"},
    latex=(r"L(N, D, G) = c + \left(\frac{g}{G^\gamma} + a\right) \frac{1}{N^\alpha} + \frac{b}{D^\beta}",),
    published=(
        Published(
            "Krajewski 2024",
            {"c": 0.47, "g": 2.1, "a": 18.1, "b": 30.8, "alpha": 0.115, "beta": 0.147, "gamma": 0.58},
        ),
    ),
)

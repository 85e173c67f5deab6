"""Mixtures of experts: loss from size and number of experts, or from the granularity of the experts.

Key: N parameters, E experts, G granularity, D tokens, L nats a token.
"""

from __future__ import annotations

import numpy as np

from analysis.laws.law import Array, Law
from analysis.laws.loss.chinchilla import EXPONENT

SLOPE = (-10.0, 10.0)  # of log10 L: far beyond any law's


def saturated(E: Array, E_start: Array, E_max: Array) -> Array:
    """Ê: E_start at one expert, E_max at infinitely many (Clark 2022, equation 1); E_max where E_start is no less."""
    gap = np.maximum(E_max - E_start, 1e-12 * E_max)
    return 1 / (1 / (E - 1 + E_start * E_max / gap) + 1 / E_max)


def routing(N: Array, E: Array, *, a: Array, b: Array, c: Array, d: Array, E_start: Array, E_max: Array) -> Array:
    """10^(a·log N + b·log Ê + c·log N·log Ê + d), logs to base 10, Ê = saturated(E) (Clark 2022, equation 1).

    N: parameters of the dense model that the experts are put in. A dense model is one of one expert.
    """
    size, experts = np.log10(N), np.log10(saturated(E, E_start, E_max))
    return np.exp(np.log(10) * ((a + c * experts) * size + b * experts + d))


def effective_parameters(
    N: Array, E: Array, *, a: Array, b: Array, c: Array, E_start: Array, E_max: Array, d: Array = 0.0
) -> Array:
    """Parameters of a dense model as good as N with E experts by `routing` (Clark 2022, effective parameters)."""
    dense, routed = np.log10(saturated(1.0, E_start, E_max)), np.log10(saturated(E, E_start, E_max))
    return 10 ** (((a + c * routed) * np.log10(N) + b * (routed - dense)) / (a + c * dense))


def _bilinear(inputs: tuple[np.ndarray, ...], output: np.ndarray) -> dict[str, np.ndarray]:
    """Starts of `routing`: for each E_start and E_max, the a, b, c and d of least squares of log L."""
    N, E = inputs
    start, most = (x.ravel() for x in np.meshgrid((1.1, 3.0, 10.0), (30.0, 300.0, 3000.0)))
    size, solved = np.log10(N), []
    for experts in np.log10(saturated(E, start[:, None], most[:, None])):
        basis = np.stack([size, experts, size * experts, np.ones_like(size)], -1)
        solved.append(np.linalg.lstsq(basis, np.log10(output), rcond=None)[0])
    return {**dict(zip("abcd", np.transpose(solved), strict=True)), "E_start": start, "E_max": most}


def granularity(
    N: Array, D: Array, G: Array, *, c: Array, g: Array, a: Array, b: Array, alpha: Array, beta: Array, gamma: Array
) -> Array:
    """c + (g/G^γ + a)/N^α + b/D^β (Krajewski 2024, the joint law).

    G: how many times smaller an expert is than the feed-forward layer it stands for, at one number of experts times
    size (expansion rate).
    """
    return c + (g * G**-gamma + a) * N**-alpha + b * D**-beta


ROUTING = Law(
    routing,
    "Clark 2022, equation 1",
    {},
    bounds={"a": SLOPE, "b": SLOPE, "c": SLOPE, "d": (-1e3, 1e3), "E_start": (1e-2, 1e4), "E_max": (1e-1, 1e8)},
    units={"N": "parameters", "E": "experts", "L": "nats a token", "E_start": "experts", "E_max": "experts"},
    seeds=_bilinear,
    columns={"E": "e num_experts n_experts experts expert_count number_of_experts"},
)
GRANULARITY = Law(
    granularity,
    "Krajewski 2024, the joint law",
    {"alpha": (0.1, 0.3, 0.8), "beta": (0.1, 0.3, 0.8), "gamma": (0.2, 0.6, 1.5)},
    linear=("c", "g", "a", "b"),
    bounds={"alpha": EXPONENT, "beta": EXPONENT, "gamma": EXPONENT},
    powers={"b": ("D", "beta")},
    constants=("c",),
    falls=("N",),
    units={"N": "parameters", "D": "tokens", "L": "nats a token", "c": "nats a token"},
    columns={"G": "g granularity"},
)

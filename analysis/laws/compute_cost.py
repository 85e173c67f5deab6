"""Training FLOPs as a function of N and D, and compute-optimal sizes under it.

C is 6·N·D for runs that were counted so. Where N and C count different parameters, such as all parameters and those
without embeddings, FLOPs per token are another function of N, which this module estimates from the runs.

Key: N parameters, D tokens, C FLOPs; n points.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

SAME_RATIO = 0.05  # range of ln(C / (N·D)) up to which FLOPs per token are proportional to N
EXPLAINED = 0.5  # share of the standard deviation of ln(C / D) that a further term may leave
STEPS = 40  # fixed-point steps for an optimal size; an error falls by more than half in each

Array = Any  # float or np.ndarray, broadcasting
Optimum = Callable[..., tuple[Array, Array, Array]]


@dataclass(frozen=True)
class ComputeCost:
    """Training FLOPs C = g(N)·D with ln g = ln k + s·x + bend·(x − center)², x = ln N.

    Beyond the sizes of the runs the slope of ln g is constant.

    Attributes:
        k: Factor; FLOPs per parameter and token if s = 1 and bend = 0.
        s: Exponent of N; 1 unless N and C count different parameters.
        bend: Curvature of ln g.
        center: ln N at which the slope of ln g is s.
        limits: Smallest and largest ln N of the runs.
        deviation: Largest relative deviation of the C of the runs.
    """

    k: float
    s: float = 1.0
    bend: float = 0.0
    center: float = 0.0
    limits: tuple[float, float] = (-np.inf, np.inf)
    deviation: float = 0.0

    def flops(self, N: Array, D: Array) -> Array:
        """Returns C of runs with N parameters and D tokens."""
        return self.flops_per_token(N) * D

    def tokens(self, C: Array, N: Array) -> Array:
        """Returns D of runs with N parameters and compute C."""
        return C / self.flops_per_token(N)

    def flops_per_token(self, N: Array) -> Array:
        """Returns g(N)."""
        if not self.bend:
            return self.k * N**self.s
        k, s = self.power_law(N)
        return k * N**s

    def power_law(self, N: Array) -> tuple[Array, Array]:
        """Returns k and s of the power law k·N^s that touches g at N."""
        if not self.bend:
            return self.k, self.s
        x = np.clip(np.log(N), *self.limits)
        slope = self.s + 2 * self.bend * (x - self.center)
        return np.exp(np.log(self.k) + self.s * x + self.bend * (x - self.center) ** 2 - slope * x), slope


def estimate_cost(N: np.ndarray, D: np.ndarray, C: np.ndarray) -> ComputeCost:
    """Estimates FLOPs per token as a function of N: proportional to N, a power, or a parabola of ln N.

    Args:
        N: Parameters (n,).
        D: Tokens (n,).
        C: FLOPs (n,).
    """
    x, y = np.log(N), np.log(C / (N * D))
    if not np.isfinite(y).all() or np.ptp(y) <= SAME_RATIO:
        return ComputeCost(float(np.exp(np.median(y))), deviation=float(np.expm1(np.abs(y - np.median(y)).max())))
    center, best, rest = float(x.mean()), np.array([np.median(y)]), y - np.median(y)
    for degree in (1, 2):
        if len(np.unique(x)) <= degree + 1:
            break
        coefficients = np.polyfit(x - center, y, degree)
        remaining = y - np.polyval(coefficients, x - center)
        if np.std(remaining) > EXPLAINED * np.std(rest):
            break
        best, rest = coefficients, remaining
    *bends, slope, level = (0.0, *best) if len(best) == 1 else best
    bend, s = float(bends[0]) if bends else 0.0, 1 + float(slope)
    limits = (float(x.min()), float(x.max()))
    k = float(np.exp(level - slope * center))
    return ComputeCost(k, s, bend, center, limits, float(np.expm1(np.abs(rest).max())))


def optimal_size(optimum: Optimum, params: Mapping[str, Array], cost: ComputeCost, C: Array) -> Array:
    """Returns N with the lowest loss at C.

    The optimum at a curved cost is that of the power law that touches the cost at the optimal size.

    Args:
        optimum: `Law.optimum`.
        params: Parameters of the law.
        cost: Training FLOPs of N and D.
        C: Budgets, broadcastable with the parameters.
    """
    k, s = cost.k, cost.s
    for _ in range(STEPS if cost.bend else 1):
        a, _, ln_g = optimum(params, k, s)
        N = np.exp(ln_g + a * np.log(C / k))
        k, s = cost.power_law(N)
    return N


def optimal_path(
    optimum: Optimum, params: Mapping[str, Array], cost: ComputeCost, smallest: float, largest: float
) -> dict[str, Array]:
    """Returns ln_n, a, ln_d and b of N* = e^ln_n·C^a and D* = e^ln_d·C^b.

    Args:
        optimum: `Law.optimum`.
        params: Parameters of the law.
        cost: Training FLOPs of N and D.
        smallest: Smallest C of the points. At a curved cost the path is the power law through N* at both.
        largest: Largest C of the points.
    """
    if not cost.bend:
        a, b, ln_g = optimum(params, cost.k, cost.s)
        return {"ln_n": ln_g - a * np.log(cost.k), "a": a, "ln_d": -cost.s * ln_g - b * np.log(cost.k), "b": b}
    ends = []
    for C in (smallest, largest):
        N = optimal_size(optimum, params, cost, C)
        ends.append((np.log(N), np.log(cost.tokens(C, N))))
    (n_low, d_low), (n_high, d_high) = ends
    decades = np.log(largest / smallest)
    a, b = (n_high - n_low) / decades, (d_high - d_low) / decades
    return {"ln_n": n_high - a * np.log(largest), "a": a, "ln_d": d_high - b * np.log(largest), "b": b}

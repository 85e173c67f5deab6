"""Bayesian c-optimal design: runs with the most information on one quantity, by greedy choice and exchange.

The variance of ln t, t the predicted quantity, after runs with gradients J is gᵀ(M + Σ w·J·Jᵀ)⁻¹g, with M the
information of the existing runs and g the gradient of ln t, all at one sample of the law's parameters. The criterion is
the mean over samples of the logarithm of that variance (Chaloner and Verdinelli 1995, section 2.2; exchange: Fedorov
1972).

Key: S samples, P coordinates, K candidates. Variances are in units of one run's noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.laws.compute_cost import ComputeCost

COST_EXPONENTS = (0.0, 0.5, 1.0)  # exponents x of the greedy choice by gain / cost^x; exchange starts from each design
MAX_PASSES = 6  # largest number of passes of exchanges
MIN_GAIN = 1e-4  # smallest decrease of ln variance of an exchange
WEAK = 1e-2  # inverse of the prior standard deviation, relative to the size of a coordinate
RUNG = 2**0.5  # ratio of the FLOPs of neighbouring candidates of one size


@dataclass(frozen=True)
class Candidates:
    """Candidate runs and their information.

    Attributes:
        N: Parameters (K,).
        D: Tokens (K,).
        C: FLOPs (K,).
        J: ∂ link(L)/∂u times √weight (S, P, K).
        information: Information of the existing runs (S, P, P).
        g: ∂ ln t/∂u (S, P).
    """

    N: np.ndarray
    D: np.ndarray
    C: np.ndarray
    J: np.ndarray
    information: np.ndarray
    g: np.ndarray

    def __len__(self) -> int:
        return len(self.C)

    def log_variance(self, chosen: list[int]) -> float:
        """Returns the mean over samples of ln variance after the chosen runs."""
        return float(np.mean(np.log(self._variance(self._inverse(chosen)))))

    def log_variance_with_each(self, chosen: list[int]) -> np.ndarray:
        """Returns `log_variance` with the chosen runs and one more, for each candidate (K,)."""
        inverse = self._inverse(chosen)
        x = inverse @ self.J
        gain = np.einsum("sp,spk->sk", self.g, x) ** 2 / (1 + np.einsum("spk,spk->sk", self.J, x))
        variance = self._variance(inverse)[:, None]
        return np.asarray(np.mean(np.log(np.maximum(variance - gain, 1e-12 * variance)), 0))

    def width_ratio(self, chosen: list[int]) -> float:
        """Returns the expected width of the interval of ln t after the chosen runs, relative to the current width."""
        return float(np.exp(0.5 * (self.log_variance(chosen) - self.log_variance([]))))

    def _inverse(self, chosen: list[int]) -> np.ndarray:
        J = self.J[:, :, chosen]
        return np.linalg.inv(self.information + J @ J.transpose(0, 2, 1))

    def _variance(self, inverse: np.ndarray) -> np.ndarray:
        return np.einsum("sp,spq,sq->s", self.g, inverse, self.g)


def candidate_grid(
    sizes: np.ndarray, largest: float, cost: ComputeCost, fewest: tuple[float, float], ratios: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Returns N and D (K,) of candidates: each size at a ladder of FLOPs that ends at `largest`.

    Args:
        sizes: Numbers of parameters.
        largest: FLOPs of the largest run.
        cost: Training FLOPs of N and D.
        fewest: Smallest parameters and tokens of a run.
        ratios: Smallest and largest tokens per parameter.
    """
    sizes = np.unique(sizes[sizes >= fewest[0] * 0.999])
    rungs = max(1, int(np.log(largest / cost.flops(*fewest)) / np.log(RUNG)) + 1)
    C, N = (x.ravel() for x in np.meshgrid(largest * RUNG ** -np.arange(rungs), sizes))
    D = cost.tokens(C, N)
    ratio = D / N
    allowed = (fewest[1] * 0.999 <= D) & (ratio >= ratios[0]) & (ratio <= ratios[1])
    return N[allowed], D[allowed]


def choose_runs(
    candidates: Candidates, budget: float, max_runs: int, cost_exponents: tuple[float, ...] = COST_EXPONENTS
) -> list[int]:
    """Chooses the runs that together narrow the interval most, within a budget.

    Args:
        candidates: Candidate runs, each used at most once.
        budget: Largest FLOPs of all runs together.
        max_runs: Largest number of runs.
        cost_exponents: Exponents of the cost in the greedy choices that exchange starts from.

    Returns:
        Indices of the candidates in order of narrowing per FLOP; empty if no run is affordable.
    """
    designs = [
        _exchange(candidates, _greedy(candidates, budget, max_runs, exponent), budget, max_runs)
        for exponent in cost_exponents
    ]
    return order_runs(candidates, min(designs, key=candidates.log_variance))


def _greedy(candidates: Candidates, budget: float, max_runs: int, exponent: float) -> list[int]:
    chosen: list[int] = []
    while len(chosen) < max_runs and (best := _best(candidates, chosen, budget, exponent)) is not None:
        chosen.append(best)
    return chosen


def _best(candidates: Candidates, chosen: list[int], budget: float, exponent: float) -> int | None:
    """The affordable candidate with the largest gain / cost^exponent; None if no candidate has a gain."""
    remaining = (budget - float(candidates.C[chosen].sum())) * (1 + 1e-9)
    available = remaining >= candidates.C
    available[chosen] = False
    gain = candidates.log_variance(chosen) - candidates.log_variance_with_each(chosen)
    available &= gain > MIN_GAIN
    if not available.any():
        return None
    score = np.where(available, np.log(np.maximum(gain, 1e-300)) - exponent * np.log(candidates.C), -np.inf)
    return int(np.argmax(score))


def _exchange(candidates: Candidates, chosen: list[int], budget: float, max_runs: int) -> list[int]:
    """Replaces each run in turn by the best one or two runs for the available FLOPs, until there is no gain."""
    for _ in range(MAX_PASSES):
        before = candidates.log_variance(chosen)
        for run in list(chosen):
            exchanges = _replacements(candidates, chosen, run, budget, max_runs)
            chosen = min((chosen, *exchanges), key=candidates.log_variance)
        if candidates.log_variance(chosen) > before - MIN_GAIN:
            break
    return chosen


def _replacements(candidates: Candidates, chosen: list[int], run: int, budget: float, max_runs: int) -> list[list[int]]:
    """Designs with one run replaced by the best others, by gain and by gain per FLOP."""
    designs = []
    for exponent in (0.0, 1.0):
        design = [index for index in chosen if index != run]
        while (
            len(design) < min(max_runs, len(chosen) + 1)
            and (best := _best(candidates, design, budget, exponent)) is not None
        ):
            design.append(best)
        designs.append(design)
    return designs


def order_runs(candidates: Candidates, chosen: list[int]) -> list[int]:
    """Orders the chosen runs by narrowing per FLOP, given all earlier runs.

    Args:
        candidates: Candidate runs.
        chosen: Indices of the chosen runs.
    """
    ordered: list[int] = []
    remaining = list(chosen)
    while remaining:
        gain = candidates.log_variance(ordered) - candidates.log_variance_with_each(ordered)[remaining]
        ordered.append(remaining.pop(int(np.argmax(gain / candidates.C[remaining]))))
    return ordered


def prune_runs(candidates: Candidates, chosen: list[int], tolerance: float) -> list[int]:
    """Drops the runs that narrow the interval by less than a tolerance.

    Args:
        candidates: Candidate runs.
        chosen: Indices of the chosen runs.
        tolerance: Relative widening of the interval below which a run is dropped.
    """
    chosen = list(chosen)
    while chosen:
        reduced = [candidates.log_variance(chosen[:i] + chosen[i + 1 :]) for i in range(len(chosen))]
        weakest = int(np.argmin(reduced))
        if 0.5 * (reduced[weakest] - candidates.log_variance(chosen)) >= np.log1p(tolerance):
            break
        chosen.pop(weakest)
    return chosen

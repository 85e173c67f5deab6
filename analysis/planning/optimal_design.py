"""Which runs tell most of one quantity: Bayesian c-optimal design, by greedy choice and exchange.

The variance of ln t, t what is to be foretold, after runs with gradients J is gᵀ(M + Σ w·J·Jᵀ)⁻¹g, M the information of
the runs there are and g the gradient of ln t, both at one draw of the law's parameters. What is made least is the mean
over draws of the logarithm of that variance (Chaloner and Verdinelli 1995, section 2.2; exchange: Fedorov 1972).

Key: S draws, P coordinates, K candidates, R chosen runs. Variances are in units of one run's noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

PULLS = (0.0, 0.5, 1.0)  # greedy by narrowing / cost^pull: exchange starts from each, the best end is kept
PASSES = 6  # of exchanges, at most
BETTER = 1e-4  # least gain, in ln variance, for which runs are exchanged
WEAK = 1e-2  # of a unit: standard deviation over a coordinate of what is known of it beforehand is 1 / this


@dataclass(frozen=True)
class Candidates:
    """Runs that could be made, and what they would tell.

    N, D, C: parameters, tokens and FLOPs (K,). J: ∂ link(L)/∂u times √weight (S, P, K). have: information of the runs
    there are (S, P, P). g: ∂ ln t/∂u (S, P).
    """

    N: np.ndarray
    D: np.ndarray
    C: np.ndarray
    J: np.ndarray
    have: np.ndarray
    g: np.ndarray

    def __len__(self) -> int:
        return len(self.C)

    def spread(self, chosen: list[int]) -> float:
        """Mean over draws of ln variance with the chosen runs made."""
        return float(np.mean(np.log(self._variance(self._inverse(chosen)))))

    def with_each(self, chosen: list[int]) -> np.ndarray:
        """`spread` with the chosen runs and one more, for each candidate (K,)."""
        inverse = self._inverse(chosen)
        x = inverse @ self.J
        gain = np.einsum("sp,spk->sk", self.g, x) ** 2 / (1 + np.einsum("spk,spk->sk", self.J, x))
        now = self._variance(inverse)[:, None]
        return np.asarray(np.mean(np.log(np.maximum(now - gain, 1e-12 * now)), 0))

    def _inverse(self, chosen: list[int]) -> np.ndarray:
        J = self.J[:, :, chosen]
        return np.linalg.inv(self.have + J @ J.transpose(0, 2, 1))

    def _variance(self, inverse: np.ndarray) -> np.ndarray:
        return np.einsum("sp,spq,sq->s", self.g, inverse, self.g)


def grid(
    sizes: np.ndarray,
    largest: float,
    k: float,
    least: tuple[float, float],
    ratios: tuple[float, float],
    step: float = 2**0.5,
) -> tuple[np.ndarray, np.ndarray]:
    """N and D (K,) of what can be run: each size at a ladder of FLOPs that ends at `largest`, neighbours `step` apart.

    C = k·N·D. least: fewest parameters and tokens. ratios: least and most tokens a parameter.
    """
    sizes = np.unique(sizes[sizes >= least[0] * 0.999])
    rungs = max(1, int(np.log(largest / (k * least[0] * least[1])) / np.log(step)) + 1)
    C, N = (x.ravel() for x in np.meshgrid(largest * step ** -np.arange(rungs), sizes))
    D = C / (k * N)
    fewest, (low, high), each = least[1] * 0.999, ratios, D / N
    kept = (fewest <= D) & (each >= low) & (each <= high)
    return N[kept], D[kept]


def choose(of: Candidates, budget: float, most: int, pulls: tuple[float, ...] = PULLS) -> list[int]:
    """Candidates that together narrow most, at most `most` for at most `budget` FLOPs: what adds most a FLOP first.

    Each candidate once. Empty where none is affordable.
    """
    found = [_exchanged(of, _greedy(of, budget, most, pull), budget, most) for pull in pulls]
    return ordered(of, min(found, key=of.spread))


def _greedy(of: Candidates, budget: float, most: int, pull: float) -> list[int]:
    chosen: list[int] = []
    while len(chosen) < most and (more := _best(of, chosen, budget, pull)) is not None:
        chosen.append(more)
    return chosen


def _best(of: Candidates, chosen: list[int], budget: float, pull: float = 0.0) -> int | None:
    """The candidate to add: the most narrowing / cost^pull of what is affordable; None where nothing narrows."""
    left = (budget - float(of.C[chosen].sum())) * (1 + 1e-9)
    open_ = left >= of.C
    open_[chosen] = False
    gain = of.spread(chosen) - of.with_each(chosen)
    open_ &= gain > BETTER
    if not open_.any():
        return None
    worth = np.where(open_, np.log(np.maximum(gain, 1e-300)) - pull * np.log(of.C), -np.inf)
    return int(np.argmax(worth))


def _exchanged(of: Candidates, chosen: list[int], budget: float, most: int) -> list[int]:
    """Each run in turn given for the best that its FLOPs and what is left can buy, until no exchange helps.

    For one run, or for two in its place.
    """
    for _ in range(PASSES):
        before = of.spread(chosen)
        for one in list(chosen):
            chosen = min((chosen, *_without(of, chosen, one, budget, most)), key=of.spread)
        if of.spread(chosen) > before - BETTER:
            break
    return chosen


def _without(of: Candidates, chosen: list[int], one: int, budget: float, most: int) -> list[list[int]]:
    """The chosen runs with others instead of one: filled up by narrowing alone, and by narrowing a FLOP."""
    out = []
    for pull in (0.0, 1.0):
        new = [at for at in chosen if at != one]
        while len(new) < min(most, len(chosen) + 1) and (more := _best(of, new, budget, pull)) is not None:
            new.append(more)
        out.append(new)
    return out


def ordered(of: Candidates, chosen: list[int]) -> list[int]:
    """The chosen runs, what narrows most a FLOP given those before it first."""
    out: list[int] = []
    left = list(chosen)
    while left:
        gain = (of.spread(out) - of.with_each(out)[left]) / of.C[left]
        out.append(left.pop(int(np.argmax(gain))))
    return out


def pruned(of: Candidates, chosen: list[int], least: float) -> list[int]:
    """Without the runs that can each be left out for an interval wider by less than `least`, relatively."""
    chosen = list(chosen)
    while chosen:
        without = [of.spread(chosen[:i] + chosen[i + 1 :]) for i in range(len(chosen))]
        at = int(np.argmin(without))
        if 0.5 * (without[at] - of.spread(chosen)) >= np.log1p(least):
            break
        chosen.pop(at)
    return chosen


def gradient(of: Callable[[np.ndarray], np.ndarray], u_SP: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """∂of/∂u (S, P) by central differences; `of` takes coordinates (S, P) and gives (S,)."""
    out = np.empty_like(u_SP)
    for at in range(u_SP.shape[1]):
        move = np.zeros_like(u_SP)
        move[:, at] = step * np.maximum(np.abs(u_SP[:, at]), 1.0)
        out[:, at] = (of(u_SP + move) - of(u_SP - move)) / (2 * move[:, at])
    return out

"""Other minima of a fit: valleys that some starts ended in, no deeper than the best but as good as noise can tell.

Key: S starts, P coordinates, n points.
"""

from __future__ import annotations

import numpy as np

from analysis.problem import Problem
from analysis.solve import minimise, polish

REACH = 10.8  # n·ln(objective / lowest) within which noise does not tell two minima apart: χ²(1) at 0.999
APART = 0.02  # in a coordinate, relative above 1: nearer ones are the same
MOST = 6  # candidates that are looked into
STEPS = 32  # of the straight way between two minima on which a pass must lie


def others(problem: Problem, found_SP: np.ndarray, cost_S: np.ndarray, best_P: np.ndarray) -> list[np.ndarray]:
    """Coordinates of other minima (each (P,)), the lowest first.

    A candidate is searched to the end; it is another minimum if the objective rises and falls again on the way to
    every one that is known. A flat valley in which starts stop early is one minimum.
    """
    lowest = _cost(problem, best_P[None])[0]
    near = np.flatnonzero(cost_S <= lowest * np.exp(REACH / problem.y.shape[-1]))
    known: list[np.ndarray] = [best_P]
    looked = 0
    for at in near[np.argsort(cost_S[near], kind="stable")]:
        if looked == MOST:
            break
        if any(_same(found_SP[at], one) for one in known):
            continue
        looked += 1
        u = polish(problem, minimise(problem, found_SP[at][None], iterations=400, tolerance=1e-15)[0][0])
        if not any(_same(u, one) or not _pass(problem, u, one) for one in known):
            known.append(u)
    return sorted(known[1:], key=lambda u: float(_cost(problem, u[None])[0]))


def said(problem: Problem, minima: list[np.ndarray]) -> list[str]:
    """The verdict: where the other minima are and how high."""
    if not minima:
        return []
    shown = []
    for u in minima:
        params = ", ".join(f"{name} = {value[0]:.4g}" for name, value in problem.params(u[None]).items())
        value = problem.objective.value(problem.residual(u[None])[0], problem.weights)
        shown.append(f"({params}; objective {value:.7g})")
    return [f"other-minima: as good as noise can tell: {'; '.join(shown)}: say which with start"]


def _cost(problem: Problem, u_SP: np.ndarray) -> np.ndarray:
    return np.asarray(problem.cost(problem.residual(u_SP)))


def _same(u_P: np.ndarray, v_P: np.ndarray) -> bool:
    return bool(np.all(np.abs(u_P - v_P) <= APART * np.maximum(1.0, np.minimum(np.abs(u_P), np.abs(v_P)))))


def _pass(problem: Problem, u_P: np.ndarray, v_P: np.ndarray) -> bool:
    """Whether the objective is higher somewhere between two points than at both."""
    share = np.linspace(0, 1, STEPS + 1)[:, None]
    cost = _cost(problem, u_P + share * (v_P - u_P))
    return bool(cost[1:-1].max() > max(cost[0], cost[-1]) * (1 + 1e-9))

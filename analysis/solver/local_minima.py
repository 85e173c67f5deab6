"""Other minima of a fit: valleys that some starts ended in, no deeper than the best but as good as noise can tell.

Key: S starts, P coordinates, n points.
"""

from __future__ import annotations

import numpy as np

from analysis.errors import FitError
from analysis.solver.minimise import polish
from analysis.solver.problem import Problem

REACH = 10.8  # n·ln(objective / lowest) within which noise does not tell two minima apart: χ²(1) at 0.999
APART = 0.02  # in a coordinate, relative above 1: nearer ones are the same
MOST = 6  # candidates that are looked into
STEPS = 32  # of the straight way between two minima on which a pass must lie
STRIDE = 0.03  # longest step downhill, in a coordinate, relative above 1


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
        u = _end(problem, found_SP[at])
        if not any(_same(u, one) or not _pass(problem, u, one) for one in known):
            known.append(u)
    return sorted(known[1:], key=lambda u: float(_cost(problem, u[None])[0]))


def nearest(problem: Problem, starts_SP: np.ndarray) -> tuple[np.ndarray, dict[str, int], list[np.ndarray]]:
    """What `search` gives, of the minima in whose valleys the starts lie: strides are too short to leave one.

    The linear coordinates are solved for first, so that a start is what was given for the others.
    """
    found = np.stack([_descend(problem, _solved(problem, u)) for u in starts_SP])
    cost = _cost(problem, found)
    if not np.isfinite(cost).any():
        raise FitError("no start gives the law a finite value on these points")
    u = _end(problem, found[np.nanargmin(cost)])
    lowest = _cost(problem, u[None])[0]
    agreed = int(np.sum(cost <= lowest * (1 + 1e-4) + 1e-14 * np.sum(problem.weights)))
    return u, {"tried": len(starts_SP), "agreed": agreed}, others(problem, found, cost, u)


def _end(problem: Problem, u_P: np.ndarray) -> np.ndarray:
    """The floor of the valley to the last digits; a Newton step that leaves it is not taken."""
    u_P = _descend(problem, u_P, 300)  # a flat valley has no end, and what starts here is near one
    last = polish(problem, u_P)
    return last if _same(last, u_P) else u_P


def _solved(problem: Problem, u_P: np.ndarray) -> np.ndarray:
    """The start with its linear coordinates at their best and the others where they are."""
    first = len(problem.law.linear)
    for _ in range(20 if first else 0):
        g, H = _normal(problem, u_P)
        u_P = _lower(problem, u_P, np.append(-_least(H[:first, :first], g[:first]), np.zeros(len(u_P) - first)))
    return u_P


def _descend(problem: Problem, u_P: np.ndarray, strides: int = 3000) -> np.ndarray:
    for _ in range(strides):
        new = _stride(problem, u_P)
        if np.array_equal(new, u_P):
            break
        u_P = new
    return u_P


def _stride(problem: Problem, u_P: np.ndarray) -> np.ndarray:
    """One step; a coordinate that it would push through a bound stays, and the others step without it."""
    low, high = problem.limits()
    g, H = _normal(problem, u_P)
    free = ~(((u_P <= low) & (g > 0)) | ((u_P >= high) & (g < 0)))
    while free.any():
        move = np.zeros_like(u_P)
        move[free] = -_least(H[np.ix_(free, free)], g[free])
        longest = float(np.max(np.abs(move) / np.maximum(1.0, np.abs(u_P))))
        move *= min(1.0, STRIDE / max(longest, 1e-300))
        new = _lower(problem, u_P, move)
        through = (u_P + move < low) | (u_P + move > high)
        if not np.array_equal(new, u_P) or not through.any():
            return new
        free &= ~through
    return u_P


def _normal(problem: Problem, u_P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gradient (P,) of the objective, and what stands for its Hessian (P, P)."""
    J, r = problem.jacobian(u_P[None])[0], problem.residual(u_P[None])[0]
    slope = problem.weights * problem.objective.slope(r)
    return J @ slope, (J * (problem.weights * problem.objective.bend(r, 1.0))) @ J.T


def _least(H: np.ndarray, g: np.ndarray) -> np.ndarray:
    H = H + 1e-9 * np.diag(np.maximum(np.diag(H), 1e-200))
    return np.asarray(np.linalg.lstsq(H, g, rcond=None)[0])


def _lower(problem: Problem, u_P: np.ndarray, move_P: np.ndarray) -> np.ndarray:
    """As far along a move as lowers the objective: all of it, half, a quarter, ..."""
    least = _cost(problem, u_P[None])[0] * (1 - 1e-13)
    for halved in (np.arange(1), np.arange(1, 30)):  # nearly always all of it
        tried = np.clip(u_P + move_P * 0.5 ** halved[:, None], *problem.limits())
        better = np.flatnonzero(_cost(problem, tried) < least)
        if len(better):
            return tried[better[0]]
    return u_P


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

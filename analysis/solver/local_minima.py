"""Local minima: those that are as good as the global minimum within noise, and those next to given starts.

Key: S starts, P coordinates, n points. u coordinates, g gradient and H curvature matrix of the objective.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from analysis.solver.minimise import polish
from analysis.solver.problem import Problem

NOISE_MARGIN = 10.8  # n·ln(objective / lowest) up to which minima are equal within noise: χ²(1) at 0.999
SAME_DISTANCE = 0.02  # distance in a coordinate (relative above 1) up to which minima are the same
SAME_OUTPUT = 1e-3  # share of the residuals up to which two outputs are the same
MAX_CANDIDATES = 6
ROUNDING = 1e-10  # relative difference of the objective by which a lower end point of the same basin is lower
BARRIER_STEPS = 32  # number of points between two minima that are checked for a barrier
MAX_STEP = 0.03  # longest step in a coordinate (relative above 1), too short to leave a basin
MAX_STEPS, REFINE_STEPS = 3000, 300


@dataclass(frozen=True)
class Minimum:
    """A minimum of the objective.

    Attributes:
        u_P: Coordinates.
        cost: Objective.
        start: Index of the start whose end point was refined.
    """

    u_P: np.ndarray
    cost: float
    start: int


def distinct_minima(
    problem: Problem, u_SP: np.ndarray, cost_S: np.ndarray, best_P: np.ndarray, best: int
) -> list[Minimum]:
    """Refines the end points of starts and returns the minima that are equal to the lowest within noise.

    A refined end point is another minimum if there is a barrier on the straight line to every known minimum, so that a
    flat basin with several end points is one minimum. Minima that only differ by an exchange of parameters that the law
    declares as exchangeable are one minimum, as are minima with the same output at all points (the end points of a
    curved valley). An end point can become the lowest only by its refinement, because the starts descend for a limited
    number of steps.

    Args:
        problem: The law on points.
        u_SP: End points of the starts.
        cost_S: Objective at the end points.
        best_P: The lowest end point, refined.
        best: Index of its start.

    Returns:
        The minima in order of the objective, the lowest first.
    """
    margin = np.exp(NOISE_MARGIN / problem.y.shape[-1])
    minima = [Minimum(best_P, float(_cost(problem, best_P[None])[0]), best)]
    close = np.flatnonzero(cost_S <= minima[0].cost * margin)
    remaining = list(close[np.argsort(cost_S[close], kind="stable")])
    candidates = 0
    while remaining and candidates < MAX_CANDIDATES:  # refined together, and considered in order of the objective
        chosen: list[int] = []
        while remaining and len(chosen) < MAX_CANDIDATES - candidates:
            s = remaining.pop(0)
            if not _is_known(problem, u_SP[s], minima):
                chosen.append(int(s))
        for s, u_P in zip(chosen, refine(problem, u_SP[chosen]), strict=True):
            if not _is_known(problem, u_SP[s], minima):
                candidates += 1
                _add(problem, minima, u_P, s)
    minima.sort(key=lambda minimum: minimum.cost)
    return [minimum for minimum in minima if minimum.cost <= minima[0].cost * margin]


def _is_known(problem: Problem, u_P: np.ndarray, minima: list[Minimum]) -> bool:
    return any(is_same(u, minimum.u_P) for u in exchanges(problem, u_P) for minimum in minima)


def _add(problem: Problem, minima: list[Minimum], u_P: np.ndarray, start: int) -> None:
    """Adds a refined end point to the minima, or replaces the minimum of its basin if it is lower."""
    cost = float(_cost(problem, u_P[None])[0])
    for i, minimum in enumerate(minima):
        same_output = _has_same_output(problem, u_P, minimum.u_P)
        for u in exchanges(problem, u_P):
            if same_output or is_same(u, minimum.u_P) or not _has_barrier(problem, u, minimum.u_P):
                if cost < minimum.cost * (1 - ROUNDING):
                    minima[i] = Minimum(u, cost, start)
                return
    minima.append(Minimum(u_P, cost, start))


def exchanges(problem: Problem, u_P: np.ndarray) -> list[np.ndarray]:
    """Returns the coordinates with all exchanges of the exchangeable parameters of the law, the given ones first.

    Args:
        problem: The law on points.
        u_P: Coordinates.
    """
    indices = np.array([[problem.names.index(name) for name in group] for group in problem.law.exchangeable], int)
    exchanged = []
    for order in itertools.permutations(range(len(indices))):
        u = u_P.copy()
        u[indices] = u_P[indices[list(order)]]
        exchanged.append(u)
    return exchanged


def in_order(problem: Problem, u_P: np.ndarray) -> np.ndarray:
    """Returns the coordinates with exchangeable parameters ordered by the first parameter of each group.

    Args:
        problem: The law on points.
        u_P: Coordinates.
    """
    if not problem.law.exchangeable:
        return u_P
    firsts = [problem.names.index(group[0]) for group in problem.law.exchangeable]
    return min(exchanges(problem, u_P), key=lambda u: tuple(u[firsts]))


def descend_from(problem: Problem, starts_SP: np.ndarray) -> np.ndarray:
    """Minimises from each start within its basin, after a solution for the linear coordinates.

    Args:
        problem: The law on points.
        starts_SP: Coordinates of the starts; their linear part is not used.

    Returns:
        End point of each start (S, P).
    """
    return _descend(problem, _solve_linear(problem, starts_SP), MAX_STEPS)


def refine(problem: Problem, u_SP: np.ndarray) -> np.ndarray:
    """Returns the minimum of the basin of each point to machine precision, without leaving the basin (S, P).

    Args:
        problem: The law on points.
        u_SP: Coordinates near minima.
    """
    u_SP = _descend(problem, u_SP, REFINE_STEPS)  # limits the number of steps in a flat basin
    polished_SP = np.array([polish(problem, u_P) for u_P in u_SP]).reshape(u_SP.shape)
    return np.array([q if is_same(q, u) else u for q, u in zip(polished_SP, u_SP, strict=True)]).reshape(u_SP.shape)


def _solve_linear(problem: Problem, u_SP: np.ndarray) -> np.ndarray:
    """The points with optimal linear coordinates and unchanged nonlinear coordinates."""
    first = len(problem.law.linear)
    for _ in range(20 if first else 0):
        cost_S, g_SP, H_SPP = _normal_equations(problem, u_SP)
        step_SP = np.zeros_like(u_SP)
        step_SP[:, :first] = [-_solve(H[:first, :first], g[:first]) for H, g in zip(H_SPP, g_SP, strict=True)]
        u_SP = _line_search(problem, u_SP, step_SP, cost_S)
    return u_SP


def _descend(problem: Problem, u_SP: np.ndarray, steps: int) -> np.ndarray:
    """Short steps of all points at once, each until it does not move."""
    u_SP, active = u_SP.copy(), np.arange(len(u_SP))
    for _ in range(steps):
        if not len(active):
            break
        new = _short_steps(problem, u_SP[active])
        moved = np.any(new != u_SP[active], axis=1)
        u_SP[active] = new
        active = active[moved]
    return u_SP


def _short_steps(problem: Problem, u_SP: np.ndarray) -> np.ndarray:
    """A step of at most MAX_STEP of each point, repeated with fixed coordinates where some would leave their bounds."""
    low, high = problem.bounds()
    cost_S, g_SP, H_SPP = _normal_equations(problem, u_SP)
    free_SP = ~(((u_SP <= low) & (g_SP > 0)) | ((u_SP >= high) & (g_SP < 0)))
    new_SP, pending = u_SP.copy(), np.flatnonzero(free_SP.any(axis=1))
    while len(pending):
        u, step = u_SP[pending], np.zeros((len(pending), u_SP.shape[1]))
        for row, s in enumerate(pending):
            free = free_SP[s]
            step[row, free] = -_solve(H_SPP[s][np.ix_(free, free)], g_SP[s, free])
        longest = np.max(np.abs(step) / np.maximum(1.0, np.abs(u)), axis=1)
        step *= np.minimum(1.0, MAX_STEP / np.maximum(longest, 1e-300))[:, None]
        new = _line_search(problem, u, step, cost_S[pending])
        outside = (u + step < low) | (u + step > high)
        done = np.any(new != u, axis=1) | ~outside.any(axis=1)
        new_SP[pending[done]] = new[done]
        free_SP[pending] &= ~outside
        pending = pending[~done & free_SP[pending].any(axis=1)]
    return new_SP


def _normal_equations(problem: Problem, u_SP: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Objective (S,), its gradient (S, P), and the curvature of a Levenberg–Marquardt step (S, P, P)."""
    with np.errstate(all="ignore"):
        r_Sn, J_SPn = problem.evaluate(u_SP)
        r_Sn = np.where(np.isfinite(r_Sn), r_Sn, np.inf)
        psi_Sn = problem.weights * problem.objective.psi(r_Sn)
        curvature_Sn = problem.weights * problem.objective.curvature(r_Sn, 1.0)
        g_SP = (J_SPn @ psi_Sn[..., None])[..., 0]
        return problem.cost(r_Sn), g_SP, (J_SPn * curvature_Sn[:, None]) @ J_SPn.transpose(0, 2, 1)


def _solve(H: np.ndarray, g: np.ndarray) -> np.ndarray:
    """H⁻¹g with slight damping of H; 0 if the law has no finite derivatives."""
    if not (np.isfinite(H).all() and np.isfinite(g).all()):
        return np.zeros_like(g)
    H = H + 1e-9 * np.diag(np.maximum(np.diag(H), 1e-200))
    return np.asarray(np.linalg.lstsq(H, g, rcond=None)[0])


def _line_search(problem: Problem, u_SP: np.ndarray, step_SP: np.ndarray, cost_S: np.ndarray) -> np.ndarray:
    """Backtracking line search: the step, half of it, a quarter, ... until the objective decreases."""
    low, high = problem.bounds()
    new_SP, pending = u_SP.copy(), np.arange(len(u_SP))
    for shares in (np.ones(1), 0.5 ** np.arange(1, 30)):  # usually the full step
        trials_SHP = np.clip(u_SP[pending, None] + step_SP[pending, None] * shares[:, None], low, high)
        cost_SH = _cost(problem, trials_SHP.reshape(-1, u_SP.shape[1])).reshape(len(pending), len(shares))
        better_SH = cost_SH < cost_S[pending, None] * (1 - 1e-13)
        lower = better_SH.any(axis=1)
        new_SP[pending[lower]] = trials_SHP[lower, np.argmax(better_SH[lower], axis=1)]
        pending = pending[~lower]
        if not len(pending):
            break
    return new_SP


def _cost(problem: Problem, u_SP: np.ndarray) -> np.ndarray:
    return np.asarray(problem.cost(problem.residual(u_SP)))


def is_same(u_P: np.ndarray, v_P: np.ndarray) -> bool:
    """Returns whether two points are the same minimum, up to SAME_DISTANCE in each coordinate.

    Args:
        u_P: Coordinates of the first point.
        v_P: Coordinates of the second point.
    """
    return bool(are_same(u_P[None], v_P)[0])


def are_same(u_SP: np.ndarray, v_P: np.ndarray) -> np.ndarray:
    """Returns whether each point (S,) is the same minimum as another, as in `is_same`.

    Args:
        u_SP: Coordinates of the points.
        v_P: Coordinates of the other point.
    """
    size = np.maximum(1.0, np.minimum(np.abs(u_SP), np.abs(v_P)))
    return np.asarray(np.all(np.abs(u_SP - v_P) <= SAME_DISTANCE * size, axis=-1))


def _has_same_output(problem: Problem, u_P: np.ndarray, v_P: np.ndarray) -> bool:
    """Whether the outputs at two points differ by less than SAME_OUTPUT of the residuals."""
    r_u, r_v = problem.residual(np.stack([u_P, v_P])) * np.sqrt(problem.weights)
    return bool(np.linalg.norm(r_u - r_v) <= SAME_OUTPUT * np.linalg.norm(r_v))


def _has_barrier(problem: Problem, u_P: np.ndarray, v_P: np.ndarray) -> bool:
    """Whether the objective between two points exceeds that at both points."""
    share = np.linspace(0, 1, BARRIER_STEPS + 1)[:, None]
    cost = _cost(problem, u_P + share * (v_P - u_P))
    return bool(cost[1:-1].max() > max(cost[0], cost[-1]) * (1 + 1e-9))

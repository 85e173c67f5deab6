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
    curved valley). An end point can become the lowest only by its refinement, because the
    starts descend for a limited number of steps.

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
    candidates = 0
    for s in close[np.argsort(cost_S[close], kind="stable")]:
        if candidates == MAX_CANDIDATES:
            break
        if any(is_same(u, minimum.u_P) for u in exchanges(problem, u_SP[s]) for minimum in minima):
            continue
        candidates += 1
        _add(problem, minima, refine(problem, u_SP[s]), int(s))
    minima.sort(key=lambda minimum: minimum.cost)
    return [minimum for minimum in minima if minimum.cost <= minima[0].cost * margin]


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
    return np.stack([_descend(problem, _solve_linear(problem, u), MAX_STEPS) for u in starts_SP])


def refine(problem: Problem, u_P: np.ndarray) -> np.ndarray:
    """Returns the minimum of the basin to machine precision, without leaving the basin.

    Args:
        problem: The law on points.
        u_P: Coordinates near the minimum.
    """
    u_P = _descend(problem, u_P, REFINE_STEPS)  # limits the number of steps in a flat basin
    polished = polish(problem, u_P)
    return polished if is_same(polished, u_P) else u_P


def _solve_linear(problem: Problem, u_P: np.ndarray) -> np.ndarray:
    """The start with optimal linear coordinates and unchanged nonlinear coordinates."""
    first = len(problem.law.linear)
    for _ in range(20 if first else 0):
        g, H = _normal_equations(problem, u_P)
        step = np.append(-_solve(H[:first, :first], g[:first]), np.zeros(len(u_P) - first))
        u_P = _line_search(problem, u_P, step)
    return u_P


def _descend(problem: Problem, u_P: np.ndarray, steps: int) -> np.ndarray:
    for _ in range(steps):
        u_new = _short_step(problem, u_P)
        if np.array_equal(u_new, u_P):
            break
        u_P = u_new
    return u_P


def _short_step(problem: Problem, u_P: np.ndarray) -> np.ndarray:
    """One step of at most MAX_STEP. Coordinates that would leave their bounds are fixed and the step is repeated."""
    low, high = problem.bounds()
    g, H = _normal_equations(problem, u_P)
    free = ~(((u_P <= low) & (g > 0)) | ((u_P >= high) & (g < 0)))
    while free.any():
        step = np.zeros_like(u_P)
        step[free] = -_solve(H[np.ix_(free, free)], g[free])
        longest = float(np.max(np.abs(step) / np.maximum(1.0, np.abs(u_P))))
        step *= min(1.0, MAX_STEP / max(longest, 1e-300))
        u_new = _line_search(problem, u_P, step)
        outside = (u_P + step < low) | (u_P + step > high)
        if not np.array_equal(u_new, u_P) or not outside.any():
            return u_new
        free &= ~outside
    return u_P


def _normal_equations(problem: Problem, u_P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gradient (P,) of the objective, and the curvature of a Levenberg–Marquardt step (P, P)."""
    J, r = problem.jacobian(u_P[None])[0], problem.residual(u_P[None])[0]
    psi = problem.weights * problem.objective.psi(r)
    return J @ psi, (J * (problem.weights * problem.objective.curvature(r, 1.0))) @ J.T


def _solve(H: np.ndarray, g: np.ndarray) -> np.ndarray:
    """H⁻¹g with slight damping of H."""
    H = H + 1e-9 * np.diag(np.maximum(np.diag(H), 1e-200))
    return np.asarray(np.linalg.lstsq(H, g, rcond=None)[0])


def _line_search(problem: Problem, u_P: np.ndarray, step_P: np.ndarray) -> np.ndarray:
    """Backtracking line search: the step, half of it, a quarter, ... until the objective decreases."""
    threshold = _cost(problem, u_P[None])[0] * (1 - 1e-13)
    for halvings in (np.arange(1), np.arange(1, 30)):  # usually the full step
        trials = np.clip(u_P + step_P * 0.5 ** halvings[:, None], *problem.bounds())
        better = np.flatnonzero(_cost(problem, trials) < threshold)
        if len(better):
            return trials[better[0]]
    return u_P


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

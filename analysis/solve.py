"""Minimises a robust objective over many starts or many bootstrap draws at once, in float64.

Levenberg–Marquardt on the residual sign(r)·√(2ρ(r)), whose half sum of squares is the objective.

Key: S starts or draws, P parameters, n points; arrays end in their axes.
"""

from __future__ import annotations

import numpy as np

from analysis.objective import OBJECTIVES, Objective
from analysis.problem import Problem

__all__ = ["OBJECTIVES", "FitError", "Objective", "Problem", "gradient", "hessian", "minimise", "polish", "vertex"]

LARGEST = 2_000_000  # elements of one array before starts are worked through in parts


class FitError(RuntimeError):
    """A fit that cannot be done: one line that says why."""


def minimise(
    problem: Problem, u_SP: np.ndarray, iterations: int = 200, tolerance: float = 1e-12
) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates (S, P) and objective (S,) that Levenberg–Marquardt reaches from each row of `u_SP`.

    A row ends when a step lowers its objective by less than `tolerance`, relatively.
    """
    part = max(1, LARGEST // (problem.y.shape[-1] * len(problem.names)))
    if len(u_SP) > part:
        blocks = [np.arange(i, min(i + part, len(u_SP))) for i in range(0, len(u_SP), part)]
        parts = [minimise(problem.part(block), u_SP[block], iterations, tolerance) for block in blocks]
        return np.concatenate([u for u, _ in parts]), np.concatenate([c for _, c in parts])
    low, high = problem.limits()
    u = np.clip(u_SP, low, high)
    cost = problem.cost(problem.residual(u))
    damping = np.full(len(u), 1e-2)
    active, quiet = np.isfinite(cost), np.zeros(len(u), int)
    for _ in range(iterations):
        rows = np.flatnonzero(active)
        if not len(rows):
            break
        here = problem.part(rows)
        step = _step(here, u[rows], damping[rows], low, high)
        tried = np.clip(u[rows] + step, low, high)
        new = here.cost(here.residual(tried))
        better = new < cost[rows]
        gain = np.where(better, cost[rows] - new, 0.0)
        small = gain <= tolerance * cost[rows]
        u[rows[better]], cost[rows[better]] = tried[better], new[better]
        damping[rows] = np.where(better, np.maximum(damping[rows] / 8, 1e-12), damping[rows] * 6)
        quiet[rows] = np.where(small & (better | (damping[rows] > 1e3)), quiet[rows] + 1, 0)
        active[rows] = (quiet[rows] < 2) & (damping[rows] < 1e8)
    return u, cost


def _step(problem: Problem, u: np.ndarray, damping: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Damped Gauss–Newton step (S, P); coordinates at a bound that the gradient pushes on stay."""
    r, J = problem.residual(u), problem.jacobian(u)
    slope = problem.objective.slope(r)
    bend = problem.objective.bend(r)
    g = np.einsum("spn,sn->sp", J, problem.weights * slope)
    H = (J * (problem.weights * bend)[:, None]) @ J.transpose(0, 2, 1)
    held = ((u <= low) & (g > 0)) | ((u >= high) & (g < 0))
    g = np.where(held, 0.0, g)
    H = np.where(held[:, :, None] | held[:, None, :], 0.0, H)
    d = np.diagonal(H, axis1=1, axis2=2)
    floor = np.maximum(d, 1e-300 + 1e-14 * d.max(-1, keepdims=True))
    at = np.arange(H.shape[-1])
    H[:, at, at] = d + damping[:, None] * floor + np.where(held, 1.0, 0.0)
    H[~np.isfinite(H).all((1, 2))] = np.eye(H.shape[-1])
    g = np.where(np.isfinite(g), g, 0.0)
    return -np.linalg.solve(H, g[..., None])[..., 0]


def gradient(problem: Problem, u_SP: np.ndarray) -> np.ndarray:
    """Of the objective, by coordinates (S, P)."""
    slope = problem.objective.slope(problem.residual(u_SP))
    return np.einsum("spn,sn->sp", problem.jacobian(u_SP), problem.weights * slope)


def hessian(problem: Problem, u_P: np.ndarray) -> np.ndarray:
    """Of the objective (P, P), by central differences of its gradient."""
    h = 1e-7 * np.maximum(np.abs(u_P), 1e-3)
    ahead, behind = gradient(problem, u_P + np.diag(h)), gradient(problem, u_P - np.diag(h))
    H = (ahead - behind) / (2 * h[:, None])
    return 0.5 * (H + H.T)


def polish(problem: Problem, u_P: np.ndarray, steps: int = 60) -> np.ndarray:
    """Newton steps on the objective itself, to the last digits; Huber's linear part has no Gauss–Newton curvature."""
    low, high = problem.limits()
    u, damping = u_P.copy(), 1e-9
    cost = problem.cost(problem.residual(u[None]))[0]
    for _ in range(steps):
        g = gradient(problem, u[None])[0]
        free = ~(((u <= low) & (g > 0)) | ((u >= high) & (g < 0)))
        H = hessian(problem, u)[np.ix_(free, free)]
        H = H + damping * np.diag(np.maximum(np.abs(np.diag(H)), 1e-300))
        move = np.zeros_like(u)
        move[free] = -np.linalg.lstsq(H, g[free], rcond=None)[0]
        tried = np.clip(u + move, low, high)
        new = problem.cost(problem.residual(tried[None]))[0]
        if new < cost:
            u, cost, damping = tried, new, max(damping / 10, 1e-12)
        elif damping > 1e3 or np.abs(move).max() < 1e-15:
            break
        else:
            damping *= 30
    return u


def vertex(problem: Problem, u_P: np.ndarray, steps: int = 40) -> np.ndarray:
    """Least absolute deviations to the last digits: linear programs in a shrinking box (the optimum is a vertex)."""
    from scipy.optimize import linprog
    from scipy.sparse import csr_matrix, hstack, identity

    low, high = problem.limits()
    u, box, n = u_P.copy(), 0.1, problem.y.shape[-1]

    def total(at: np.ndarray) -> float:
        return problem.objective.value(problem.residual(at[None])[0], problem.weights)

    for _ in range(steps):
        r, J = problem.residual(u[None])[0], problem.jacobian(u[None])[0]
        equal = hstack([csr_matrix(J.T), -identity(n), identity(n)])  # r + Jᵀδ = over − under
        reach = box * np.maximum(np.abs(u), 1e-2)
        bounds = [*zip(np.maximum(-reach, low - u), np.minimum(reach, high - u), strict=True), *[(0, None)] * (2 * n)]
        tau = problem.objective.undertuned
        cost = np.concatenate([np.zeros(len(u)), 2 * (1 - tau) * problem.weights, 2 * tau * problem.weights])
        found = linprog(cost, A_eq=equal, b_eq=-r, bounds=bounds)  # type: ignore[call-overload]
        if found.x is None:
            break
        tried = np.clip(u + found.x[: len(u)], low, high)
        if total(tried) < total(u):
            u = tried
        else:
            box /= 8
            if box < 1e-9:
                break
    return u

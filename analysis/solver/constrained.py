"""Minimises the objective with a quantity of the parameters held at a target, for many rows at once.

Key: R rows, P coordinates, n points.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from analysis.solver.problem import Problem

STEPS = 40  # damped Newton steps at most
SETTLED = 1e-7  # of the objective: a step that lowers it by less has arrived

Values = Callable[[np.ndarray], np.ndarray]  # coordinates (R, P) -> the quantity of each row (R,)


def held(problem: Problem, values: Values, u_RP: np.ndarray, target_R: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates (R, P) of the least objective with each row's quantity at its target, and whether it got there.

    Damped Gauss–Newton on the Lagrangian; a step counts where the objective and the miss, at a price above the
    multiplier, fall together.
    """
    low, high = problem.limits()
    u, damping, price = u_RP.copy(), np.full(len(u_RP), 1e-4), np.zeros(len(u_RP))
    cost, miss = problem.cost(problem.residual(u)), target_R - values(u)
    far, quiet = np.maximum(np.abs(miss), 1e-300), 0
    for _ in range(STEPS):
        move, multiplier = _step(problem, u, gradient(values, u), miss, damping, low, high)
        price = np.maximum(price, 2 * np.abs(multiplier))
        tried = np.clip(u + move, low, high)
        new, off = problem.cost(problem.residual(tried)), target_R - values(tried)
        better = new + price * np.abs(off) < cost + price * np.abs(miss)
        still = np.where(better, np.abs(new - cost) > SETTLED * cost, damping < 1e3) | (np.abs(miss) > 1e-6 * far)
        u[better], cost[better], miss[better] = tried[better], new[better], off[better]
        damping = np.where(better, np.maximum(damping / 10, 1e-12), np.minimum(damping * 10, 1e8))
        quiet = 0 if still.any() else quiet + 1
        if quiet == 2:
            break
    return u, np.abs(miss) <= 1e-4 * far


def gradient(values: Values, u_RP: np.ndarray) -> np.ndarray:
    """∂ quantity / ∂u (R, P), by central differences."""
    out = np.empty_like(u_RP)
    for p in range(u_RP.shape[1]):
        h = 1e-6 * np.maximum(np.abs(u_RP[:, p]), 1e-3)
        ahead, behind = u_RP.copy(), u_RP.copy()
        ahead[:, p] += h
        behind[:, p] -= h
        out[:, p] = (values(ahead) - values(behind)) / (2 * h)
    return out


def _step(
    problem: Problem,
    u: np.ndarray,
    g: np.ndarray,
    miss: np.ndarray,
    damping: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Move (R, P) and multiplier (R,); coordinates that would leave their bounds stay, and the others know of it."""
    P = u.shape[1]
    r, J = problem.residual(u), problem.jacobian(u)
    pull = np.einsum("rpn,rn->rp", J, problem.weights * problem.objective.slope(r))
    H = np.einsum("rpn,rqn->rpq", J * (problem.weights * problem.objective.bend(r, 1.0))[:, None], J)
    d = np.maximum(np.diagonal(H, axis1=1, axis2=2), 1e-300)
    stuck = np.zeros(u.shape, bool)
    for _ in range(2):
        K = np.zeros((len(u), P + 1, P + 1))
        K[:, :P, :P] = np.where(stuck[:, :, None] | stuck[:, None, :], 0.0, H)
        at = np.arange(P)
        K[:, at, at] = np.where(stuck, d, d * (1 + damping[:, None]) + 1e-14 * d.max(-1, keepdims=True))
        K[:, :P, P] = K[:, P, :P] = np.where(stuck, 0.0, g)
        right = np.concatenate([-np.where(stuck, 0.0, pull), miss[:, None]], 1)
        out = _solved(K, right, d)
        leaving = ((u <= low) & (out[:, :P] < 0)) | ((u >= high) & (out[:, :P] > 0))
        if not leaving.any():
            break
        stuck = leaving
    return out[:, :P], out[:, P]


def _solved(K: np.ndarray, right: np.ndarray, d: np.ndarray) -> np.ndarray:
    """K⁻¹ right (R, P + 1), rows and columns of very unlike size scaled by the curvature d first."""
    P = d.shape[1]
    bad = ~(np.isfinite(K).all((1, 2)) & np.isfinite(right).all(1))
    K[bad], right[bad] = np.eye(P + 1), 0.0
    size = np.concatenate([1 / np.sqrt(d), np.ones((len(d), 1))], 1)
    size[:, P] = 1 / np.maximum(np.linalg.norm(K[:, P, :P] * size[:, :P], axis=-1), 1e-300)
    scaled = K * size[:, :, None] * size[:, None, :]
    scaled[:, P, P] -= 1e-12
    return np.linalg.solve(scaled, (right * size)[..., None])[..., 0] * size

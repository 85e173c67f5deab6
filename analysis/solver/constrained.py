"""Minimises the objective with a quantity of the parameters fixed at a target, for many rows at once.

Key: R rows, P coordinates, n points. u coordinates, r residuals, J ∂r/∂u, H Gauss–Newton matrix, g gradient of the
quantity, K the matrix of the Karush–Kuhn–Tucker system.
"""

from __future__ import annotations

import numpy as np

from analysis.solver.differences import Quantity, central_gradient
from analysis.solver.problem import Problem

MAX_STEPS = 40  # damped Newton steps
TOLERANCE = 1e-7  # relative decrease of the objective in a step below which a row has converged
STEP, FLOOR = 1e-6, 1e-3  # relative step of central differences, and smallest size of a coordinate for it


def minimise_constrained(
    problem: Problem, quantity: Quantity, u_RP: np.ndarray, target_R: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Minimises the objective of each row with its quantity at a target.

    Damped Gauss–Newton method on the Lagrangian. A step is accepted if it lowers the objective plus a penalty on the
    violation of the constraint, with twice the largest previous multiplier as the penalty factor.

    Args:
        problem: The law on points.
        quantity: Function of the coordinates.
        u_RP: Coordinates of the starts.
        target_R: Target of each row.

    Returns:
        Coordinates (R, P), and whether each row reached its target (R,).
    """
    low, high = problem.bounds()
    u, damping, penalty = u_RP.copy(), np.full(len(u_RP), 1e-4), np.zeros(len(u_RP))
    cost, violation = problem.cost(problem.residual(u)), target_R - quantity(u)
    distance, quiet_steps = np.maximum(np.abs(violation), 1e-300), 0
    for _ in range(MAX_STEPS):
        gradient = central_gradient(quantity, u, STEP, FLOOR)
        step, multiplier = _lagrangian_step(problem, u, gradient, violation, damping)
        penalty = np.maximum(penalty, 2 * np.abs(multiplier))
        u_new = np.clip(u + step, low, high)
        cost_new, violation_new = problem.cost(problem.residual(u_new)), target_R - quantity(u_new)
        better = cost_new + penalty * np.abs(violation_new) < cost + penalty * np.abs(violation)
        moving = np.where(better, np.abs(cost_new - cost) > TOLERANCE * cost, damping < 1e3)
        moving |= np.abs(violation) > 1e-6 * distance
        u[better], cost[better], violation[better] = u_new[better], cost_new[better], violation_new[better]
        damping = np.where(better, np.maximum(damping / 10, 1e-12), np.minimum(damping * 10, 1e8))
        quiet_steps = 0 if moving.any() else quiet_steps + 1
        if quiet_steps == 2:
            break
    return u, np.abs(violation) <= 1e-4 * distance


def _lagrangian_step(
    problem: Problem, u: np.ndarray, g: np.ndarray, violation: np.ndarray, damping: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Step (R, P) and multiplier (R,). Coordinates that would leave their bounds are fixed in a second solution.

    g: gradient of the quantity (R, P).
    """
    low, high = problem.bounds()
    P = u.shape[1]
    r, J = problem.residual(u), problem.jacobian(u)
    descent = np.einsum("rpn,rn->rp", J, problem.weights * problem.objective.psi(r))
    H = np.einsum("rpn,rqn->rpq", J * (problem.weights * problem.objective.curvature(r, 1.0))[:, None], J)
    d = np.maximum(np.diagonal(H, axis1=1, axis2=2), 1e-300)
    fixed = np.zeros(u.shape, bool)
    for _ in range(2):
        K = np.zeros((len(u), P + 1, P + 1))
        K[:, :P, :P] = np.where(fixed[:, :, None] | fixed[:, None, :], 0.0, H)
        diagonal = np.arange(P)
        K[:, diagonal, diagonal] = np.where(fixed, d, d * (1 + damping[:, None]) + 1e-14 * d.max(-1, keepdims=True))
        K[:, :P, P] = K[:, P, :P] = np.where(fixed, 0.0, g)
        right = np.concatenate([-np.where(fixed, 0.0, descent), violation[:, None]], 1)
        solution = _solve_scaled(K, right, d)
        leaving = ((u <= low) & (solution[:, :P] < 0)) | ((u >= high) & (solution[:, :P] > 0))
        if not leaving.any():
            break
        fixed = leaving
    return solution[:, :P], solution[:, P]


def _solve_scaled(K: np.ndarray, right: np.ndarray, d: np.ndarray) -> np.ndarray:
    """K⁻¹ right (R, P + 1), after scaling rows and columns by the curvature d (R, P)."""
    P = d.shape[1]
    invalid = ~(np.isfinite(K).all((1, 2)) & np.isfinite(right).all(1))
    K[invalid], right[invalid] = np.eye(P + 1), 0.0
    size = np.concatenate([1 / np.sqrt(d), np.ones((len(d), 1))], 1)
    size[:, P] = 1 / np.maximum(np.linalg.norm(K[:, P, :P] * size[:, :P], axis=-1), 1e-300)
    scaled = K * size[:, :, None] * size[:, None, :]
    scaled[:, P, P] -= 1e-12
    return np.linalg.solve(scaled, (right * size)[..., None])[..., 0] * size

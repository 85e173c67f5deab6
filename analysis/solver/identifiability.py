"""Parameters that the points do not determine: other parameters with the same output at all points.

With two values of D, for example, E, B and β only matter through two losses, and a line of them fits equally well. The
derivatives ∂r/∂u at an optimum are then linearly dependent, so that refits from one optimum do not move along the line:
uncertainty has to be computed from several points of it.

Key: P coordinates, K directions, n points, R equally good optima. u coordinates, r residuals, J ∂r/∂u.
"""

from __future__ import annotations

import numpy as np

from analysis.solver.minimise import minimise
from analysis.solver.problem import Problem
from analysis.solver.projection import project

MIN_SINGULAR = 1e-5  # ratio of singular values of J below which the parameters are not determined
MIN_EFFECT = 1e-6  # share of a direction from which a coordinate takes part in it, above rounding
STARTS = 256  # starts from which equally good optima are searched
SAME_OUTPUT = 0.01  # root mean square difference of outputs relative to the residuals that counts as equally good
SMALLEST = 1e-8  # the same on the link, for residuals that are all 0
LOG_STD = 1.0  # standard deviation of the logarithm of a parameter with one starting value
REAL_STD = 1.0  # the same for a parameter that is not searched in the logarithm, in units of its scale
SPAN = 4.0  # starting values are ± 2 standard deviations from the middle
SEED = 0  # of the starts: equally good optima are a property of the points


def undetermined_directions(problem: Problem, u_P: np.ndarray) -> np.ndarray:
    """Returns the directions in which the output of the law does not change at any point (K, P), none if K is 0.

    Coordinates without any effect at the optimum, such as the exponent of a term that is 0, are left out: a refit
    leaves such an optimum by itself.

    Args:
        problem: The law on points.
        u_P: Coordinates of the optimum.
    """
    J_Pn = problem.jacobian(u_P[None])[0] * np.sqrt(problem.weights)
    size_P = np.linalg.norm(J_Pn, axis=-1)
    used = (size_P > 0) & np.isfinite(size_P)
    if not used.any():
        return np.zeros((0, len(u_P)))
    triangle = np.asarray(np.linalg.qr((J_Pn[used] / size_P[used, None]).T, mode="r"))  # small for any number of points
    vectors, singular, _ = np.linalg.svd(triangle.T)
    values = np.zeros(len(vectors))
    values[: len(singular)] = singular[: len(vectors)]
    null = vectors[:, values < MIN_SINGULAR * singular[0]]
    directions = np.zeros((null.shape[1], len(u_P)))
    directions[:, used] = (null / size_P[used, None]).T
    return directions


def undetermined_names(problem: Problem, u_P: np.ndarray) -> tuple[str, ...]:
    """Returns the coordinates that can change together without a change of the output at any point.

    Args:
        problem: The law on points.
        u_P: Coordinates of the optimum.
    """
    directions = undetermined_directions(problem, u_P)
    effect = np.abs(directions) * np.linalg.norm(problem.jacobian(u_P[None])[0] * np.sqrt(problem.weights), axis=-1)
    takes_part = (effect > MIN_EFFECT).any(0)
    return tuple(name for name, changes in zip(problem.names, takes_part, strict=True) if changes)


def start_spread(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """Returns the middle of the starting values of each nonlinear coordinate (K,), and their standard deviation (K,).

    Args:
        problem: The law on points.
    """
    law, grid = problem.law, problem.start_grid()
    location, scale = np.zeros(len(law.nonlinear)), np.zeros(len(law.nonlinear))
    for i, name in enumerate(law.nonlinear):
        starts = problem.to_coordinate(name, grid[:, i])
        starts = starts[np.isfinite(starts)]
        span = float(np.ptp(starts)) if len(starts) else 0.0
        location[i] = starts.min() + span / 2 if len(starts) else 0.0
        scale[i] = span / SPAN or (LOG_STD if problem.is_log(name) else REAL_STD)
    return location, scale


def equal_optima(problem: Problem, u_P: np.ndarray) -> np.ndarray:
    """Returns optima that fit equally well (R, P), u_P first; only u_P if the points determine the parameters.

    Searches, from draws of the nonlinear coordinates from their priors (`posterior.priors`, the span of the starting
    values of the law), for parameters with the output of the optimum.

    Args:
        problem: The law on points.
        u_P: Coordinates of the optimum.
    """
    if not len(undetermined_directions(problem, u_P)):
        return u_P[None]
    first = len(problem.law.linear)
    location, scale = start_spread(problem)
    normal = np.random.default_rng(SEED).standard_normal((STARTS, len(u_P) - first))
    low, high = (edge[first:] for edge in problem.bounds())
    free = np.clip(location + scale * normal, low, high)
    residual_n = problem.residual(u_P[None])[0]
    exact = problem.with_data(problem.y + residual_n, problem.weights)
    u_RP = minimise(exact, project(exact, free)[0])[0]
    root = np.sqrt(problem.weights)
    tolerance = SAME_OUTPUT * float(np.sqrt(np.mean((residual_n * root) ** 2))) + SMALLEST
    distance = np.sqrt(np.mean((exact.residual(u_RP) * root) ** 2, -1))
    return np.concatenate([u_P[None], u_RP[distance < tolerance]])

"""Variable projection: the objective as a function of the nonlinear parameters, with optimal linear parameters.

Golub and Pereyra (1973) for least squares. Here the inner fit of one to three coefficients allows any objective and
bounds, and is solved by a few iterations for all rows at once.

Key: S rows, K nonlinear coordinates, J linear ones, P = J + K, n points.
"""

from __future__ import annotations

import numpy as np

from analysis.solver.minimise import minimise
from analysis.solver.problem import LinearProblem, Problem

LOG_SPACING = 0.25  # spacing of grid lines in ln(exponent)
LINES = {1: 200, 2: 33}  # number of grid lines of a parameter that is no exponent, by number of nonlinear parameters
MAX_GRID_POINTS = 500  # largest number of points for the evaluation of the grid
MAX_CELLS = 24  # largest number of grid minima that are refined, in order of the objective


def project(problem: Problem, free_SK: np.ndarray, tolerance: float = 1e-3) -> tuple[np.ndarray, np.ndarray]:
    """Minimises over the linear coordinates at given nonlinear coordinates.

    Args:
        problem: The law on points.
        free_SK: Nonlinear coordinates.
        tolerance: Relative decrease of the objective below which a row has converged. A rough value is sufficient to
            compare cells.

    Returns:
        Coordinates (S, P) and objective (S,).
    """
    first, rows, n = len(problem.law.linear), len(free_SK), problem.y.shape[-1]
    u = np.concatenate([np.full((rows, first), problem.output_scale() / max(first, 1)), free_SK], -1)
    with np.errstate(all="ignore"):
        if not first:
            return u, problem.cost(problem.residual(u))
        offset, columns = problem.basis(u)
        low, high = problem.bounds()
        linear = LinearProblem(
            np.stack([np.broadcast_to(column, (rows, n)) for column in columns], 1),
            np.broadcast_to(offset, (rows, n)),
            problem.y,
            problem.weights,
            problem.objective,
            low[:first],
            high[:first],
        )
        u[:, :first], cost = minimise(linear, u[:, :first], iterations=60, tolerance=tolerance)
    return u, cost


def grid_lines(problem: Problem) -> list[np.ndarray] | None:
    """Returns the lines of a grid within the bounds, one array per nonlinear coordinate.

    A power x^-α decreases from 1 as e^(-α·t), t = ln(x / smallest x) ≥ 0. A step of h in ln α changes it by at most
    h·max(α·t·e^(-α·t)) = h/e for all α and ranges of x. With h = 1/4, the distance to the nearest line changes a term
    by at most 5% of its largest value. Lines of other parameters are evenly spaced, without such a guarantee. None for
    more than two nonlinear coordinates or without bounds.
    """
    first = len(problem.law.linear)
    low, high = (edge[first:] for edge in problem.bounds())
    if not 0 < len(low) <= 2 or not np.isfinite([low, high]).all():
        return None
    exponents = {exponent for _, exponent in problem.law.powers.values()}
    lines = []
    for lo, hi, name in zip(low, high, problem.law.nonlinear, strict=True):
        is_exponent = name in exponents and problem.is_log(name)
        lines.append(np.linspace(lo, hi, int(np.ceil((hi - lo) / LOG_SPACING)) + 1 if is_exponent else LINES[len(low)]))
    return lines


def lowest_cells(problem: Problem) -> tuple[np.ndarray, int]:
    """Returns the coordinates (S, P) of the local minima of the grid, lowest first, and the number of cells."""
    lines = grid_lines(problem)
    if lines is None:
        return np.empty((0, len(problem.names))), 0
    n = problem.y.shape[-1]
    sample = problem
    if n > MAX_GRID_POINTS:
        sample = problem.select_points(np.random.default_rng(0).choice(n, MAX_GRID_POINTS, replace=False))
    cells_SK = np.stack([x.ravel() for x in np.meshgrid(*lines, indexing="ij")], -1)
    u, cost = project(sample, cells_SK)
    cost_grid = np.where(np.isfinite(cost), cost, np.inf).reshape([len(x) for x in lines])
    minima = np.flatnonzero(_is_local_minimum(cost_grid))
    minima = minima[np.argsort(cost[minima], kind="stable")][:MAX_CELLS]
    if sample is problem:
        return u[minima], len(cells_SK)
    return problem.coordinates(sample.params(u[minima])), len(cells_SK)


def _is_local_minimum(cost: np.ndarray) -> np.ndarray:
    """Whether each cell is finite and not above any neighbour (also diagonal); only the first of equal cells."""
    padded = np.pad(cost, 1, constant_values=np.inf)
    lowest = np.isfinite(cost)
    for shift in np.ndindex(*(3,) * cost.ndim):
        neighbour = padded[tuple(slice(s, s + length) for s, length in zip(shift, cost.shape, strict=True))]
        lowest &= cost < neighbour if shift < (1,) * cost.ndim else cost <= neighbour
    return lowest.ravel()

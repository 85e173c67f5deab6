"""Variable projection: the objective over the nonlinear parameters alone, the linear ones solved for at each.

Golub and Pereyra (1973) for least squares; here the inner fit is by any objective and within bounds, so it takes a few
steps of its own, on one to three coefficients, for all rows at once.

Key: S rows, K nonlinear coordinates, J linear ones, n points.
"""

from __future__ import annotations

import numpy as np

from analysis.solver.minimise import minimise
from analysis.solver.problem import Inner, Problem

RISE = 0.25  # of ln(exponent) from one line of the grid to the next
LINES = {1: 200, 2: 33}  # of a parameter that is no exponent, by the number of nonlinear parameters
POINTS = 500  # that the grid is laid over; more than these are used from its valleys on
MOST = 24  # valleys that are followed down, the lowest first


def projected(problem: Problem, free_SK: np.ndarray, tolerance: float = 1e-3) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates (S, P) with the linear ones solved for, and the objective (S,), at nonlinear coordinates.

    tolerance: of the objective, relatively, at which a row ends; a rough answer tells cells of the grid apart.
    """
    first, rows, n = len(problem.law.linear), len(free_SK), problem.y.shape[-1]
    u = np.concatenate([np.full((rows, first), problem.typical() / max(first, 1)), free_SK], -1)
    with np.errstate(all="ignore"):
        if not first:
            return u, problem.cost(problem.residual(u))
        beside, columns = problem.columns(u)
        low, high = problem.limits()
        inner = Inner(
            np.stack([np.broadcast_to(x, (rows, n)) for x in columns], 1),
            np.broadcast_to(beside, (rows, n)),
            problem.y,
            problem.weights,
            problem.objective,
            low[:first],
            high[:first],
        )
        u[:, :first], cost = minimise(inner, u[:, :first], iterations=60, tolerance=tolerance)
    return u, cost


def axes(problem: Problem) -> list[np.ndarray] | None:
    """Lines of a grid over the whole box of bounds, one array a nonlinear coordinate; None beyond a plane or if open.

    A power x^-α falls from 1 as e^(-α·t), t = ln(x / least x) ≥ 0. A step of h in ln α changes it by at most
    h·max(α·t·e^(-α·t)) = h/e, whatever α and the range of x: with h = 1/4 no exponent is further from a line than what
    changes its term by 5% of the term's largest value. For a parameter that is no exponent the lines are even, and
    that is not said of it.
    """
    first = len(problem.law.linear)
    low, high = (edge[first:] for edge in problem.limits())
    if not 0 < len(low) <= 2 or not np.isfinite([low, high]).all():
        return None
    exponents = {exponent for _, exponent in problem.law.powers.values()}
    out = []
    for lo, hi, name in zip(low, high, problem.law.nonlinear, strict=True):
        by_rise = name in exponents and problem.is_log(name)
        out.append(np.linspace(lo, hi, int(np.ceil((hi - lo) / RISE)) + 1 if by_rise else LINES[len(low)]))
    return out


def low_cells(problem: Problem) -> tuple[np.ndarray, int]:
    """Coordinates (S, P) of the cells that no neighbour is lower than, lowest first; how many cells the grid has."""
    lines = axes(problem)
    if lines is None:
        return np.empty((0, len(problem.names))), 0
    n = problem.y.shape[-1]
    some = problem if n <= POINTS else problem.points(np.random.default_rng(0).choice(n, POINTS, replace=False))
    mesh = np.stack([x.ravel() for x in np.meshgrid(*lines, indexing="ij")], -1)
    u, cost = projected(some, mesh)
    at = np.flatnonzero(_lowest(np.where(np.isfinite(cost), cost, np.inf).reshape([len(x) for x in lines])))
    at = at[np.argsort(cost[at], kind="stable")][:MOST]
    return u[at] if some is problem else problem.coordinates(some.params(u[at])), len(mesh)


def _lowest(cost: np.ndarray) -> np.ndarray:
    """Whether a cell is finite and no neighbour, diagonal ones among them, is lower; of equal ones the first."""
    padded = np.pad(cost, 1, constant_values=np.inf)
    keep = np.isfinite(cost)
    for step in np.ndindex(*(3,) * cost.ndim):
        beside = padded[tuple(slice(s, s + length) for s, length in zip(step, cost.shape, strict=True))]
        keep &= cost < beside if step < (1,) * cost.ndim else cost <= beside
    return keep.ravel()

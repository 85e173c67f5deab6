"""The search for the lowest objective, from the law's starts and, with up to two nonlinear parameters, from a grid.

Key: S starts, P coordinates, n points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.errors import FitError
from analysis.solver import local_minima
from analysis.solver.minimise import minimise, minimise_absolute_deviations, polish
from analysis.solver.problem import Problem
from analysis.solver.projection import lowest_cells

MAX_SAMPLE = 4000  # points that the starts are searched on; all points count from the best start on


@dataclass(frozen=True)
class Solution:
    """The lowest minimum that a search reached.

    Attributes:
        u_P: Coordinates, to the last digits.
        starts: "tried" and "agreed" count the law's starts (agreed is 0 where only the grid reached the minimum);
            "cells" is the size of the grid, where there was one.
        other_minima: Coordinates of other minima that are as good as noise can tell, the lowest first.
    """

    u_P: np.ndarray
    starts: dict[str, int]
    other_minima: list[np.ndarray]


def search(problem: Problem, find_others: bool = True) -> Solution:
    """Searches for the lowest objective.

    Args:
        problem: The law on points.
        find_others: Whether to look for other minima.

    Raises:
        FitError: No start gives the law a finite value on these points.
    """
    starts = _starts(problem)
    if problem.law.local_only:
        return _nearest(problem, starts)
    n = problem.y.shape[-1]
    # A sample is enough to tell which minimum is the lowest; all points then determine where it is.
    sample = problem
    if n > MAX_SAMPLE:
        sample = problem.select_points(np.random.default_rng(0).choice(n, MAX_SAMPLE, replace=False))
    cells, cell_count = lowest_cells(sample)
    u_SP, cost = minimise(sample, np.concatenate([starts, cells]))
    best = _lowest(cost)
    u = u_SP[best]
    if sample is not problem:
        u = minimise(problem, problem.coordinates(sample.params(u[None])))[0][0]
    u = polish(problem, u)
    if problem.objective.smooth is not None:
        u = minimise_absolute_deviations(problem, u)
    # Noiseless points end at rounding error, where no two objectives are equal.
    floor = 1e-14 * np.sum(sample.weights) * (problem.objective.threshold or 1.0)
    agreed = int(np.sum(cost[: len(starts)] <= cost[best] * (1 + 1e-4) + floor))
    counts = {"tried": len(starts), "agreed": agreed} | ({"cells": cell_count} if cell_count else {})
    comparable = find_others and sample is problem and problem.objective.smooth is None
    return Solution(u, counts, local_minima.find_others(problem, u_SP, cost, u) if comparable else [])


def _nearest(problem: Problem, starts_SP: np.ndarray) -> Solution:
    """The lowest of the minima that the starts lie next to, for a law that is searched downhill from its starts."""
    u_SP = local_minima.descend_from(problem, starts_SP)
    cost = problem.cost(problem.residual(u_SP))
    u = local_minima.refine(problem, u_SP[_lowest(cost)])
    lowest = problem.cost(problem.residual(u[None]))[0]
    agreed = int(np.sum(cost <= lowest * (1 + 1e-4) + 1e-14 * np.sum(problem.weights)))
    counts = {"tried": len(starts_SP), "agreed": agreed}
    return Solution(u, counts, local_minima.find_others(problem, u_SP, cost, u))


def _lowest(cost_S: np.ndarray) -> int:
    if not np.isfinite(cost_S).any():
        raise FitError("no start gives the law a finite value on these points")
    return int(np.nanargmin(cost_S))


def _starts(problem: Problem) -> np.ndarray:
    """Coordinates of the law's starts (S, P), the output shared evenly between its linear parameters."""
    grid, first = problem.start_grid(), len(problem.law.linear)
    u_SP = np.full((len(grid), len(problem.names)), problem.output_scale() / max(first, 1))
    for i, name in enumerate(problem.law.nonlinear):
        u_SP[:, first + i] = np.log(grid[:, i]) if problem.is_log(name) else grid[:, i]
    return u_SP

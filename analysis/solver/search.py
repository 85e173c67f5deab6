"""The search for the lowest objective: the law's starts, and where the law is a plane or less a grid over all of it.

Key: P parameters, n points.
"""

from __future__ import annotations

import numpy as np

from analysis.errors import FitError
from analysis.solver import local_minima
from analysis.solver.minimise import minimise, polish, vertex
from analysis.solver.problem import Problem
from analysis.solver.projection import low_cells

SAMPLE = 4000  # points that the starts are searched on; more than these are used from the best start on


def search(problem: Problem, others: bool = True) -> tuple[np.ndarray, dict[str, int], list[np.ndarray]]:
    """The best coordinates (P,), to the last digits; how many starts agree; `others`: the other minima.

    tried and agreed are of the law's starts: a valley that the grid finds and no start does leaves agreed at 0. cells
    is the size of the grid, where there was one.
    """
    starts = _starts(problem)
    if problem.law.near:
        return local_minima.nearest(problem, starts)
    n = problem.y.shape[-1]
    # Which valley is the lowest, a sample tells as well; all points then say where its floor is.
    sample = problem if n <= SAMPLE else problem.points(np.random.default_rng(0).choice(n, SAMPLE, replace=False))
    low, cells = low_cells(sample)
    found, cost = minimise(sample, np.concatenate([starts, low]))
    if not np.isfinite(cost).any():
        raise FitError("no start gives the law a finite value on these points")
    best = int(np.nanargmin(cost))
    u = found[best]
    if sample is not problem:
        u = minimise(problem, problem.coordinates(sample.params(u[None])))[0][0]
    u = polish(problem, u)
    if problem.objective.smooth is not None:
        u = vertex(problem, u)
    # Noiseless points end at rounding error, where no two objectives are equal.
    floor = 1e-14 * np.sum(sample.weights) * (problem.objective.turn or 1.0)
    agreed = int(np.sum(cost[: len(starts)] <= cost[best] * (1 + 1e-4) + floor))
    tried = {"tried": len(starts), "agreed": agreed} | ({"cells": cells} if cells else {})
    whole = others and sample is problem and problem.objective.smooth is None
    return u, tried, local_minima.others(problem, found, cost, u) if whole else []


def _starts(problem: Problem) -> np.ndarray:
    """Coordinates to begin from (S, P): the law's own, its linear part shared evenly."""
    grid, first = problem.grid(), len(problem.law.linear)
    out = np.full((len(grid), len(problem.names)), problem.typical() / max(first, 1))
    for i, name in enumerate(problem.law.nonlinear):
        out[:, first + i] = np.log(grid[:, i]) if problem.is_log(name) else grid[:, i]
    return out

"""Searches for the global minimum of the objective, from the starts of the law and from a grid.

Key: S starts, P coordinates, n points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.errors import DataError, FitError, code_location
from analysis.laws.law import Law
from analysis.solver import local_minima
from analysis.solver.minimise import minimise, minimise_absolute_deviations, polish
from analysis.solver.problem import Problem
from analysis.solver.projection import lowest_cells
from scaling.config.user_code import is_user_code

# Stages of a search for one minimum only: steps of all starts, and number of the lowest that go on.
STAGES = ((40, 20), (60, 8))
MAX_SAMPLE = 4000  # largest number of points for the search; the best minimum is then refined on all points


@dataclass(frozen=True)
class Solution:
    """The lowest minimum of a search.

    Attributes:
        u_P: Coordinates of the minimum.
        starts: Number of starts "tried" and "agreed" (0 if only the grid reached the minimum), and number of "cells"
            of the grid if there is one.
        other_minima: Coordinates of other minima that are as good within noise, in order of the objective.
    """

    u_P: np.ndarray
    starts: dict[str, int]
    other_minima: list[np.ndarray]


def search(problem: Problem, find_others: bool = True) -> Solution:
    """Searches for the global minimum of the objective.

    Args:
        problem: The law on points.
        find_others: Whether to search for other minima and to count the starts that agree. Without, only the starts
            with the lowest objective are minimised to the end (STAGES).

    Raises:
        FitError: No start gives the law a finite value on these points.
        DataError: The same, of a user's law.
    """
    starts = _starts(problem)
    if problem.law.local_only:
        return _nearest(problem, starts)
    n = problem.y.shape[-1]
    # A sample is sufficient to select the lowest minimum, which is then refined on all points.
    sample = problem
    if n > MAX_SAMPLE:
        sample = problem.select_points(np.random.default_rng(0).choice(n, MAX_SAMPLE, replace=False))
    cells, cell_count = lowest_cells(sample)
    u_SP = np.concatenate([starts, cells])
    if not find_others:
        for steps, kept in STAGES:
            u_SP, cost = minimise(sample, u_SP, steps)
            u_SP = u_SP[np.argsort(np.where(np.isnan(cost), np.inf, cost), kind="stable")[:kept]]
        starts = u_SP
    u_SP, cost = minimise(sample, u_SP)
    best = _lowest(cost, problem.law)
    u = u_SP[best]
    if sample is not problem:
        u = minimise(problem, problem.coordinates(sample.params(u[None])))[0][0]
    u = polish(problem, u)
    if problem.objective.smooth is not None:
        u = minimise_absolute_deviations(problem, u)
    if find_others and sample is problem and problem.objective.smooth is None:
        minima = local_minima.distinct_minima(problem, u_SP, cost, u, best)
    else:
        minima = [local_minima.Minimum(u, float(cost[best]), best)]
    counts = _count_agreed(sample, u_SP[: len(starts)], cost[: len(starts)], minima[0])
    return _solution(problem, minima, counts | ({"cells": cell_count} if cell_count else {}))


def _nearest(problem: Problem, starts_SP: np.ndarray) -> Solution:
    """The lowest of the local minima next to the starts, for laws with `local_only`."""
    u_SP = local_minima.descend_from(problem, starts_SP)
    cost = problem.cost(problem.residual(u_SP))
    best = _lowest(cost, problem.law)
    u = local_minima.refine(problem, u_SP[best][None])[0]
    minima = local_minima.distinct_minima(problem, u_SP, cost, u, best)
    return _solution(problem, minima, _count_agreed(problem, u_SP, cost, minima[0]))


def _solution(problem: Problem, minima: list[local_minima.Minimum], counts: dict[str, int]) -> Solution:
    """The lowest minimum and the others, with exchangeable parameters in order."""
    first, *others = (local_minima.in_order(problem, minimum.u_P) for minimum in minima)
    return Solution(first, counts, others)


def _count_agreed(
    problem: Problem, u_SP: np.ndarray, cost_S: np.ndarray, lowest: local_minima.Minimum
) -> dict[str, int]:
    """Number of starts, and number of those that reached the lowest minimum, before or after refinement."""
    # For noiseless points, objectives are rounding errors, which are never equal.
    floor = 1e-14 * np.sum(problem.weights) * (problem.objective.threshold or 1.0)
    agreed = cost_S <= lowest.cost * (1 + 1e-4) + floor
    if lowest.start < len(u_SP):  # a later index is a cell of the grid
        agreed |= local_minima.are_same(u_SP, u_SP[lowest.start])
    return {"tried": len(u_SP), "agreed": int(np.sum(agreed))}


def _lowest(cost_S: np.ndarray, law: Law) -> int:
    if not np.isfinite(cost_S).any():
        raise _no_finite_value(law)
    return int(np.nanargmin(cost_S))


def _no_finite_value(law: Law) -> DataError | FitError:
    """The error of a law without a finite value; of a user's law it is in the file."""
    reason = "no start gives the law a finite value on these points"
    if is_user_code(law.function):
        return DataError(f"{code_location(law.function)}: {reason}: check what it returns, or change the starts")
    return FitError(reason)


def _starts(problem: Problem) -> np.ndarray:
    """Coordinates of the starts of the law (S, P), with equal contributions of all linear parameters to the output."""
    grid, first = problem.start_grid(), len(problem.law.linear)
    u_SP = np.full((len(grid), len(problem.names)), problem.output_scale() / max(first, 1))
    for i, name in enumerate(problem.law.nonlinear):
        u_SP[:, first + i] = problem.to_coordinate(name, grid[:, i])
    return u_SP

"""Inputs without an effect: whether a law explains the output better than the same law without one of its inputs.

The law is fitted again with each input set to its mean, and an F test compares the residuals of both fits. A law of one
input is compared with a constant. Negative controls such as shuffled inputs or a random loss do not pass the test.

Key: P coordinates, n points. u coordinates, r residuals, J ∂r/∂u, F the statistic.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.special import fdtrc, stdtr

from analysis.data.points import Points
from analysis.format import signed
from analysis.solver.minimise import minimise
from analysis.solver.problem import Problem
from analysis.solver.robust import robust_std
from analysis.uncertainty.verdicts import warning

CHANCE = 1e-3  # largest p-value of an input that has an effect
CLIP = 3.0  # robust standard deviations at which residuals are clipped
EXACT = 1e-9  # residuals below this share of the output are rounding errors
EXTRA_STARTS = 4  # number of starts of the law for the fit without an input, in addition to the optimum
RANK = 1e-7  # ratio of singular values below which a direction has no effect on the residuals


def check_inputs(problem: Problem, u_P: np.ndarray, points: Points) -> list[str]:
    """Warns of inputs without which the law fits as well.

    Args:
        problem: The law on points.
        u_P: Coordinates of the optimum.
        points: The points.
    """
    law = problem.law
    if law.labels:  # rows of curves, whose inputs define a schedule together
        return []
    p_values = {letter: input_p_value(problem, u_P, points, letter) for letter in law.inputs}
    weak = [f"{letter} (p = {p:.2g})" for letter, p in p_values.items() if p > CHANCE]
    if not weak:
        return []
    output = "loss" if law.output == "L" else law.output
    simpler = "a constant" if len(law.inputs) == 1 else f"the law without {'either' if len(weak) > 1 else 'it'}"
    sentence = f"these points do not show that the {output} depends on {' or '.join(weak)}"
    return [warning("no-effect", f"{sentence}: {simpler} does not fit significantly worse")]


def check_frontier(points: Points, letter: str) -> list[str]:
    """Warns if the loss of all runs does not fall with the input along which the efficient frontier is fitted.

    The losses of a frontier always fall, even if those of the runs are random.

    Args:
        points: All points.
        letter: The input.
    """
    if len(points) < 4 or not (np.isfinite(points[letter]) & np.isfinite(points.L)).all():
        return []
    constant = np.ptp(points[letter]) == 0 or np.ptp(points.L) == 0
    rank, p = (0.0, 1.0) if constant else _rank_correlation(points[letter], points.L)
    if p <= CHANCE:
        return []
    sentence = f"the loss of the {len(points)} runs does not fall with {letter} (rank correlation {signed(rank, '.2f')}"
    return [warning("no-effect", f"{sentence}, p = {p:.2g}), only that of their frontier, as any frontier does")]


def _rank_correlation(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Spearman's rank correlation and the p-value of a negative one by Student's t with n - 2 degrees of freedom."""
    rank = float(np.corrcoef(pd.Series(x).rank(), pd.Series(y).rank())[0, 1])
    dof = len(x) - 2
    with np.errstate(divide="ignore"):  # a perfect correlation
        t = rank * np.sqrt(dof / ((1 + rank) * (1 - rank))) if abs(rank) < 1 else np.sign(rank) * np.inf
    return rank, float(stdtr(dof, t))


def input_p_value(problem: Problem, u_P: np.ndarray, points: Points, letter: str) -> float:
    """Returns the p-value of the F test of one input; 0 for points without noise.

    Args:
        problem: The law on points.
        u_P: Coordinates of the optimum.
        points: The points. Rows of one run count as one observation.
        letter: The input.
    """
    rss, rank, scale = _squares(problem, u_P)
    if scale < EXACT * max(float(np.abs(problem.y).mean()), 1e-300):
        return 0.0
    n = len(problem.y)
    if len(problem.law.inputs) == 1:
        rss_without, rank_without = _squares_of_constant(problem)
    else:
        without = _without_input(problem, letter)
        rss_without, rank_without, _ = _squares(without, _minimum_without(without, problem, u_P))
    count = n if points.runs is None else len(set(points.runs))
    extra, dof = rank - rank_without, count - rank
    if extra <= 0 or dof <= 0 or not np.isfinite(rss_without):
        return 0.0
    F = (rss_without - rss) / extra / max(rss / (n - rank), 1e-300) * count / n
    return float(fdtrc(extra, dof, max(F, 0.0)))


def _squares(problem: Problem, u_P: np.ndarray) -> tuple[float, int, float]:
    """Sum of squared residuals after a step of least squares, rank of J, and robust scale of the residuals."""
    root = np.sqrt(problem.weights)
    r, J = problem.residual(u_P[None])[0] * root, (problem.jacobian(u_P[None])[0] * root).T
    if not (np.isfinite(r).all() and np.isfinite(J).all()):
        return np.inf, 0, np.inf
    scale = robust_std(r)
    clipped = np.clip(r, -CLIP * scale, CLIP * scale)
    basis, s, _ = np.linalg.svd(J / np.maximum(np.linalg.norm(J, axis=0), 1e-300), full_matrices=False)
    Q = basis[:, s > RANK * s[0]]
    return float(clipped @ clipped - np.sum((Q.T @ clipped) ** 2)), Q.shape[1], scale


def _squares_of_constant(problem: Problem) -> tuple[float, int]:
    root = np.sqrt(problem.weights)
    r = (problem.y - np.median(problem.y)) * root
    scale = robust_std(r)
    clipped = np.clip(r, -CLIP * scale, CLIP * scale)
    return float(clipped @ clipped - (clipped @ root) ** 2 / (root @ root)), 1


def _without_input(problem: Problem, letter: str) -> Problem:
    """The problem with an input set to its geometric mean, or its mean if it can be negative."""
    inputs = []
    for name, x in zip(problem.law.inputs, problem.inputs, strict=True):
        mean = np.exp(np.log(x).mean()) if x.min() > 0 else x.mean()
        inputs.append(np.full(len(x), mean) if name == letter else x)
    return replace(problem, inputs=tuple(inputs))


def _minimum_without(without: Problem, problem: Problem, u_P: np.ndarray) -> np.ndarray:
    """Coordinates of the minimum without an input, from the optimum with it and from some starts of the law."""
    first = len(problem.law.linear)
    start = without.coordinates(problem.params(u_P[None]))
    grid = problem.start_grid()
    grid = grid[np.linspace(0, len(grid) - 1, min(EXTRA_STARTS, len(grid))).round().astype(int)]
    starts = np.tile(start, (len(grid) + 1, 1))
    for i, name in enumerate(problem.law.nonlinear):
        starts[1:, first + i] = problem.to_coordinate(name, grid[:, i])
    if first:
        starts[1:, :first] = problem.output_scale() / first
    u_SP, cost = minimise(without, starts, iterations=100, tolerance=1e-8)
    return np.asarray(u_SP[int(np.argmin(np.where(np.isfinite(cost), cost, np.inf)))])

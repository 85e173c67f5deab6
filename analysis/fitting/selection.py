"""Selects the points that a law is fitted to, and checks that they determine the law.

Key: N parameters, D tokens, C FLOPs, L nats per token; P coordinates, n points. u coordinates, r residuals, J ∂r/∂u.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import isotonic_regression

from analysis.data.points import Points
from analysis.errors import FitError
from analysis.laws.law import Law
from analysis.solver.problem import Problem

MAX_NOISE = 0.015  # largest standard deviation of ln L about a falling curve that can be noise
MAX_SCATTER = 0.02  # largest share of the variance of ln L about a falling curve, if no two runs have the same x
MAX_SHARED_SCATTER = 0.001  # the same if runs have the same x: scatter of seeds, which is smaller than that of sizes
SAME_X = 0.02  # relative difference of x up to which runs count as one on the frontier
MIN_SPREAD = 0.05  # smallest relative spread of an input
MIN_BUDGET_RATIO = 1.3  # smallest ratio of the largest to the smallest C, for a law with an optimum
VANISHED = 0.1  # a term has vanished if it varies by less than this share of the median residual


def select_points(points: Points, law: Law, name: str) -> tuple[Points, tuple[str, ...]]:
    """Returns the points that a law is fitted to, and notes on the selection.

    Args:
        points: All points.
        law: The law. A law with `on_frontier` is fitted only to the efficient frontier.
        name: Name of the law for messages.

    Raises:
        FitError: The points lack an input or the output, or the loss does not fall with the input.
    """
    missing = [letter for letter in (*law.inputs, law.output) if not np.isfinite(points[letter]).all()]
    if missing:
        raise FitError(f"{name} needs {', '.join(missing)}, which {points.source} does not have")
    if not law.on_frontier:
        return points, ()
    letter = law.inputs[0]
    rows = rows_of_input(points[letter], points.L)
    if len(rows) == len(points):
        note = f"{name} is fitted to all {len(points)} runs: their losses fall along one curve in {letter}"
        return points, (note,) if len(efficient_frontier(points[letter], points.L)) < len(points) else ()
    if len(rows) <= len(law.parameters) and np.polyfit(np.log(points[letter]), points.L, 1)[0] >= 0:
        raise FitError(f"{name}: the loss does not fall with {letter} in these points")
    note = (
        f"{name} is fitted to the frontier: {len(rows)} of {len(points)} runs, with a lower loss than all runs with "
        f"less {letter}"
    )
    return points.select(rows), (note,)


def rows_of_input(x: np.ndarray, L: np.ndarray) -> np.ndarray:
    """Returns the indices of the runs that a law of one input is fitted to.

    These are all runs if their losses fall along one curve in the input, else the efficient frontier.

    Args:
        x: The input (n,).
        L: Loss (n,).
    """
    return np.arange(len(x)) if _are_on_one_curve(x, L) else efficient_frontier(x, L)


def _are_on_one_curve(x: np.ndarray, L: np.ndarray) -> bool:
    """Whether the losses fall along one curve in x up to noise, by an isotonic regression of ln L (n,) on x (n,).

    It depends on x and L alone, so that further columns of a source do not change which runs a law is fitted to.
    """
    order = np.argsort(x, kind="stable")
    x, ln_L = x[order], np.log(L[order])
    shared = bool((x[1:] <= x[:-1] * (1 + SAME_X)).any())
    scatter = np.mean((ln_L - isotonic_regression(ln_L, increasing=False).x) ** 2)
    share = MAX_SHARED_SCATTER if shared else MAX_SCATTER
    return bool(scatter <= min(MAX_NOISE**2, share * np.var(ln_L)))


def efficient_frontier(x: np.ndarray, L: np.ndarray, tolerance: float = SAME_X) -> np.ndarray:
    """Returns the indices of the runs with a lower loss than every run with less x, in order of x.

    Args:
        x: Compute, or another input (n,).
        L: Loss (n,).
        tolerance: Relative difference of x up to which runs count as one.
    """
    rows: list[int] = []
    for row in np.lexsort((L, x)):
        if rows and x[row] <= x[rows[-1]] * (1 + tolerance):
            if L[row] < L[rows[-1]]:
                rows[-1] = int(row)
        elif not rows or L[row] < L[rows[-1]]:
            rows.append(int(row))
    return np.array(rows)


def check_points(points: Points, law: Law, name: str, notes: tuple[str, ...], constrained: bool = False) -> None:
    """Checks that there are enough points and that the inputs of the law vary.

    Args:
        points: Selected points.
        law: The law without its constrained parameters.
        name: Name of the law for messages.
        notes: Notes of `select_points`.
        constrained: Whether parameters are fixed or tied. Inputs then need not vary, because no free parameter may
            depend on them.

    Raises:
        FitError: There are too few points, an input does not vary, or the loss does not decrease.
    """
    n, p = len(points), len(law.parameters)
    if n <= p and notes:
        raise FitError(f"{notes[0]}: too few for {p} parameters: the loss hardly falls with {law.inputs[0]}")
    if n <= p:
        raise FitError(f"{name} has {p} parameters and there are {n} points: at least {p + 1} are needed")
    for letter in law.inputs:
        x = points[letter]
        if np.ptp(x) < MIN_SPREAD * np.abs(x).max() and not constrained:
            raise FitError(f"{name}: all points have the same {letter} (within {MIN_SPREAD:.0%}): vary it")
        if law.on_frontier and np.polyfit(np.log(x), points.L, 1)[0] >= 0:
            raise FitError(f"{name}: the loss does not fall with {letter} in these points")
    if law.optimum is not None and np.isfinite(points.C).all() and points.C.max() < MIN_BUDGET_RATIO * points.C.min():
        raise FitError(
            f"{name}: all points are at one budget (C within {MIN_BUDGET_RATIO - 1:.0%}): train more budgets"
        )


def check_decrease(problem: Problem, u_P: np.ndarray, name: str) -> None:
    """Checks that the output decreases with the inputs with which the law must decrease.

    Args:
        problem: The law on points.
        u_P: Coordinates of the optimum.
        name: Name of the law for messages.

    Raises:
        FitError: The term of an input has vanished.
    """
    r = problem.residual(u_P[None])[0]
    threshold = VANISHED * np.median(np.abs(r)) + 1e-12
    # Measured in units of the output, because the relative share of a law's only term is constant.
    scale = 1 / problem.objective.link_derivative(problem.model(u_P[None])[0])
    J = problem.jacobian(u_P[None])[0] * (scale / scale.mean())
    for parameter, (letter, _) in problem.law.powers.items():
        p = problem.names.index(parameter)
        if np.ptp(u_P[p] * J[p]) <= threshold:
            raise FitError(f"{name}: the loss does not fall with {letter} in these points (the best {parameter} is 0)")
    for letter in problem.law.decreasing_in:
        if _decrease(problem, u_P, letter) <= threshold:
            output = "loss" if problem.law.output == "L" else problem.law.output
            raise FitError(f"{name}: the {output} does not fall with {letter} in these points")


def _decrease(problem: Problem, u_P: np.ndarray, letter: str) -> float:
    """Decrease of the output on the scale of the link over the range of an input, with other inputs at the median."""
    law = problem.law
    ends = [
        np.array([x.min(), x.max()]) if name == letter else np.full(2, np.median(x))
        for name, x in zip(law.inputs, problem.inputs, strict=True)
    ]
    params = {name: value[:, None] for name, value in problem.params(u_P[None]).items()}
    first, last = problem.objective.transform(np.asarray(law.function(*ends, **params))[0])
    return float(first - last)

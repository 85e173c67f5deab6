"""Rows whose errors are correlated, because they are checkpoints of one run: a run counts as one observation in tests.

Key: K runs, P coordinates, n points. u coordinates, r residuals, J ∂r/∂u.
"""

from __future__ import annotations

import numpy as np

from analysis.data.points import Points
from analysis.solver.problem import Problem
from analysis.uncertainty.verdicts import warning


def run_labels(points: Points) -> np.ndarray:
    """Returns the run of each point (n,) as integers from 0."""
    if points.runs is None:
        return np.arange(len(points))
    return np.asarray(np.unique(np.array(points.runs), return_inverse=True)[1])


def mean_by_run(values_n: np.ndarray, labels_n: np.ndarray) -> np.ndarray:
    """Returns the mean of values over the rows of each run (K, ...).

    Args:
        values_n: Values (n, ...).
        labels_n: Run of each row (n,), as from `run_labels`.
    """
    totals = np.zeros((int(labels_n.max()) + 1, *values_n.shape[1:]))
    np.add.at(totals, labels_n, values_n)
    return totals / np.bincount(labels_n).reshape(-1, *(1,) * (values_n.ndim - 1))


def linearised_runs(problem: Problem, u_P: np.ndarray, points: Points) -> tuple[np.ndarray, np.ndarray]:
    """Returns the weighted residuals (K,) and their derivatives (K, P), averaged over the rows of each run.

    Args:
        problem: The law on points.
        u_P: Coordinates of the optimum.
        points: The points.
    """
    root = np.sqrt(problem.weights)
    r, J = problem.residual(u_P[None])[0] * root, (problem.jacobian(u_P[None])[0] * root).T
    if points.runs is None:
        return r, J
    labels_n = run_labels(points)
    return mean_by_run(r, labels_n), mean_by_run(J, labels_n)


def check_runs(points: Points, resampling: str) -> list[str]:
    """Warns of rows of one run that the bootstrap takes as independent.

    Args:
        points: The points.
        resampling: Bootstrap scheme, or "profile" for intervals by profile likelihood.
    """
    if points.runs is None or resampling in ("runs", "groups"):
        return []
    method = "profile likelihood" if resampling == "profile" else f"the bootstrap of {resampling}"
    sentence = (
        f"{len(points)} rows are of {len(set(points.runs))} runs, and {method} takes rows as independent: the "
        "intervals are too narrow"
    )
    return [warning("correlated-points", sentence)]

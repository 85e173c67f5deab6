"""Influential points: refits without each part of the points.

Key: K parts, P coordinates, n points. u coordinates, r residuals, J ∂r/∂u, H Hessian of the objective.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import fdtrc

from analysis.data.points import Points, group_by_budget
from analysis.solver.minimise import hessian, minimise
from analysis.solver.problem import Problem
from analysis.uncertainty.resampling import bootstrap, clusters
from analysis.uncertainty.verdicts import warning

CHANCE = 0.01  # probability of a false warning
MIN_PARTS, MAX_PARTS = 3, 40  # numbers of budgets or groups for which they are the parts, else tenths
TENTHS, MIN_TENTH = 10, 3  # number of parts along C, and smallest number of runs of a part
EXACT = 1e-9  # residuals below this share of the output are rounding errors


@dataclass(frozen=True)
class Refit:
    """The law fitted without one part of the points.

    Attributes:
        omitted: Name of the omitted part.
        points: Number of remaining points.
        params: Parameters of the refit.
        p: p-value of the deviation of the part from the law of the others (Chow 1960).
    """

    omitted: str
    points: int
    params: dict[str, float]
    p: float

    def to_json(self) -> dict[str, Any]:
        """Returns the fields in types of JSON."""
        return {"without": self.omitted, "points": self.points, "params": self.params, "p": self.p}


def partition(points: Points, letter: str) -> list[tuple[str, np.ndarray]]:
    """Splits the points into budgets, else groups, else tenths along C; checkpoints into runs, else tenths of the runs.

    Args:
        points: The points.
        letter: Input for tenths if C is not known.

    Returns:
        Name and indices of each part; empty for fewer than three parts.
    """

    def fits(parts: list[tuple[str, np.ndarray]]) -> bool:
        return MIN_PARTS <= len(parts) <= MAX_PARTS

    parts: list[tuple[str, np.ndarray]] = []
    if points.runs is not None:
        parts = _partition_runs(points, letter)
        return parts if fits(parts) else []
    if points.budgets is not None:
        parts = [(f"budget {key:.3g}", rows) for key, rows in group_by_budget(points)]
    if not fits(parts) and points.groups is not None:
        groups = np.array(points.groups)
        parts = [(f"group {name}", np.flatnonzero(groups == name)) for name in np.unique(groups)]
    if not fits(parts):
        x, axis = _axis(points, letter)
        parts = [(f"{axis} {x[rows].min():.3g} to {x[rows].max():.3g}", rows) for rows in _tenths(x)]
    return parts if fits(parts) else []


def _axis(points: Points, letter: str) -> tuple[np.ndarray, str]:
    """C and its name, or the input `letter` if C is not known."""
    return (points.C, "C") if np.isfinite(points.C).all() else (points[letter], letter)


def _tenths(x: np.ndarray) -> list[np.ndarray]:
    """Indices of tenths along x."""
    order = np.argsort(x, kind="stable")
    return [np.sort(rows) for rows in np.array_split(order, min(TENTHS, len(x) // MIN_TENTH) or 1)]


def _partition_runs(points: Points, letter: str) -> list[tuple[str, np.ndarray]]:
    """Splits checkpoints into their runs, or into tenths of many runs by their mean C."""
    assert points.runs is not None
    labels_n = clusters.run_labels(points)
    names = np.unique(np.array(points.runs))
    if len(names) <= MAX_PARTS:
        return [(f"run {name}", np.flatnonzero(labels_n == k)) for k, name in enumerate(names)]
    x, axis = _axis(points, letter)
    mean_K = clusters.mean_by_run(x, labels_n)
    return [
        (
            f"runs of mean {axis} {mean_K[runs].min():.3g} to {mean_K[runs].max():.3g}",
            np.flatnonzero(np.isin(labels_n, runs)),
        )
        for runs in _tenths(mean_K)
    ]


def refit_without_parts(problem: Problem, u_P: np.ndarray, points: Points) -> tuple[Refit, ...]:
    """Refits the law without each part, starting from its optimum. Parts with too few remaining points are skipped.

    Args:
        problem: The law on points.
        u_P: Coordinates of the optimum.
        points: The points.
    """
    P, n = len(u_P), len(points)
    parts = [(name, rows) for name, rows in partition(points, problem.law.inputs[0]) if n - len(rows) > P]
    if not parts:
        return ()
    omitted = [rows for _, rows in parts]
    u_KP = (_newton_refits if n > bootstrap.MAX_REFITTED else _refits)(problem, u_P, omitted)
    params = problem.params(u_KP)
    labels_n = clusters.run_labels(points)
    r, J = clusters.linearised_runs(problem, u_P, points)
    p_values = _chow_p_values(problem, r, J, [np.unique(labels_n[rows]) for rows in omitted])
    return tuple(
        Refit(name, n - len(rows), {key: float(value_K[k]) for key, value_K in params.items()}, p)
        for k, ((name, rows), p) in enumerate(zip(parts, p_values, strict=True))
    )


def check_influence(refits: tuple[Refit, ...], intervals: dict[str, tuple[float, float]], level: float) -> list[str]:
    """Warns of parts whose omission moves a parameter out of its interval by more than chance explains.

    Args:
        refits: Result of `refit_without_parts`.
        intervals: Interval of each parameter.
        level: Coverage of the intervals.
    """
    warnings = []
    for refit in refits:
        if refit.p * len(refits) >= CHANCE:  # Bonferroni correction for the number of parts
            continue
        moves = [
            f"{name} to {value:.4g}"
            for name, value in refit.params.items()
            if name in intervals and not intervals[name][0] <= value <= intervals[name][1]
        ]
        if moves:
            sentence = f"dropping {refit.omitted} moves {', '.join(moves)}: outside the {level:.0%} interval"
            warnings.append(warning("influential-points", f"{sentence} (p = {refit.p:.1g})"))
    return warnings


def _refits(problem: Problem, u_P: np.ndarray, omitted: list[np.ndarray]) -> np.ndarray:
    """Coordinates (K, P) without each part."""
    weights = np.tile(problem.weights, (len(omitted), 1))
    for k, rows in enumerate(omitted):
        weights[k, rows] = 0.0
    return minimise(problem.with_data(problem.y, weights), np.tile(u_P, (len(omitted), 1)))[0]


def _newton_refits(problem: Problem, u_P: np.ndarray, omitted: list[np.ndarray]) -> np.ndarray:
    """Coordinates (K, P) without each part by one Newton step, for thousands of points.

    The gradient of the part is removed, and the curvature is reduced by the share of the part in JᵀJ.
    """
    low, high = problem.bounds()
    free = (u_P > low) & (u_P < high)
    J = problem.jacobian(u_P[None])[0][free]
    psi = problem.weights * problem.objective.psi(problem.residual(u_P[None])[0])
    H, squares = hessian(problem, u_P)[np.ix_(free, free)], (J * problem.weights) @ J.T
    u = np.tile(u_P, (len(omitted), 1))
    for k, rows in enumerate(omitted):
        step = np.linalg.lstsq(H, J[:, rows] @ psi[rows], rcond=None)[0]
        rest = squares - (J[:, rows] * problem.weights[rows]) @ J[:, rows].T
        u[k, free] += np.linalg.lstsq(rest, squares @ step, rcond=None)[0]
    return np.clip(u, low, high)


def _chow_p_values(problem: Problem, r: np.ndarray, J: np.ndarray, omitted: list[np.ndarray]) -> list[float]:
    """p-values of Chow's predictive test of each part (Chow 1960, section 2), for the law linearised at its fit.

    Args:
        problem: The law on points.
        r: Weighted residual of each independent observation (n,): a point, or a run of checkpoints.
        J: Its derivatives (n, P).
        omitted: Observations of each part.
    """
    n, P = J.shape
    if np.median(np.abs(r)) < EXACT * max(float(np.abs(problem.y).mean()), 1e-300):
        return [1.0] * len(omitted)

    Q = np.linalg.qr(J)[0]
    b, total = Q.T @ r, float(r @ r)
    rss_all, p_values = total - float(b @ b), []
    for rows in omitted:
        dof, q, c = n - len(rows) - P, Q[rows], b - Q[rows].T @ r[rows]
        if dof < 1:
            p_values.append(1.0)
            continue
        rss_rest = total - float(r[rows] @ r[rows])
        rss_rest -= float(c @ np.linalg.lstsq(np.eye(P) - q.T @ q, c, rcond=None)[0])
        F = (rss_all - rss_rest) / len(rows) / max(rss_rest / dof, 1e-300)
        p_values.append(float(fdtrc(len(rows), dof, F)))
    return p_values

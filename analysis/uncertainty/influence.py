"""The fit without each budget in turn: which of them it leans on.

Key: K parts, P coordinates, n points.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import f as fisher

from analysis.data.points import Points, group
from analysis.solver.minimise import hessian, minimise
from analysis.solver.problem import Problem
from analysis.uncertainty import bootstrap

CHANCE = 0.01  # of a verdict about a sweep that has nothing wrong with it
MOST = 40  # budgets or groups that are left out one by one; more are taken as tenths
EXACT = 1e-9  # residuals below this share of the output's size are rounding


@dataclass(frozen=True)
class LeftOut:
    """Parameters without one part of the points. p: chance of a part as far off the others' law as this one."""

    without: str
    points: int
    params: dict[str, float]
    p: float

    def to_json(self) -> dict[str, Any]:
        return {"without": self.without, "points": self.points, "params": self.params, "p": self.p}


def parts(points: Points, letter: str) -> list[tuple[str, np.ndarray]]:
    """Names and indices: of each budget, else of each group, else of tenths along C (or `letter`) of three runs each.

    Empty where there are fewer than three parts.
    """
    found: list[tuple[str, np.ndarray]] = []
    if points.budgets is not None:
        found = [(f"budget {key:.3g}", at) for key, at in group(points)]
    if not 3 <= len(found) <= MOST and points.groups is not None:
        groups = np.array(points.groups)
        found = [(f"group {name}", np.flatnonzero(groups == name)) for name in np.unique(groups)]
    if not 3 <= len(found) <= MOST:
        x, named = (points.C, "C") if np.isfinite(points.C).all() else (points[letter], letter)
        order = np.argsort(x, kind="stable")
        tenths = np.array_split(order, min(10, len(points) // 3) or 1)
        found = [(f"{named} {x[at].min():.3g} to {x[at].max():.3g}", np.sort(at)) for at in tenths]
    return found if 3 <= len(found) <= MOST else []


def out(problem: Problem, u_P: np.ndarray, points: Points) -> tuple[LeftOut, ...]:
    """The law fitted again without each part, from its optimum; parts that leave too few points are passed over."""
    P, n = len(u_P), len(points)
    kept = [(name, at) for name, at in parts(points, problem.law.inputs[0]) if n - len(at) > P]
    if not kept:
        return ()
    u = (_stepped if n > bootstrap.LINEAR else _again)(problem, u_P, [at for _, at in kept])
    values = problem.params(u)
    chances = _chances(problem, u_P, [at for _, at in kept])
    return tuple(
        LeftOut(name, n - len(at), {k: float(v[row]) for k, v in values.items()}, p)
        for row, ((name, at), p) in enumerate(zip(kept, chances, strict=True))
    )


def _again(problem: Problem, u_P: np.ndarray, left: list[np.ndarray]) -> np.ndarray:
    """Coordinates (K, P) without each part."""
    weights = np.tile(problem.weights, (len(left), 1))
    for row, at in enumerate(left):
        weights[row, at] = 0.0
    return minimise(problem.again(problem.y, weights), np.tile(u_P, (len(left), 1)))[0]


def _stepped(problem: Problem, u_P: np.ndarray, left: list[np.ndarray]) -> np.ndarray:
    """The same by one Newton step, for thousands of points: what a part pulled is let go of, and its share of the
    curvature with it, as large as its share of the squared derivatives."""
    low, high = problem.limits()
    free = (u_P > low) & (u_P < high)
    J = problem.jacobian(u_P[None])[0][free]
    pull = problem.weights * problem.objective.slope(problem.residual(u_P[None])[0])
    H, squares = hessian(problem, u_P)[np.ix_(free, free)], (J * problem.weights) @ J.T
    u = np.tile(u_P, (len(left), 1))
    for row, at in enumerate(left):
        step = np.linalg.lstsq(H, J[:, at] @ pull[at], rcond=None)[0]
        rest = squares - (J[:, at] * problem.weights[at]) @ J[:, at].T
        u[row, free] += np.linalg.lstsq(rest, squares @ step, rcond=None)[0]
    return np.clip(u, low, high)


def _chances(problem: Problem, u_P: np.ndarray, left: list[np.ndarray]) -> list[float]:
    """Chow's predictive test of each part against the rest (Chow 1960, section 2), the law linear about its fit."""
    root = np.sqrt(problem.weights)
    r, J = problem.residual(u_P[None])[0] * root, (problem.jacobian(u_P[None])[0] * root).T
    n, P = J.shape
    if np.median(np.abs(r)) < EXACT * max(float(np.abs(problem.y).mean()), 1e-300):
        return [1.0] * len(left)

    Q = np.linalg.qr(J)[0]
    b, total = Q.T @ r, float(r @ r)
    everything, out = total - float(b @ b), []
    for at in left:
        free, q, c = n - len(at) - P, Q[at], b - Q[at].T @ r[at]
        rest = total - float(r[at] @ r[at]) - float(c @ np.linalg.lstsq(np.eye(P) - q.T @ q, c, rcond=None)[0])
        ratio = (everything - rest) / len(at) / max(rest / free, 1e-300)
        out.append(float(fisher.sf(ratio, len(at), free)))
    return out


def verdict(left: tuple[LeftOut, ...], intervals: dict[str, tuple[float, float]]) -> list[str]:
    """Said of a part without which a parameter leaves its interval, where chance alone would not move it so far."""
    said = []
    for one in left:
        if one.p * len(left) >= CHANCE:
            continue
        moved = [k for k, v in one.params.items() if k in intervals and not intervals[k][0] <= v <= intervals[k][1]]
        if moved:
            values = ", ".join(f"{name} would be {one.params[name]:.4g}" for name in moved)
            said.append(f"leans-on: without {one.without} {values}, beyond the interval (p = {one.p:.1g})")
    return said

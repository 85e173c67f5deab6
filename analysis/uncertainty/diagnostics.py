"""analysis.uncertainty.diagnostics."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from analysis.data.points import Points, duplicates
from analysis.data.table import listed
from analysis.solver.problem import Problem

AT_BOUND = 1e-6  # relative distance from a bound, or a term's share of the loss, that counts as being there

OUTLIER = 8.0  # robust standard deviations: 1 point in 1e15 were the residuals normal


def verdict(
    problem: Problem,
    u_P: np.ndarray,
    points: Points,
    starts: dict[str, int],
    drawn: dict[str, np.ndarray],
    level: float,
    more: Iterable[str] = (),
) -> tuple[str, ...]:
    """What to doubt: sentences with a code in front; exactly ("converged",) where there is nothing.

    more: what others have found to say (analysis/uncertainty/influence.py, regimes.py, profile.py).
    """
    names, params = problem.law.parameters, {k: float(v[0]) for k, v in problem.params(u_P[None]).items()}
    low, high = problem.limits()
    said: list[str] = []
    at_bound = []
    for at, name in enumerate(problem.names):
        edge = _edge(problem, u_P, at, low[at], high[at])
        if edge:
            at_bound.append(name)
            said.append(f"at-bound: {name} = {params[name]:.4g} is at its {edge} bound")
    for name in names:
        if name not in at_bound and name in drawn:
            share = float(np.mean(_drawn_at_bound(problem, drawn, name)))
            if share > (1 - level) / 2:
                said.append(
                    f"unidentifiable: {share:.0%} of the draws put {name} at a bound: its interval is open there"
                )
    J = problem.jacobian(u_P[None])[0] * np.sqrt(problem.weights)
    size = np.linalg.norm(J, axis=-1, keepdims=True)
    singular = np.linalg.svd(J / np.where(size > 0, size, 1.0), compute_uv=False)
    if singular[-1] < 1e-5 * singular[0]:
        condition = (singular[0] / max(singular[-1], 1e-150)) ** 2
        said.append(f"unidentifiable: these points do not tell the parameters apart (condition number {condition:.1g})")
    if len(points) - len(names) < 5:
        said.append(f"too-few-points: {len(points)} points for {len(names)} parameters")
    if starts["agreed"] < min(starts["tried"], max(2, 0.25 * starts["tried"])):
        said.append(f"starts-disagree: {starts['agreed']} of {starts['tried']} starts reach the lowest objective")
    said += outliers(problem.residual(u_P[None])[0] * np.sqrt(problem.weights), points, len(u_P))
    twins = duplicates(points)
    if twins:
        said.append(f"duplicates: {listed(twins, 5)}: the same in N, D, C and L, and both counted")
    said += more
    return tuple(said) or ("converged",)


def _edge(problem: Problem, u_P: np.ndarray, at: int, low: float, high: float) -> str | None:
    if at < len(problem.law.linear):
        near = AT_BOUND * problem.typical()
        return "lower" if u_P[at] <= low + near else "upper" if u_P[at] >= high - near else None
    if u_P[at] <= low + AT_BOUND * max(1.0, abs(low)):
        return "lower"
    return "upper" if np.isfinite(high) and u_P[at] >= high - AT_BOUND * max(1.0, abs(high)) else None


def _drawn_at_bound(problem: Problem, drawn: dict[str, np.ndarray], name: str) -> np.ndarray:
    low, high = problem.law.bound(name)
    if name in problem.law.linear:
        near = AT_BOUND * max(float(np.abs(np.median(drawn[name]))), 1e-300)
        return (drawn[name] <= low + near) | (drawn[name] >= high - near)
    return (drawn[name] <= low * (1 + AT_BOUND)) | (drawn[name] >= high * (1 - AT_BOUND))


def outliers(residual_n: np.ndarray, points: Points, fitted: int) -> list[str]:
    """Names rows whose residual lies beyond OUTLIER robust standard deviations.

    A fit of P parameters passes through, or near, P of the points: the scale is the median of the others.
    """
    size = np.sort(np.abs(residual_n))
    scale = 1.4826 * np.median(size[min(fitted, len(size) - 1) :])
    far = np.flatnonzero(np.abs(residual_n) > OUTLIER * max(scale, 1e-9))
    if not len(far):
        return []
    worst = far[np.argsort(-np.abs(residual_n[far]))]
    listed = ", ".join(f"{points.names[i]} ({residual_n[i] / scale:+.0f}σ)" for i in worst[:5])
    more = f" and {len(far) - 5} more" if len(far) > 5 else ""
    return [f"outliers: {listed}{more}: the law misses them by more than {OUTLIER:.0f} robust standard deviations"]

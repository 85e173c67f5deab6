"""Checks of the optimum, bootstrap samples and design of a fit, as warnings for its verdict.

Key: B samples, P coordinates, n points. u coordinates, J ∂r/∂u.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from analysis.data.points import Points, duplicate_rows
from analysis.format import join_names
from analysis.solver.identifiability import MIN_SINGULAR, undetermined_names
from analysis.solver.problem import Problem
from analysis.solver.robust import robust_std
from analysis.solver.search import Solution
from analysis.uncertainty.verdicts import warning

AT_BOUND = 1e-6  # relative distance from a bound, or share of a term in the loss, that counts as at the bound
OUTLIER = 8.0  # robust standard deviations; probability 1e-15 for normal residuals
CONSTANT = 1e-12  # relative range of the outputs of a law that is constant, rounding aside
MIN_SPARE_POINTS = 5  # smallest number of points minus parameters
MIN_AGREED, MIN_AGREED_SHARE = 2, 0.25  # smallest number and share of starts that reach the lowest objective
MAX_LISTED = 5  # largest number of points listed in a warning


def check_bounds(problem: Problem, u_P: np.ndarray, samples: dict[str, np.ndarray], level: float) -> list[str]:
    """Warns of parameters at a bound, at the optimum or in too many bootstrap samples.

    Args:
        problem: The law on points.
        u_P: Coordinates of the optimum.
        samples: Bootstrap samples of each parameter (B,).
        level: Coverage of the intervals.
    """
    params = problem.params(u_P[None])
    edges = {name: edge for p, name in enumerate(problem.names) if (edge := _edge(problem, u_P, p))}
    warnings = [
        warning("parameter-at-bound", f"{name} = {params[name][0]:.4g} is at its {edge} bound")
        for name, edge in edges.items()
    ]
    for name in problem.law.parameters:
        if name in edges or name not in samples:
            continue
        share = float(np.mean(_samples_at_bound(problem, samples[name], name)))
        if share > (1 - level) / 2:
            warnings.append(
                warning(
                    "unidentifiable",
                    f"{name} is at a bound in {share:.0%} of the bootstrap samples: its interval is not bounded there",
                )
            )
    return warnings


def check_design(problem: Problem, u_P: np.ndarray, points: Points) -> list[str]:
    """Warns if the law is constant, or the points do not determine the parameters separately or are too few.

    Args:
        problem: The law on points.
        u_P: Coordinates of the optimum.
        points: The points.
    """
    warnings = []
    J = problem.jacobian(u_P[None])[0] * np.sqrt(problem.weights)
    size = np.linalg.norm(J, axis=-1, keepdims=True)
    singular = np.linalg.svd(J / np.where(size > 0, size, 1.0), compute_uv=False)
    output_n = problem.model(u_P[None])[0]
    if np.ptp(output_n) <= CONSTANT * np.abs(output_n).max() and any(np.ptp(x_n) > 0 for x_n in problem.inputs):
        sentence = f"the law returns {output_n[0]:.4g} at all points: its output does not depend on its inputs"
        warnings.append(warning("unidentifiable", sentence))
    if not singular[0]:
        sentence = "no parameter changes the output of the law: the parameters are the starts of the search"
        warnings.append(warning("unidentifiable", sentence))
    elif singular[-1] < MIN_SINGULAR * singular[0]:
        condition = (singular[0] / max(singular[-1], 1e-150)) ** 2
        names = join_names(list(undetermined_names(problem, u_P)), MAX_LISTED) or "the parameters"
        sentence = f"these points do not determine {names} separately (condition number {condition:.1g})"
        warnings.append(warning("unidentifiable", sentence))
    count, noun = (len(points), "points") if points.runs is None else (len(set(points.runs)), "runs")
    if count - len(problem.law.parameters) < MIN_SPARE_POINTS:
        sentence = f"{count} {noun} for {len(problem.law.parameters)} parameters"
        warnings.append(warning("too-few-points", sentence))
    return warnings


def check_starts(starts: dict[str, int]) -> list[str]:
    """Warns if few starts reach the lowest objective; `starts` as in `Solution`."""
    if starts["agreed"] >= min(starts["tried"], max(MIN_AGREED, MIN_AGREED_SHARE * starts["tried"])):
        return []
    sentence = f"{starts['agreed']} of {starts['tried']} starts reach the lowest objective"
    return [warning("disagreeing-starts", sentence)]


def check_other_minima(problem: Problem, minima: Iterable[np.ndarray]) -> list[str]:
    """Warns of other minima that are as good within noise.

    Args:
        problem: The law on points.
        minima: Coordinates of each minimum (P,).
    """
    texts = []
    for u in minima:
        params = ", ".join(f"{name} = {value[0]:.4g}" for name, value in problem.params(u[None]).items())
        value = problem.objective.value(problem.residual(u[None])[0], problem.weights)
        texts.append(f"({params}; objective {value:.7g})")
    if not texts:
        return []
    return [
        warning(
            "local-minima", f"these parameters fit equally well within noise: {'; '.join(texts)}: choose with --start"
        )
    ]


def check_outliers(residual_n: np.ndarray, points: Points, parameters: int) -> list[str]:
    """Warns of points whose residual exceeds OUTLIER robust standard deviations.

    Args:
        residual_n: Residuals, law minus measured, times the root of their weights.
        points: The points, for their names.
        parameters: Number of fitted parameters P. A robust fit passes through or near P points, so that the scale is
            computed from the others.
    """
    size = np.sort(np.abs(residual_n))
    scale = robust_std(size[min(parameters, len(size) - 1) :])
    far = np.flatnonzero(np.abs(residual_n) > OUTLIER * max(scale, 1e-9))
    if not len(far):
        return []
    far = far[np.argsort(-np.abs(residual_n[far]))]
    named = ", ".join(
        f"{points.names[i]} ({abs(residual_n[i]) / scale:.0f}σ {'above' if residual_n[i] < 0 else 'below'})"
        for i in far[:MAX_LISTED]
    )
    others = f" and {len(far) - MAX_LISTED} more" if len(far) > MAX_LISTED else ""
    sentence = f"{named}{others}: more than {OUTLIER:.0f} robust standard deviations from the law"
    return [warning("outliers", sentence)]


def check_duplicates(points: Points) -> list[str]:
    """Warns of points that occur twice."""
    duplicates = duplicate_rows(points)
    if not duplicates:
        return []
    sentence = f"{join_names(duplicates, MAX_LISTED)}: equal in N, D, C and L, and counted twice"
    return [warning("duplicate-points", sentence)]


def diagnose(
    problem: Problem, solution: Solution, points: Points, samples: dict[str, np.ndarray], level: float
) -> list[str]:
    """Returns the warnings of all checks of this module.

    Args:
        problem: The law on points.
        solution: Optimum, counts of starts, and other minima.
        points: The points.
        samples: Bootstrap samples of each parameter (B,).
        level: Coverage of the intervals.
    """
    u_P = solution.u_P
    return [
        *check_bounds(problem, u_P, samples, level),
        *check_design(problem, u_P, points),
        *check_starts(solution.starts),
        *check_outliers(problem.residual(u_P[None])[0] * np.sqrt(problem.weights), points, len(u_P)),
        *check_duplicates(points),
        *check_other_minima(problem, solution.other_minima),
    ]


def _edge(problem: Problem, u_P: np.ndarray, p: int) -> str | None:
    """The bound ("lower" or "upper") of a coordinate at a bound, else None."""
    low, high = (edge[p] for edge in problem.bounds())
    if p < len(problem.law.linear):
        margin = AT_BOUND * problem.output_scale()
        return "lower" if u_P[p] <= low + margin else "upper" if u_P[p] >= high - margin else None
    if u_P[p] <= low + AT_BOUND * max(1.0, abs(low)):
        return "lower"
    return "upper" if np.isfinite(high) and u_P[p] >= high - AT_BOUND * max(1.0, abs(high)) else None


def _samples_at_bound(problem: Problem, samples_B: np.ndarray, name: str) -> np.ndarray:
    low, high = problem.law.bound(name)
    if name in problem.law.linear:
        margin = AT_BOUND * max(float(np.abs(np.median(samples_B))), 1e-300)
        return (samples_B <= low + margin) | (samples_B >= high - margin)
    return (samples_B <= low * (1 + AT_BOUND)) | (samples_B >= high * (1 - AT_BOUND))

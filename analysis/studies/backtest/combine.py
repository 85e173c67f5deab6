"""A forecast of several laws together: how much each counts is told by how well it foretold the end of its own points.

Each law is fitted again to the beginning of the points and foretells what comes next, as far ahead as the forecast
itself reaches (leave-future-out, Bürkner 2020). The combined forecast is the weighted geometric mean, and a law counts
by the inverse of its error there (Bates 1969), over all groups together. What is to be forecast is never looked at, but
for how far ahead it lies.

Key: K laws, G groups, n points, v points foretold.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from analysis.data.points import Points
from analysis.errors import FitError
from analysis.laws.law import Law
from analysis.solver.objective import OBJECTIVES
from analysis.solver.problem import Problem
from analysis.solver.search import search

ORIGINS = 3  # times at which a forecast is tried
FOLDS = 5  # where what is held out does not lie ahead
# Bates and Granger's weights are inverse squares, best of errors that have nothing to do with each other; those of laws
# fitted to one curve go together, and then the better ones deserve more. Of 2, 3, 4, 6, 8, the best law alone and
# stacking (the weights least in error), 4 did best where each curve's own fitted part was cut once and twice more.
SHARPNESS = 4
LOST = 10.0  # error, in ln, of a law that gives no value


@dataclass(frozen=True)
class Ahead:
    """How what is held out lies to the points: `reach` nats of `letter` beyond the last, or among them (None)."""

    letter: str | None
    reach: float


def ahead(points: Points, held: Points, forms: list[Law]) -> Ahead:
    """The input along which most of what is held out lies beyond the points."""
    labels = {letter for form in forms for letter in form.labels}
    letters = [letter for form in forms for letter in form.inputs if letter not in labels]
    best, share = Ahead(None, 0.0), 0.5
    for letter in dict.fromkeys((*letters, "C")):
        x, new = points[letter], held[letter]
        if np.isfinite(x).all() and np.isfinite(new).all() and x.min() > 0 and len(new):
            beyond = float(np.mean(new > x.max()))
            if beyond > share:
                best, share = Ahead(letter, float(np.log(new.max() / x.max()))), beyond
    return best


def origins(
    points: Points, how: Ahead, most: int, label: np.ndarray | None = None
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Indices to fit to and indices to foretell, at each origin.

    Ahead: origins `reach` apart, back from the last point, each foretelling as far as the next, as long as `most`
    + 2 points lie below; or the one with as many below where none is. Otherwise folds, of whole curves by `label`.
    """
    n, every = len(points), np.arange(len(points))
    if how.letter is None:
        keys = np.unique(label, return_inverse=True)[1] if label is not None else every
        spread = np.random.default_rng(0).permutation(keys.max() + 1)[keys] % FOLDS
        pairs = [(np.flatnonzero(spread != fold), np.flatnonzero(spread == fold)) for fold in range(FOLDS)]
        return [(fit, new) for fit, new in pairs if len(new) and len(fit) >= most + 2]
    log_x = np.log(points[how.letter])
    found = []
    for back in range(1, ORIGINS + 1):
        cut = log_x.max() - back * how.reach
        fit = np.flatnonzero(log_x <= cut + 1e-9)
        new = np.flatnonzero((log_x > cut + 1e-9) & (log_x <= cut + how.reach + 1e-9))
        if len(fit) >= most + 2 and len(new):
            found.append((fit, new))
    if found or n < most + 3:
        return found
    order = np.argsort(log_x, kind="stable")
    cut = log_x[order[most + 1]]
    return [(np.flatnonzero(log_x <= cut), np.flatnonzero(log_x > cut))] if cut < log_x.max() else []


def estimate(points: Points, form: Law, objective: dict[str, Any]) -> dict[str, float]:
    """The parameters alone, without their doubt, under an objective as `Fit.objective` tells it. Raises FitError."""
    told = {name: objective[name] for name in ("delta", "undertuned") if name in objective}
    chosen = replace(OBJECTIVES[objective["name"]], **told)
    weights = np.ones(len(points)) if points.weights is None else points.weights / points.weights.mean()
    inputs = tuple(points[letter] for letter in form.inputs)
    problem = Problem(form, inputs, chosen.of(points[form.output]), weights, chosen)
    u, _, _ = search(problem, others=False)
    return {name: float(value[0]) for name, value in problem.params(u[None]).items()}


def foretold(
    points: Points, used: Points, form: Law, objective: dict[str, Any], splits: list[tuple[np.ndarray, np.ndarray]]
) -> list[np.ndarray]:
    """ln of foretold over measured at each origin (v,): LOST where the law gives no value.

    used: those of the points that the law speaks of (its frontier), found again by name.
    """
    speaks = np.isin(points.names, used.names)
    inputs, out = [points[letter] for letter in form.inputs], []
    for fit, new in splits:
        at = fit[speaks[fit]]
        error = np.full(len(new), LOST)
        if len(at) > len(form.parameters):
            try:
                params = estimate(points.where(at), form, objective)
            except FitError:  # a law that cannot be fitted there has foretold nothing
                out.append(error)
                continue
            with np.errstate(all="ignore"):
                error = np.log(np.asarray(form.function(*inputs, **params))[new] / points[form.output][new])
        out.append(np.clip(np.nan_to_num(error, nan=LOST, posinf=LOST, neginf=-LOST), -LOST, LOST))
    return out


def weigh(errors: list[list[np.ndarray]]) -> np.ndarray:
    """Weights (K,), as the inverse fourth power of each law's mean root mean square over groups and origins.

    errors: for each group, one (K, v) an origin.
    """
    size = [np.mean([np.sqrt(np.mean(E**2, -1)) for E in group], 0) for group in errors if group]
    mean = np.mean(size, 0)
    w = (mean.min() / np.maximum(mean, 1e-12)) ** SHARPNESS
    return np.asarray(w / w.sum())

"""Ensemble of laws, weighted by their validation errors.

Each law is refitted to the first points and predicts the points that follow, over the same horizon as the forecast
itself (leave-future-out validation, Bürkner 2020). The ensemble predicts the weighted geometric mean; a weight
decreases with the validation error (Bates 1969), over all groups together. The held-out points only determine
the horizon.

Key: K laws, n points, v validation points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from analysis.data.points import Points
from analysis.errors import FitError
from analysis.fitting.parametric import make_problem
from analysis.laws.law import Law
from analysis.solver.objective import OBJECTIVES
from analysis.solver.search import search

ORIGINS = 3  # number of validation splits
FOLDS = 5  # number of folds if the held-out points are no extrapolation
# Power of the inverse validation error. Bates and Granger's 2 is best for independent errors; errors of laws fitted
# to the same curve are correlated, and better laws should get a larger weight. Compared were 2, 3, 4, 6, 8, the best
# law alone and stacking (least-error weights), on further splits of the fitted part of each curve; 4 was best.
WEIGHT_POWER = 4
FAILED_ERROR = 10.0  # log error of a law without a prediction

Split = tuple[np.ndarray, np.ndarray]  # indices of the points to fit and of those to predict


@dataclass(frozen=True)
class Horizon:
    """Distance of the held-out points beyond the other points.

    Attributes:
        letter: Input in which they extrapolate; None if they do not extrapolate.
        reach: Log ratio of the largest held-out value to the largest other one.
    """

    letter: str | None
    reach: float


def forecast_horizon(points: Points, held_out: Points, forms: Sequence[Law]) -> Horizon:
    """Returns the input in which most of the held-out points lie beyond the others, and the distance.

    Args:
        points: Points that laws are fitted to.
        held_out: Points that laws predict.
        forms: The laws.
    """
    labels = {letter for form in forms for letter in form.labels}
    letters = [letter for form in forms for letter in form.inputs if letter not in labels]
    horizon, largest_share = Horizon(None, 0.0), 0.5
    for letter in dict.fromkeys((*letters, "C")):
        x, new = points[letter], held_out[letter]
        if np.isfinite(x).all() and np.isfinite(new).all() and x.min() > 0 and len(new):
            share = float(np.mean(new > x.max()))
            if share > largest_share:
                horizon, largest_share = Horizon(letter, float(np.log(new.max() / x.max()))), share
    return horizon


def validation_splits(
    points: Points, horizon: Horizon, parameters: int, label: np.ndarray | None = None
) -> list[Split]:
    """Returns the validation splits of the points.

    With a horizon, the splits are `reach` apart, starting from the last point, and each predicts the points up to the
    next split. A split needs at least `parameters` + 2 points below; if no split has them, there is one split with
    that number of points below. Without a horizon, the splits are folds of a cross-validation.

    Args:
        points: Points that laws are fitted to.
        horizon: Distance of the held-out points beyond them.
        parameters: Largest number of parameters of a law.
        label: Curve of each point (n,), None without curves. A fold contains whole curves.
    """
    min_points = parameters + 2
    if horizon.letter is None:
        return _folds(len(points), min_points, label)
    log_x = np.log(points[horizon.letter])
    splits = []
    for back in range(1, ORIGINS + 1):
        cut = log_x.max() - back * horizon.reach
        fitted = np.flatnonzero(log_x <= cut + 1e-9)
        new = np.flatnonzero((log_x > cut + 1e-9) & (log_x <= cut + horizon.reach + 1e-9))
        if len(fitted) >= min_points and len(new):
            splits.append((fitted, new))
    if splits or len(points) < min_points + 1:
        return splits
    cut = np.sort(log_x)[min_points - 1]
    return [(np.flatnonzero(log_x <= cut), np.flatnonzero(log_x > cut))] if cut < log_x.max() else []


def _folds(count: int, min_points: int, label: np.ndarray | None) -> list[Split]:
    keys = np.unique(label, return_inverse=True)[1] if label is not None else np.arange(count)
    fold_n = np.random.default_rng(0).permutation(keys.max() + 1)[keys] % FOLDS
    splits = [(np.flatnonzero(fold_n != fold), np.flatnonzero(fold_n == fold)) for fold in range(FOLDS)]
    return [(fitted, new) for fitted, new in splits if len(new) and len(fitted) >= min_points]


def estimate_parameters(points: Points, form: Law, objective: dict[str, Any]) -> dict[str, float]:
    """Returns the parameters of a law without intervals.

    Args:
        points: Points to fit.
        form: The law.
        objective: Name and settings, as in `Fit.objective`.

    Raises:
        FitError: The law cannot be fitted.
    """
    settings = {name: objective[name] for name in ("delta", "undertuned") if name in objective}
    loss = replace(OBJECTIVES[objective["name"]], **settings)
    problem = make_problem(points, form, loss)
    solution = search(problem, find_others=False)
    return {name: float(value[0]) for name, value in problem.params(solution.u_P[None]).items()}


def validation_errors(
    points: Points, fitted_names: Sequence[str], form: Law, objective: dict[str, Any], splits: Sequence[Split]
) -> list[np.ndarray]:
    """Returns the log ratio of predicted to measured output of each split (v,), FAILED_ERROR without a prediction.

    Args:
        points: Points that laws are fitted to.
        fitted_names: Names of the points that this law is fitted to (some laws use only the frontier).
        form: The law.
        objective: Name and settings, as in `Fit.objective`.
        splits: Validation splits of the points.
    """
    usable = np.isin(points.names, fitted_names)
    inputs, errors = [points[letter] for letter in form.inputs], []
    for fitted, new in splits:
        rows = fitted[usable[fitted]]
        error = np.full(len(new), FAILED_ERROR)
        if len(rows) > len(form.parameters):
            try:
                params = estimate_parameters(points.select(rows), form, objective)
            except FitError:
                errors.append(error)
                continue
            with np.errstate(all="ignore"):
                error = np.log(np.asarray(form.function(*inputs, **params))[new] / points[form.output][new])
        error = np.nan_to_num(error, nan=FAILED_ERROR, posinf=FAILED_ERROR, neginf=-FAILED_ERROR)
        errors.append(np.clip(error, -FAILED_ERROR, FAILED_ERROR))
    return errors


def ensemble_weights(errors: list[list[np.ndarray]]) -> np.ndarray:
    """Returns the weight of each law (K,): its mean RMSE over groups and splits to the power -WEIGHT_POWER.

    Args:
        errors: For each group, the log errors (K, v) of each split.
    """
    rmse_GK = [np.mean([np.sqrt(np.mean(E**2, -1)) for E in group], 0) for group in errors if group]
    rmse_K = np.mean(rmse_GK, 0)
    weight_K = (rmse_K.min() / np.maximum(rmse_K, 1e-12)) ** WEIGHT_POWER
    return np.asarray(weight_K / weight_K.sum())

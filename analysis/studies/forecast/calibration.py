"""Weights of laws, and the spread of their mixture, from backtests within the points.

Each backtest fits the laws to the budgets below a cut and predicts all runs above it, so that it extrapolates as the
forecast does, over a shorter distance.

Key: K laws, S splits, n points, v predicted points, B bootstrap samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.data.points import Points, group_by_budget
from analysis.errors import FitError
from analysis.fitting.fit import fit
from analysis.fitting.options import FitOptions
from analysis.laws.law import Law
from analysis.studies.backtest.ensemble import FAILED_ERROR, Split, ensemble_weights

MIN_BUDGETS = 3  # smallest number of budgets, or of tenths of the runs, that laws are fitted to
PARTS = 10  # number of parts along C for runs without budgets
SPLIT_BOOTSTRAP = 100  # bootstrap samples of each fit of a backtest
PRIOR_SPLITS = 2.0  # weight of a spread of 1, in splits: few backtests say little about it
MAX_SPREAD = 10.0


@dataclass(frozen=True)
class SplitForecast:
    """Prediction of one law for the points above one cut.

    Attributes:
        errors: ln(predicted / measured) of each point (v,); FAILED_ERROR if the law could not be fitted.
        samples: ln of the predictions of the bootstrap samples (B, v); None if the law could not be fitted.
        scatter: Variance of a single run about the law in ln L.
    """

    errors: np.ndarray
    samples: np.ndarray | None
    scatter: float


@dataclass(frozen=True)
class Calibration:
    """What the backtests say.

    Attributes:
        weights: Weight of each law (K,).
        spread: Factor of the deviation of the laws' samples from the mean of the mixture, at least 1.
        splits: Number of backtests.
        rms_errors: Root mean square of the log errors of each law, averaged over splits (K,).
    """

    weights: np.ndarray
    spread: float
    splits: int
    rms_errors: np.ndarray


def budget_splits(points: Points, parameters: int) -> list[Split]:
    """Returns the splits of the points at each budget: the runs below or at it, and all runs above it.

    Args:
        points: The points; runs without budgets are cut at tenths along C, or along D if C is not known.
        parameters: Largest number of parameters of a law. A split needs `parameters` + 2 points below.
    """
    known = np.isfinite(points.C).all()
    if known and points.budgets is not None:
        parts = [rows for _, rows in group_by_budget(points)]
    else:
        order = np.argsort(points.C if known else points.D, kind="stable")
        parts = [rows for rows in np.array_split(order, min(PARTS, len(order))) if len(rows)]
    splits = []
    for cut in range(MIN_BUDGETS, len(parts)):
        fitted, new = np.sort(np.concatenate(parts[:cut])), np.sort(np.concatenate(parts[cut:]))
        if len(fitted) >= parameters + 2:
            splits.append((fitted, new))
    return splits


def calibrate(points: Points, names: Sequence[str], forms: Sequence[Law], options: FitOptions) -> Calibration:
    """Weights laws by their backtests and calibrates the spread of their mixture.

    Args:
        points: The points.
        names: Names of the K laws.
        forms: The laws.
        options: Options of the fits; the backtests use SPLIT_BOOTSTRAP samples and no checks.
    """
    quick = replace(options, bootstrap=min(options.bootstrap, SPLIT_BOOTSTRAP), checks=False)
    splits = budget_splits(points, max(len(form.parameters) for form in forms))
    if not splits:
        equal = np.full(len(names), 1 / len(names))
        return Calibration(equal, 1.0, 0, np.full(len(names), np.nan))
    forecasts = [[_forecast(points, split, *law, quick) for law in zip(names, forms, strict=True)] for split in splits]
    errors = [np.stack([law.errors for law in laws]) for laws in forecasts]
    rms_K = np.mean([np.sqrt(np.mean(error**2, -1)) for error in errors], 0)
    weights = ensemble_weights([errors])
    return Calibration(weights, calibrated_spread(forecasts, weights), len(splits), rms_K)


def _forecast(points: Points, split: Split, name: str, form: Law, options: FitOptions) -> SplitForecast:
    fitted, new = split
    try:
        result = fit(points.select(fitted), name, options)
    except FitError:
        return SplitForecast(np.full(len(new), FAILED_ERROR), None, 0.0)
    inputs = {letter: points[letter][new] for letter in form.inputs}
    with np.errstate(all="ignore"):
        errors = np.log(result.predict(**inputs) / points.L[new])
        samples = np.log(result.predict_samples(**inputs))
    errors = np.clip(np.nan_to_num(errors, nan=FAILED_ERROR), -FAILED_ERROR, FAILED_ERROR)
    dof = max(len(fitted) - len(form.parameters), 1)
    scatter = float(np.sum(result.residuals() ** 2) / dof)
    usable = samples[np.isfinite(samples).all(-1)]
    return SplitForecast(errors, usable if len(usable) else None, scatter)


def calibrated_spread(forecasts: Sequence[Sequence[SplitForecast]], weights: np.ndarray) -> float:
    """Returns the factor by which the deviations of the laws' samples are multiplied.

    The mean error of a split is compared with the standard deviation of the mixture's mean prediction. The factor is
    the root of the mean of these squared ratios over the splits and PRIOR_SPLITS ratios of 1, between 1 and MAX_SPREAD.

    Args:
        forecasts: Predictions of the K laws for each of the S splits.
        weights: Weight of each law (K,).
    """
    ratios = []
    for laws in forecasts:
        usable = [(law, w) for law, w in zip(laws, weights, strict=True) if law.samples is not None and w > 0]
        if not usable:
            continue
        total = sum(w for _, w in usable)
        means = [law.samples.mean(-1) for law, _ in usable if law.samples is not None]
        centre = sum(w * m.mean() for m, (_, w) in zip(means, usable, strict=True)) / total
        variance = sum(w * np.mean((m - centre) ** 2) for m, (_, w) in zip(means, usable, strict=True)) / total
        error = sum(w * law.errors.mean() for law, w in usable) / total
        noise = sum(w * law.scatter for law, w in usable) / total / len(usable[0][0].errors)
        ratios.append(error**2 / max(variance + noise, 1e-18))
    mean = (sum(ratios) + PRIOR_SPLITS) / (len(ratios) + PRIOR_SPLITS)
    return float(np.clip(np.sqrt(mean), 1.0, MAX_SPREAD))

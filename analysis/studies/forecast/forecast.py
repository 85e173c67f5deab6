"""Forecasts the loss of a new run from the runs of a source.

Key: K laws, B bootstrap samples, n points.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from analysis import laws
from analysis.data.load import load
from analysis.data.options import ReadOptions
from analysis.data.points import Points
from analysis.errors import DataError, FitError
from analysis.fitting.fit import fit
from analysis.fitting.options import FitOptions
from analysis.fitting.result import Fit
from analysis.studies.forecast.calibration import Calibration, calibrate
from analysis.studies.forecast.effects import effects, predict
from analysis.studies.forecast.options import FORECAST_BOOTSTRAP, ForecastOptions
from analysis.studies.forecast.predictive import Predictive, mixture
from analysis.studies.forecast.result import Forecast, LawForecast
from analysis.studies.forecast.target import Target, load_config, run_target, size_target

INPUTS = {"N", "D", "C", "M"}  # inputs that a law of the mixture may have
MIN_WEIGHT = 1e-4  # weight below which a law is left out of the mixture


def forecast_run(
    source: Any,
    options: ForecastOptions,
    fit_options: FitOptions = FitOptions(bootstrap=FORECAST_BOOTSTRAP),
    reading: ReadOptions = ReadOptions(),
) -> Forecast:
    """Forecasts the loss of a run that is not among the points.

    Args:
        source: Any source of `load`, with N, D and the loss.
        options: The run and the laws.
        fit_options: Options of the fits.
        reading: Options of reading the source.

    Raises:
        DataError: The source or the run's config cannot be read, or a law has other inputs.
        FitError: No law can be fitted.
    """
    if not options.target and not options.target_run:
        raise DataError("no run to forecast: give --target C=.. or N=..,D=.., or --target-run CONFIG.json")
    forms = [_law(name) for name in options.law]
    config = load_config(options.target_run) if options.target_run else None
    points = load(source, None, reading)
    fits, failed = _fits(points, options.law, fit_options)
    target = (
        size_target(dict(options.target), fits) if config is None else run_target(config, reading.flops, reading.params)
    )
    names = [result.law for result in fits]
    calibration = calibrate(points, names, [forms[options.law.index(name)] for name in names], fit_options)
    predictive, used = mix_laws(fits, target, calibration)
    main = used[int(np.argmax([component.weight for component in predictive.components]))]
    others = [result for result in used if result is not main]
    return Forecast(
        target=target,
        predictive=predictive,
        level=fit_options.level,
        laws=tuple(
            LawForecast(result.law, float(weight), predict(result, target), float(rms), result.verdict)
            for result, weight, rms in zip(fits, calibration.weights, calibration.rms_errors, strict=True)
        ),
        spread=calibration.spread,
        backtests=calibration.splits,
        effects=tuple(effects(source, main, others, target, fit_options, reading)),
        reach=_reach(points, target),
        points=points,
        points_hash=hash_points(points),
        main=main.law,
        failed=failed,
    )


def _law(name: str) -> laws.Law:
    if name in laws.APPROACHES:
        raise DataError(f"law {name}: predicts exponents of the optimum, not a loss: use chinchilla")
    form = laws.find(name)
    if form.output != "L" or not set(form.inputs) <= INPUTS:
        raise DataError(f"law {name}: is {form.output}({', '.join(form.inputs)}): must be a loss of N, D, C or M = D/N")
    return form


def _fits(points: Points, names: Sequence[str], options: FitOptions) -> tuple[list[Fit], dict[str, str]]:
    """Fits of the laws, and the reason for each law that could not be fitted."""
    fits, failed = [], {}
    for name in names:
        try:
            fits.append(fit(points, name, options))
        except FitError as error:
            failed[name] = str(error)
    if not fits:
        raise FitError(next(iter(failed.values())))
    return fits, failed


def mix_laws(fits: Sequence[Fit], target: Target, calibration: Calibration) -> tuple[Predictive, list[Fit]]:
    """Returns the mixture of the laws with a prediction for the target, and their fits.

    Args:
        fits: Fits of the laws.
        target: The run.
        calibration: Weights of the laws and spread of the mixture, from backtests.

    Raises:
        FitError: No law predicts a loss.
    """
    used, locations, weights = [], [], []
    for result, weight in zip(fits, calibration.weights, strict=True):
        with np.errstate(all="ignore"):
            samples = np.log(result.predict_samples(**{x: v for x, v in target.inputs.items() if x in _inputs(result)}))
            centre = np.log(predict(result, target))
        usable = samples[np.isfinite(samples)]
        if weight >= MIN_WEIGHT and np.isfinite(centre) and len(usable):
            used.append(result)
            locations.append(centre + usable - usable.mean())  # the samples' bias is not the law's prediction
            weights.append(weight)
    if not used:
        raise FitError(f"no law predicts a loss at N = {target.N:.4g}, D = {target.D:.4g}")
    residuals = [(result.residuals(), len(result.params) - len(result.constraints)) for result in used]
    shares = np.array(weights) / sum(weights)
    return mixture([result.law for result in used], locations, residuals, list(shares), calibration.spread), used


def _inputs(result: Fit) -> tuple[str, ...]:
    assert result.form is not None
    return result.form.inputs


def _reach(points: Points, target: Target) -> dict[str, float]:
    """Ratio of the target's N, D and C to the largest of the points, of quantities that are known."""
    return {
        letter: value / float(points[letter].max())
        for letter, value in (("N", target.N), ("D", target.D), ("C", target.C))
        if np.isfinite(points[letter]).all() and np.isfinite(value)
    }


def hash_points(points: Points) -> str:
    """Returns the SHA-256 of the names, N, D, C and losses of the points, in their order."""
    digest = hashlib.sha256()
    for name in points.names:
        digest.update(f"{name}\0".encode())
    for values in (points.N, points.D, points.C, points.L):
        digest.update(np.ascontiguousarray(values, "<f8").tobytes())
    return digest.hexdigest()

"""Fits laws to one part of the points and evaluates them and their ensemble on the rest.

Key: K laws, n points, h held-out points, B bootstrap samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from analysis import laws
from analysis.data.load import load
from analysis.data.options import ReadOptions
from analysis.data.points import Points
from analysis.data.record_cache import StoreSnapshot
from analysis.data.sources.readers import is_store
from analysis.errors import DataError, FitError
from analysis.fitting.fit import fit
from analysis.fitting.options import FitOptions
from analysis.fitting.result import Fit
from analysis.format import join_names
from analysis.laws.law import Law
from analysis.studies.backtest.ensemble import Split, forecast_horizon, validation_errors, validation_splits
from analysis.studies.backtest.result import Backtest, Forecast, Forecasts, summarise
from analysis.studies.options import BACKTEST_BOOTSTRAP, BacktestOptions

MAX_LISTED = 8  # largest number of rows that a note lists
MAX_SERIAL_TASKS = 4  # number of tasks up to which one process is faster

Progress = Callable[[int, int], None]
Part = tuple[Points, np.ndarray]  # points of a group as read for a law, and mask of the held-out points (n,)


@dataclass(frozen=True)
class BacktestTask:
    """One law on one group.

    Attributes:
        group: Name of the group.
        law: Name of the law, or the law itself.
        points: All points of the group.
        held_out: Mask of the held-out points (n,).
        splits: Validation splits of the other points.
        options: Options of the fit.
    """

    group: str
    law: str | Law
    points: Points
    held_out: np.ndarray
    splits: list[Split]
    options: FitOptions


def backtest(
    source: Any,
    candidates: str | Law | Sequence[str | Law],
    holdout: str,
    options: BacktestOptions = BacktestOptions(),
    fit_options: FitOptions = FitOptions(bootstrap=BACKTEST_BOOTSTRAP),
    reading: ReadOptions = ReadOptions(),
    progress: Progress | None = None,
) -> Backtest:
    """Fits laws to the points that are not held out, and compares their predictions with the held-out points.

    Args:
        source: Any source of `load`.
        candidates: One or several laws with the same output, each as in `fit`.
        holdout: Expression that selects the held-out points (analysis/data/filter.py), such as "C>1e21".
        options: Groups and processes.
        fit_options: Options of each fit.
        reading: Options of reading the source.
        progress: Called with the number of fits done and in total.

    Raises:
        DataError: The source cannot be read, or no point is held out or left to fit.
        FitError: No law can be fitted.
    """
    names = [candidates] if isinstance(candidates, str | Law) else list(candidates)
    forms = [resolve_law(law) for law in names]
    outputs = {form.output for form in forms}
    if len(outputs) != 1:
        listed = ", ".join(map(laws.law_name, names))
        raise DataError(f"laws {listed} predict {', '.join(sorted(outputs))}: choose laws with the same output")
    parts, notes = _parts(source, forms, holdout, options.group, reading)
    tasks = _tasks(names, forms, parts, fit_options)
    forecasts: Forecasts = {}
    for forecast in _run_tasks(tasks, options.workers, progress):
        forecasts.setdefault(forecast.group, {})[forecast.law] = forecast
    points = sum({task.group: int((~task.held_out).sum()) for task in tasks}.values())
    name = str(source) if isinstance(source, str | Path | StoreSnapshot) else "table"
    result = summarise(forecasts, name, holdout, fit_options.level, points)
    return replace(result, notes=(*notes, *result.notes))


def resolve_law(law: str | Law) -> Law:
    """Returns a law by its name. Raises DataError for an approach that predicts no loss."""
    if isinstance(law, str) and law in laws.APPROACHES:
        raise DataError(f"law {law!r}: predicts exponents of the optimum, not a loss: use chinchilla instead")
    return laws.find(law)


def _parts(
    source: Any, forms: list[Law], holdout: str, group: str | None, reading: ReadOptions
) -> tuple[dict[str, list[Part]], tuple[str, ...]]:
    """For each group, the points and the mask of the held-out points, as read for each law; and notes."""
    reading = reading.with_seeds()  # a mean over seeds could contain held-out rows and others
    selected = f"({reading.where}) and " if reading.where else ""
    # Neither is true for a row with an empty cell, which is then neither fitted nor held out.
    known = replace(reading, where=f"{selected}(({holdout}) or not ({holdout}))")
    chosen = replace(reading, where=f"{selected}({holdout})")
    notes: dict[str, None] = {}
    by_inputs: dict[Any, tuple[Points, np.ndarray, np.ndarray]] = {}
    for form in forms:
        if _columns_key(form) not in by_inputs:
            points = load(source, form, known)
            held_out = np.isin(points.names, load(source, form, chosen).names)
            unknown = sorted(set(load(source, form, reading).names) - set(points.names))
            if unknown:
                names = join_names(unknown, MAX_LISTED)
                notes[f"left out, with no value in a column of --holdout: {names}"] = None
            if held_out.all():
                raise DataError(f"holdout {holdout!r}: selects all rows: no row is left to fit")
            by_inputs[_columns_key(form)] = points, held_out, _groups(source, form, group, known, points)
    parts: dict[str, list[Part]] = {}
    for form in forms:
        points, held_out, labels = by_inputs[_columns_key(form)]
        if not (points[form.output] > 0).all():
            raise DataError(
                f"{points.source}: {form.output} must be positive, because errors are computed in the logarithm"
            )
        for name in dict.fromkeys(labels.tolist()):
            rows = labels == name
            parts.setdefault(name, []).append((points.select(rows), held_out[rows]))
    return parts, tuple(notes)


def _columns_key(form: Law) -> tuple[Any, ...]:
    """Key of the columns that a law reads."""
    return (form.inputs, form.output, form.labels, form.signed)


def _groups(source: Any, form: Law, group: str | None, reading: ReadOptions, points: Points) -> np.ndarray:
    """Name of the group of each point (n,): the cells in the columns of `group`, joined with spaces."""
    if group is None:
        return np.full(len(points), "all", object)
    columns = []
    for column in group.split(","):
        if is_store(source):
            if column != "sweep":
                raise DataError(f"group {column!r}: a store can only be grouped by sweep")
            cells = points.groups
        else:
            with_group = replace(reading, columns={**reading.columns, "group": column.strip()})
            cells = load(source, form, with_group).groups
        columns.append(cells or [""] * len(points))
    return np.array([" ".join(map(str, cells)) for cells in zip(*columns, strict=True)], object)


def _tasks(
    names: list[str | Law], forms: list[Law], parts: dict[str, list[Part]], options: FitOptions
) -> list[BacktestTask]:
    tasks = []
    parameters = max(len(form.parameters) for form in forms)
    for group, group_parts in parts.items():
        points, held_out = group_parts[0]
        sizes = {laws.law_name(law): len(part[0]) for law, part in zip(names, group_parts, strict=True)}
        if len(set(sizes.values())) > 1:
            read = ", ".join(f"{name} {size}" for name, size in sizes.items())
            raise DataError(
                f"{points.source}: the laws read different numbers of points ({read}): rows that differ in an input of "
                "one law only are replicates for the others: use --replicates all"
            )
        if not held_out.any() or held_out.all():
            continue
        horizon = forecast_horizon(points.select(~held_out), points.select(held_out), forms)
        for law, form, (law_points, law_held_out) in zip(names, forms, group_parts, strict=True):
            label = law_points[form.labels[0]][~law_held_out] if form.labels else None
            splits = validation_splits(law_points.select(~law_held_out), horizon, parameters, label)
            tasks.append(BacktestTask(group, law, law_points, law_held_out, splits, options))
    if not tasks:
        raise DataError("holdout: no group has both held-out points and others")
    return tasks


def _run_tasks(tasks: list[BacktestTask], workers: int | None, progress: Progress | None) -> list[Forecast]:
    by_name = all(isinstance(task.law, str) for task in tasks)  # a Law cannot be pickled
    if workers == 1 or not by_name or len(tasks) <= MAX_SERIAL_TASKS:
        return _collect(map(_forecast, tasks), len(tasks), progress)
    pool = ProcessPoolExecutor(
        workers, get_context("spawn")
    )  # forked processes lack the threads of the linear algebra library
    try:
        return _collect(pool.map(_forecast, tasks), len(tasks), progress)
    finally:
        pool.shutdown(cancel_futures=True)


def _collect(forecasts: Iterable[Forecast], total: int, progress: Progress | None) -> list[Forecast]:
    done: list[Forecast] = []
    for forecast in forecasts:
        done.append(forecast)
        if progress:
            progress(len(done), total)
    return done


def _forecast(task: BacktestTask) -> Forecast:
    """Fits one law to one group and predicts its held-out points and its validation points."""
    form, name = resolve_law(task.law), laws.law_name(task.law)
    points = task.points.select(~task.held_out)
    measured = task.points[form.output][task.held_out]
    try:
        result = fit(points, task.law, replace(task.options, checks=False))
    except FitError as error:
        missing = np.full(len(measured), np.nan)
        return Forecast(task.group, name, measured, missing, missing[None], [], str(error))
    # A law of a learning-rate schedule needs all rows of a curve to predict one of them.
    rows = np.ones(len(task.held_out), bool) if form.labels else task.held_out
    inputs = {letter: task.points[letter][rows] for letter in form.inputs}
    with np.errstate(all="ignore"):
        predicted = result.predict(**inputs)[task.held_out[rows]]
        samples = result.predict_samples(**inputs)[:, task.held_out[rows]]
    samples = _with_noise(samples, result, form, task.options.seed)
    errors = validation_errors(points, result.points.names, form, result.objective, task.splits)
    return Forecast(task.group, name, measured, predicted, samples, errors)


def _with_noise(samples: np.ndarray, result: Fit, form: Law, seed: int) -> np.ndarray:
    """Adds noise to samples (B, h): centred residuals of the fit, scaled for its degrees of freedom."""
    rng = np.random.default_rng(seed)
    n = len(result.points)
    residual = result.residuals()
    residual = residual[np.isfinite(residual)] * np.sqrt(n / max(n - len(form.parameters), 1))
    return np.asarray(samples * np.exp(rng.choice(residual - residual.mean(), size=samples.shape)))

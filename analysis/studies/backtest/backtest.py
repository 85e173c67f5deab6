"""Backtests: laws fitted to one part of the points, held against another; and a forecast of all of them together.

Key: K laws, G groups, n held-out points, B draws.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from analysis import laws
from analysis.data.load import load
from analysis.data.points import Points
from analysis.errors import DataError, FitError
from analysis.fitting.fit import fit
from analysis.laws.law import Law
from analysis.studies.backtest import combine
from analysis.studies.backtest.results import Backtest, Result, judge

__all__ = ["Backtest", "backtest"]

FEW = 4  # tasks that are not worth a second process


@dataclass(frozen=True)
class Task:
    """One law on one group."""

    group: str
    law: str | Law
    everything: Points
    held: np.ndarray  # (n,) bool
    splits: list[tuple[np.ndarray, np.ndarray]]
    options: dict[str, Any]


def name_of(law: str | Law) -> str:
    return law if isinstance(law, str) else law.function.__name__


def form_of(law: str | Law) -> Law:
    if isinstance(law, str) and law in laws.APPROACHES:
        raise DataError(f"law {law!r}: gives exponents of the optimum, not a loss: backtest chinchilla")
    return laws.find(law) if isinstance(law, str) else law


def backtest(
    source: Any,
    law: str | Law | list[str | Law] | tuple[str | Law, ...],
    holdout: str,
    *,
    group: str | None = None,
    objective: str | None = None,
    delta: float | None = None,
    undertuned: float | None = None,
    bootstrap: int = 200,
    seed: int = 0,
    level: float = 0.95,
    columns: Mapping[str, str] | None = None,
    where: str | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    **reading: Any,
) -> Backtest:
    """Laws fitted to the points that `holdout` (analysis/data/filter.py) does not name, and what they say of those it
    names.

    law: one or several, as `fit` takes them. group: a column, or several with commas between: each group is fitted on
    its own, and errors are averaged over groups. bootstrap: draws of each fit. workers: processes (all cores where
    there are many tasks). progress: called with tasks done and in all. reading: of `points.load` (flops, params).
    Raises DataError for bad input and FitError where no law can be fitted.
    """
    chosen = [law] if isinstance(law, str | Law) else list(law)
    forms = [form_of(one) for one in chosen]
    outputs = {form.output for form in forms}
    if len(outputs) != 1:
        raise DataError(f"laws {', '.join(map(name_of, chosen))} speak of {', '.join(sorted(outputs))}: choose of one")
    parts = _parts(source, forms, holdout, group, {"columns": columns, "where": where, **reading})
    options = {"objective": objective, "delta": delta, "undertuned": undertuned}
    options |= {"bootstrap": bootstrap, "seed": seed, "level": level}
    tasks = _tasks(chosen, forms, parts, options)
    results = _run(tasks, workers, progress)
    by: dict[str, dict[str, Result]] = {}
    for result in results:
        by.setdefault(result.group, {})[result.law] = result
    fitted_to = sum({task.group: int((~task.held).sum()) for task in tasks}.values())
    name = str(source) if isinstance(source, str | Path) else "table"
    return judge(by, name, holdout, level, fitted_to)


def _parts(
    source: Any, forms: list[Law], holdout: str, group: str | None, reading: dict[str, Any]
) -> dict[str, list[tuple[Points, np.ndarray]]]:
    """For each group, the points as each law reads them and which of them are held out."""
    where = reading.pop("where")
    both = f"({where}) and ({holdout})" if where else holdout
    read: dict[Any, tuple[Points, np.ndarray, np.ndarray]] = {}
    for form in forms:
        key = (form.inputs, form.output, form.labels, form.signed)
        if key not in read:
            everything = load(source, law=form, where=where, **reading)
            held = np.isin(everything.names, load(source, law=form, where=both, **reading).names)
            if held.all():
                raise DataError(f"holdout {holdout!r}: names every row: nothing is left to fit to")
            read[key] = everything, held, _groups(source, form, where, group, reading, everything)
    found: dict[str, list[tuple[Points, np.ndarray]]] = {}
    for form in forms:
        everything, held, labels = read[(form.inputs, form.output, form.labels, form.signed)]
        if not (everything[form.output] > 0).all():
            raise DataError(f"{everything.source}: {form.output} is not positive everywhere: errors are of logarithms")
        for name in dict.fromkeys(labels.tolist()):
            at = labels == name
            found.setdefault(name, []).append((everything.where(at), held[at]))
    return found


def _groups(
    source: Any, form: Law, where: str | None, group: str | None, reading: dict[str, Any], points: Points
) -> np.ndarray:
    """The group of each point: what `group`'s columns say, joined."""
    if group is None:
        return np.full(len(points), "all", object)
    parts = []
    for column in group.split(","):
        if isinstance(source, str | Path) and Path(source).is_dir():
            if column != "sweep":
                raise DataError(f"group {column!r}: a store is grouped by sweep")
            parts.append(points.groups)
        else:
            columns = {**(reading.get("columns") or {}), "group": column.strip()}
            parts.append(load(source, law=form, where=where, **{**reading, "columns": columns}).groups)
    return np.array(
        [" ".join(map(str, one)) for one in zip(*(part or [""] * len(points) for part in parts), strict=True)], object
    )


def _tasks(
    chosen: list[str | Law],
    forms: list[Law],
    parts: dict[str, list[tuple[Points, np.ndarray]]],
    options: dict[str, Any],
) -> list[Task]:
    tasks = []
    most = max(len(form.parameters) for form in forms)
    for group, per_law in parts.items():
        everything, held = per_law[0]
        if not held.any() or held.all():
            continue
        how = combine.ahead(everything.where(~held), everything.where(held), forms)
        for law, form, (points, out) in zip(chosen, forms, per_law, strict=True):
            label = points[form.labels[0]][~out] if form.labels else None
            splits = combine.origins(points.where(~out), how, most, label)
            tasks.append(Task(group, law, points, out, splits, options))
    if not tasks:
        raise DataError("holdout: no group has points on both sides of it")
    return tasks


def _run(tasks: list[Task], workers: int | None, progress: Callable[[int, int], None] | None) -> list[Result]:
    done: list[Result] = []
    by_name = all(isinstance(task.law, str) for task in tasks)  # a Law itself does not travel to another process
    if workers == 1 or not by_name or len(tasks) <= FEW:
        stream: Any = map(_one, tasks)
        pool = None
    else:
        pool = ProcessPoolExecutor(workers, get_context("spawn"))  # a fork would not have the threads of a solver
        stream = pool.map(_one, tasks)
    try:
        for result in stream:
            done.append(result)
            if progress:
                progress(len(done), len(tasks))
    finally:
        if pool:
            pool.shutdown(cancel_futures=True)
    return done


def _one(task: Task) -> Result:
    """Fits one law to one group, foretells what it held back, and what its own end would have been."""
    form, name = form_of(task.law), name_of(task.law)
    points = task.everything.where(~task.held)
    measured = task.everything[form.output][task.held]
    try:
        found = fit(points, task.law, **task.options)
    except FitError as error:
        nothing = np.full(len(measured), np.nan)
        return Result(task.group, name, measured, nothing, nothing[None], [], str(error))
    # A law of a schedule needs every row of a curve to tell any of them.
    at = np.ones(len(task.held), bool) if form.labels else task.held
    inputs = {letter: task.everything[letter][at] for letter in form.inputs}
    with np.errstate(all="ignore"):
        predicted = found.predict(**inputs)[task.held[at]]
        draws = found.predict_draws(**inputs)[:, task.held[at]]
    rng = np.random.default_rng(task.options["seed"])
    n = len(found.points)
    residual = found.residuals()
    residual = residual[np.isfinite(residual)] * np.sqrt(n / max(n - len(form.parameters), 1))
    draws = draws * np.exp(rng.choice(residual - residual.mean(), size=draws.shape))
    told = combine.foretold(points, found.points, form, found.objective, task.splits)
    return Result(task.group, name, measured, predicted, draws, told)

"""Backtests: laws fitted to one part of the points, held against another; and a forecast of all of them together.

Key: K laws, G groups, n held-out points, B draws.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from analysis import forecast, laws
from analysis.fitting import fit, plain
from analysis.laws.law import Law
from analysis.points import Points, load
from analysis.solve import FitError
from analysis.where import DataError

COMBINED = "combined"
FEW = 4  # tasks that are not worth a second process


@dataclass(frozen=True)
class Score:
    """A law against what was held out, means over groups.

    rmsle: √mean (ln ŷ − ln y)². relative: mean |ŷ/y − 1|. bias: mean of ln ŷ − ln y. coverage: share of points within
    the prediction interval, which is `width` wide in ln y. weight: of the law in the combined forecast. groups: how
    many it could be fitted to.
    """

    law: str
    rmsle: float
    relative: float
    bias: float
    coverage: float
    width: float
    groups: int
    foretold: float
    weight: float | None = None


@dataclass(frozen=True)
class Backtest:
    """Scores of laws, the combined forecast last; by_group: {group: {law: rmsle}}; points and held: how many.

    predicted: {group: {law: ŷ (n,)}} and measured {group: y (n,)} of what was held out.
    """

    source: str
    holdout: str
    level: float
    points: int
    held: int
    scores: tuple[Score, ...]
    by_group: dict[str, dict[str, float]]
    weights: dict[str, float]
    notes: tuple[str, ...]
    predicted: dict[str, dict[str, np.ndarray]] = field(repr=False)
    measured: dict[str, np.ndarray] = field(repr=False)

    @property
    def combined(self) -> Score:
        """The combined forecast's."""
        return self.scores[-1]

    @property
    def best(self) -> Score:
        """The single law that turned out best, which nobody could have known."""
        return min(self.scores[:-1], key=lambda one: (-one.groups, one.rmsle))

    def to_json(self) -> dict[str, Any]:
        """What `backtest --json` writes."""
        return dict(
            plain(
                {
                    "source": self.source,
                    "holdout": self.holdout,
                    "points": self.points,
                    "held": self.held,
                    "groups": len(self.by_group),
                    "level": self.level,
                    "scores": [vars(one) for one in self.scores],
                    "weights": self.weights,
                    "best": self.best.law,
                    "by_group": self.by_group,
                    "notes": list(self.notes),
                }
            )
        )


@dataclass(frozen=True)
class Task:
    """One law on one group."""

    group: str
    law: str | Law
    everything: Points
    held: np.ndarray  # (n,) bool
    splits: list[tuple[np.ndarray, np.ndarray]]
    options: dict[str, Any]


@dataclass(frozen=True)
class Result:
    """What became of a task, or why not: predicted (n,), draws of it with noise (B, n), errors (v,) at each origin."""

    group: str
    law: str
    predicted: np.ndarray
    draws: np.ndarray
    foretold: list[np.ndarray]
    failed: str | None = None


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
    """Laws fitted to the points that `holdout` (analysis/where.py) does not name, and what they say of those it names.

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
    return _judge(str(source) if isinstance(source, str | Path) else "table", holdout, level, chosen, tasks, results)


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
        how = forecast.ahead(everything.where(~held), everything.where(held), forms)
        for law, form, (points, out) in zip(chosen, forms, per_law, strict=True):
            label = points[form.labels[0]][~out] if form.labels else None
            splits = forecast.origins(points.where(~out), how, most, label)
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
        pool = ProcessPoolExecutor(workers)
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
    nothing = np.full(int(task.held.sum()), np.nan)
    try:
        found = fit(points, task.law, **task.options)
    except FitError as error:
        return Result(task.group, name, nothing, nothing[None], [], str(error))
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
    told = forecast.foretold(points, found.points, form, found.objective, task.splits)
    return Result(task.group, name, predicted, draws, told)


def _judge(
    source: str, holdout: str, level: float, chosen: list[str | Law], tasks: list[Task], results: list[Result]
) -> Backtest:
    names = [name_of(one) for one in chosen]
    by: dict[str, dict[str, Result]] = {}
    measured: dict[str, np.ndarray] = {}
    for task, result in zip(tasks, results, strict=True):
        by.setdefault(task.group, {})[result.law] = result
        measured[task.group] = task.everything[form_of(task.law).output][task.held]
    fitted = [name for name in names if any(by[group][name].failed is None for group in by)]
    if not fitted:
        raise FitError(next(result.failed for result in results if result.failed) or "no law could be fitted")
    weights, notes = _weights(by, fitted)
    for name in names:
        why = [group for group in by if by[group][name].failed]
        if why:
            notes.append(f"{name}: not fitted to {len(why)} of {len(by)} groups: {by[why[0]][name].failed}")
    for group in by:
        by[group][COMBINED] = _combine(by[group], weights)
    scores = tuple(_score(name, by, measured, level, weights) for name in (*fitted, COMBINED))
    first = {task.group: task for task in tasks}.values()
    return Backtest(
        source=source,
        holdout=holdout,
        level=level,
        points=sum(int((~task.held).sum()) for task in first),
        held=sum(int(task.held.sum()) for task in first),
        scores=scores,
        by_group={
            group: {name: _rmsle(by[group][name], measured[group]) for name in (*fitted, COMBINED)} for group in by
        },
        weights=weights,
        notes=tuple(notes),
        predicted={group: {name: one.predicted for name, one in by[group].items()} for group in by},
        measured=measured,
    )


def _weights(by: dict[str, dict[str, Result]], names: list[str]) -> tuple[dict[str, float], list[str]]:
    """Of each law in the combined forecast, by what it foretold in all groups, and what there is to say of them."""
    errors = []
    for results in by.values():
        told = [results[name].foretold for name in names]
        count = max(len(one) for one in told)
        group = []
        for origin in range(count):
            size = max(len(one[origin]) for one in told if one)
            group.append(np.stack([one[origin] if one else np.full(size, forecast.LOST) for one in told]))
        errors.append(group)
    if not any(errors):
        return {name: 1 / len(names) for name in names}, [
            "too few points to try the laws on their own end: all count alike"
        ]
    return dict(zip(names, map(float, forecast.weigh(errors)), strict=True)), []


def _combine(results: dict[str, Result], weights: dict[str, float]) -> Result:
    """The weighted geometric mean of what could be fitted; its draws are theirs, as many of each as it counts."""
    told = [one for one in results.values() if one.failed is None and np.isfinite(one.predicted).all()]
    some = next(iter(results.values()))
    if not told:
        return Result(some.group, COMBINED, some.predicted, some.draws, [], "no law could be fitted")
    w = np.array([weights[one.law] for one in told])
    w = w / w.sum() if w.sum() > 0 else np.full(len(w), 1 / len(w))
    predicted = np.exp(sum(share * np.log(one.predicted) for share, one in zip(w, told, strict=True)))
    rng = np.random.default_rng(0)
    size = max(len(one.draws) for one in told)
    counts = np.maximum(np.round(w * size).astype(int), 0)
    draws = [one.draws[rng.integers(len(one.draws), size=count)] for count, one in zip(counts, told, strict=True)]
    return Result(some.group, COMBINED, predicted, np.concatenate(draws), [])


def _errors(result: Result, measured: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        return np.log(result.predicted) - np.log(measured)


def _rmsle(result: Result, measured: np.ndarray) -> float:
    return float(np.sqrt(np.mean(_errors(result, measured) ** 2)))


def _score(
    name: str,
    by: dict[str, dict[str, Result]],
    measured: dict[str, np.ndarray],
    level: float,
    weights: dict[str, float],
) -> Score:
    rows, told = [], []
    for group, results in by.items():
        one, y = results[name], measured[group]
        if one.failed is None:
            low, high = np.nanquantile(one.draws, [(1 - level) / 2, (1 + level) / 2], axis=0)
            error = _errors(one, y)
            inside, width = np.mean((low <= y) & (y <= high)), np.mean(np.log(high / low))
            rows.append([_rmsle(one, y), np.mean(np.abs(np.expm1(error))), error.mean(), inside, width])
            told += [float(np.sqrt(np.mean(e**2))) for e in one.foretold]
    means = [float(value) for value in np.mean(rows, 0)]
    back = float(np.mean(told)) if told else float("nan")
    return Score(name, *means, groups=len(rows), foretold=back, weight=weights.get(name))

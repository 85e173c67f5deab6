"""Makes tasks of a table of scores: metrics by run with intervals, chance level, and what was derived."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtri

from analysis.data.options import ReadOptions
from analysis.data.sources import readers
from analysis.data.table import Table
from analysis.errors import DataError
from analysis.evals.options import ALL_TASKS, AXES, EmergenceOptions
from analysis.evals.score_table.columns import (
    CONTINUOUS_METRICS,
    choose_score_columns,
    is_exact_match,
    metric_kind,
    metric_rank,
)
from analysis.evals.score_table.rows import ScoreRows, read_rows
from analysis.evals.tasks import Task, TaskMetric, TaskScores, chance_level, select_tasks
from analysis.solver.robust import robust_std
from scaling.store.score_intervals import wilson_interval

SIGN = {"logp": 1.0, "brier": -1.0, "edit": -1.0}  # such that higher is better
MIN_ITEMS = 10.0  # smallest number of items computed from a standard error
Parts = dict[str, pd.DataFrame]  # rows of each kind of metric, in one order of runs


def load_score_table(
    source: Any, options: EmergenceOptions = EmergenceOptions(), reading: ReadOptions = ReadOptions()
) -> TaskScores:
    """Reads tasks in the order of the table.

    Args:
        source: A table's file, a DataFrame, or columns by name.
        options: Tasks, metrics, chance levels and level.
        reading: Columns, units, rows and counting convention.

    Raises:
        DataError: A column or a value is missing or not allowed.
    """
    table = _unfold_tasks(readers.read_table(source, reading, "score"), options.tasks)
    rows = read_rows(table, reading, options.score)
    tasks = [_task(name, shots, frame, rows, options) for (name, shots), frame in _rows_by_task(rows, options).items()]
    return TaskScores(tuple(tasks), rows.notes, rows.loss_unit)


def _unfold_tasks(table: Table, tasks: tuple[str, ...]) -> Table:
    """A table with one row per run and task, of one with a column for each of the tasks; other tables unchanged."""
    frame = table.frame
    if not tasks or not set(tasks) <= set(frame.columns) or {"task", "score"} & set(frame.columns):
        return table
    others = [column for column in frame.columns if column not in tasks]
    long = frame.melt(others, list(tasks), "task", "score")
    lines = None if table.lines is None else np.tile(table.lines[frame.index], len(tasks))
    return replace(table, frame=long, lines=lines).with_notes(f"columns {', '.join(tasks)} read as the scores of tasks")


def has_only_scores(source: Any, reading: ReadOptions = ReadOptions()) -> bool:
    """Returns whether a table has scores of tasks rather than losses of runs: a column task, or no loss.

    Args:
        source: A table's file, a DataFrame, or columns by name.
        reading: Columns and units that the user named.
    """
    table = readers.read_table(source, reading)
    try:
        columns = choose_score_columns(table, reading, None)
    except DataError:
        return False
    return "task" in columns.names or "L" not in columns.scales.names


def _rows_by_task(rows: ScoreRows, options: EmergenceOptions) -> dict[tuple[str, int], pd.DataFrame]:
    """The rows of each task and number of shots that the options select."""
    frame = rows.frame
    if not len(frame):
        raise DataError(f"{rows.name}: no rows with a score{': ' if rows.notes else ''}{'; '.join(rows.notes)}")
    names = frame["task"] if "task" in frame else pd.Series("task", frame.index)
    shots = frame["shots"].fillna(0).astype(int) if "shots" in frame else pd.Series(0, frame.index)
    keys = list(dict.fromkeys(zip(names, shots, strict=True)))
    selected = select_tasks([name for name, _ in keys], options.tasks, rows.name)
    return {
        (name, k): frame[(names == name) & (shots == k)] for (name, k), use in zip(keys, selected, strict=True) if use
    }


def _task(name: str, shots: int, frame: pd.DataFrame, rows: ScoreRows, options: EmergenceOptions) -> Task:
    where = f"{rows.name}: task {name}"
    if "metric" in frame:
        parts, score_name, notes = _long_parts(frame, where, options)
    else:
        parts, score_name, notes = _wide_parts(frame), rows.columns.names.get("score", ""), []
    runs = next(iter(parts.values()))
    measures = {}
    for kind, part in parts.items():
        measures[kind], more = _measure(kind, _with_items(part, name, options), where, options.level)
        notes += more
    levels = frame["chance"].dropna().unique() if "chance" in frame else np.zeros(0)
    if len(levels) > 1:
        raise DataError(f"{where}: several chance levels ({levels[0]:g}, {levels[1]:g}): give one with --chance")
    choices = float(frame["choices"].mean()) if "choices" in frame else float("nan")
    chance, chance_notes = chance_level(
        name, options.chance, float(levels[0]) if len(levels) else np.nan, choices, exact=is_exact_match(score_name)
    )
    if chance >= 1:
        raise DataError(f"{where}: chance level {chance:g}: must be a share from 0 to below 1")
    scales = {axis: runs[axis].to_numpy(float) for axis in AXES}
    labels = runs["run"].to_numpy() if "run" in runs else np.array([f"row {i + 1}" for i in runs.index])
    return Task(
        name=f"{name}@{shots}" if shots else name,
        family=name,
        difficulty=float("nan"),
        shots=shots,
        chance=chance,
        runs=pd.DataFrame({**scales, "run": labels}).assign(step=0),
        measures=measures,
        score="score" if "score" in measures else None,
        continuous=_continuous(measures, options.continuous),
        notes=(*notes, *chance_notes),
    )


def _with_items(rows: pd.DataFrame, task: str, options: EmergenceOptions) -> pd.DataFrame:
    """The rows with the number of items of the options where the table has none."""
    count = options.items.get(task, options.items.get(ALL_TASKS))
    if count is None:
        return rows
    return rows.assign(n=rows["n"].fillna(count) if "n" in rows else count)


def _continuous(measures: dict[str, TaskMetric], metric: str | None) -> str | None:
    wanted = CONTINUOUS_METRICS if metric is None else (metric_kind(metric) or metric,)
    return next((name for name in wanted if name in measures and name != "score"), None)


def _wide_parts(frame: pd.DataFrame) -> Parts:
    """The rows for each metric that has a column, with its values in the column `value`."""
    kinds = ["score", *(k for k in CONTINUOUS_METRICS if k in frame and frame[k].notna().all())]
    return {kind: _with_value(frame, kind, frame[kind]) for kind in kinds}


def _with_value(frame: pd.DataFrame, kind: str, values: pd.Series) -> pd.DataFrame:
    """Rows with a column `value` and, where it is known, the standard error `se`."""
    frame = frame.assign(value=values)
    own = f"se {kind}"
    return frame.assign(se=frame[own]) if own in frame else frame


def _long_parts(frame: pd.DataFrame, where: str, options: EmergenceOptions) -> tuple[Parts, str, list[str]]:
    """The rows for each kind of metric in one order of runs, the metric that is the score, and notes."""
    metrics: dict[str, list[str]] = {}
    for metric in dict.fromkeys(frame["metric"]):
        kind = "score" if metric == options.score else metric_kind(metric)
        metrics.setdefault(str(kind), []).append(metric)
    chosen, notes = {}, []
    for kind, names in metrics.items():
        wanted = options.score if kind == "score" else options.continuous
        ranked = sorted(names, key=lambda name: (name != wanted, metric_rank(name) if metric_kind(name) else 0))
        chosen[kind] = ranked[0]
        if ranked[1:]:
            notes.append(f"{kind} is the metric {ranked[0]} (not {', '.join(ranked[1:])})")
    parts = {kind: _with_value(rows, kind, rows["score"]) for kind, rows in _selected(frame, chosen).items()}
    keys = [key for key in ("run", *AXES) if key in frame]
    first = "score" if "score" in parts else next(iter(parts))
    parts = {kind: part.sort_values(keys, kind="stable") for kind, part in parts.items()}
    reference = parts[first][keys]
    for kind in [k for k in parts if k != first]:
        if not reference.reset_index(drop=True).equals(parts[kind][keys].reset_index(drop=True)):
            del parts[kind]
            notes.append(f"metric {chosen[kind]} left out: its runs are not those of {chosen[first]}")
    return parts, chosen[first], notes


def _selected(frame: pd.DataFrame, metrics: dict[str, str]) -> Parts:
    return {kind: frame[frame["metric"] == metric] for kind, metric in metrics.items()}


def _measure(kind: str, rows: pd.DataFrame, where: str, level: float) -> tuple[TaskMetric, list[str]]:
    """A metric by run, and notes on derived numbers of items."""
    y = rows["value"].to_numpy(float) * SIGN.get(kind, 1.0)
    n, se = (rows[name].to_numpy(float) if name in rows else np.full(len(y), np.nan) for name in ("n", "se"))
    if kind == "score":
        if (y < 0).any() or (y > 1).any():
            outside = y[(y < 0) | (y > 1)][0]
            raise DataError(
                f"{where}: score {outside:g}: must be a share of correct answers from 0 to 1, or --units score=percent"
            )
        n, notes = _item_counts(y, n, se, where)
        interval = np.array([wilson_interval(share * items, items, level) for share, items in zip(y, n, strict=True)])
        return TaskMetric(kind, y, y * (1 - y) / n, interval, n, share=True), notes
    variance = np.where(np.isnan(se), _noise_variance(y[np.argsort(_scale(rows), kind="stable")]), se**2)
    half = float(ndtri((1 + level) / 2)) * np.sqrt(variance)
    return TaskMetric(kind, y, variance, np.stack([y - half, y + half], -1), np.nan_to_num(n)), []


def _item_counts(y: np.ndarray, n: np.ndarray, se: np.ndarray, where: str) -> tuple[np.ndarray, list[str]]:
    """Number of items of each run: as stated, else y(1 - y)/se², else as in the other runs of the task."""
    missing = ~(n > 0)
    if not missing.any():
        return n, []
    with np.errstate(all="ignore"):
        derived = np.where(missing & (se > 0), np.maximum(y * (1 - y) / se**2, MIN_ITEMS), np.nan)
    derived[(y <= 0) | (y >= 1)] = np.nan  # their standard error is 0 whatever the number of items
    known = np.concatenate([derived[np.isfinite(derived)], n[~missing]])
    if not len(known):
        raise DataError(f"{where}: scores need n, their number of items (or --items 1000), or se, their standard error")
    counts = np.where(missing, np.where(np.isfinite(derived), derived, np.median(known)), n)
    typical = np.median(counts[missing])
    return counts, [
        f"n of {int(missing.sum())} scores derived from the standard error: p(1 - p)/se², about {typical:.0f}"
    ]


def _scale(rows: pd.DataFrame) -> np.ndarray:
    return np.asarray(next(rows[axis] for axis in AXES if rows[axis].notna().any()), float)


def _noise_variance(y: np.ndarray) -> float:
    """Variance of points about a smooth curve, 1/6 of the variance of their second differences (a robust estimate)."""
    if len(y) < 3:
        return float(np.var(y))
    return robust_std(np.diff(y, 2)) ** 2 / 6

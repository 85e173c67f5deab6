"""Reads a table of scores as tasks: columns task, at least one of C, N, D, L, and scores.

Long form: the column `metric` names the metric of `score`, one row per metric. Wide form: `score` (a share of correct
answers) and columns of continuous metrics. Instead of `score`, a table can have counts: `k` correct of `n` items. A
share needs `n`, its number of items, or `se`, its standard error.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import ndtri

from analysis.data.columns.names import COLUMN_NAMES as RUN_COLUMN_NAMES
from analysis.data.sources import readers
from analysis.data.table import Table, parse_column
from analysis.errors import DataError
from analysis.evals.metrics import wilson_interval
from analysis.evals.options import AXES
from analysis.evals.tasks import Task, TaskMetric
from analysis.format import join_names
from analysis.solver.robust import robust_std

COLUMN_NAMES = {  # names under which each column is recognised
    "task": ("task", "benchmark", "dataset"),
    **{letter: (letter, *RUN_COLUMN_NAMES[letter].split()[1:]) for letter in "CNDL"},
    "metric": ("metric",),
    "score": ("score", "value", "accuracy", "acc", "exact_match", "em", "exact"),
    "k": ("k", "hits", "correct"),
    "n": ("n", "items", "n_items", "count", "total"),
    "se": ("se", "stderr"),
    "chance": ("chance", "random"),
    "run": ("run", "run_id", "model", "name"),
    "logp": ("logp", "log_prob", "logprob", "log_likelihood", "loglikelihood"),
    "brier": ("brier", "brier_score"),
    "edit": ("edit", "edit_distance", "token_edit_distance"),
}
TEXT_COLUMNS = ("task", "metric", "run")
CONTINUOUS_METRICS = ("logp", "brier", "edit")
SIGN = {"logp": 1.0, "brier": -1.0, "edit": -1.0}  # such that higher is better
MIN_ITEMS = 10.0  # smallest number of items computed from a standard error


def load_score_table(path: Path, level: float) -> list[Task]:
    """Reads tasks in the order of the table.

    Args:
        path: File of the table.
        level: Coverage of the intervals.

    Raises:
        DataError: A column or a value is missing or not allowed.
    """
    frame = _frame(readers.read_table(path), path)
    names = frame["task"] if "task" in frame else pd.Series("task", frame.index)
    return [_task(str(name), frame[names == name], str(path), level) for name in dict.fromkeys(names)]


def _frame(table: Table, path: Path) -> pd.DataFrame:
    """The recognised columns under standard names, with numbers as floats."""
    available = {c if len(c) == 1 else c.lower(): c for c in map(str, table.frame.columns)}  # N parameters, n items
    columns = {key: next((available[n] for n in names if n in available), None) for key, names in COLUMN_NAMES.items()}
    if columns["score"] is None and columns["k"] is None:
        raise DataError(f"{path}: no column of scores (score, or k and n): it has {join_names(table.frame.columns)}")
    if not any(columns[axis] for axis in AXES):
        raise DataError(f"{path}: no column of scale ({', '.join(AXES)}): it has {join_names(table.frame.columns)}")
    frame = pd.DataFrame(index=table.frame.index)
    for key, column in columns.items():
        if column is None:
            continue
        cells = table.frame[column]
        if key in TEXT_COLUMNS:
            frame[key] = cells.astype(str).str.strip()
            continue
        frame[key] = parse_column(cells, counts=key in AXES, decimal_comma=table.decimal_comma).values
        bad = ~np.isfinite(frame[key]) & (cells.notna() & (cells.astype(str).str.strip() != ""))
        if bad.any():
            row = int(np.argmax(bad))
            row_name = table.row_name(frame.index[row])
            raise DataError(f"{path}: {row_name}, column {column}: {cells.iloc[row]!r} is not a number")
    if "k" in frame and "n" not in frame:
        raise DataError(f"{path}: column {columns['k']} needs a column n, the number of items")
    if "k" in frame:
        frame["score"] = frame["k"] / frame["n"]
    return frame


def _task(name: str, rows: pd.DataFrame, source: str, level: float) -> Task:
    runs, rows_by_metric = _split_metrics(name, rows, source)
    measures = {kind: _measure(kind, part, source, name, level) for kind, part in rows_by_metric.items()}
    chance = rows["chance"].dropna() if "chance" in rows else pd.Series(dtype=float)
    columns = {axis: runs[axis].to_numpy(float) if axis in runs else np.full(len(runs), np.nan) for axis in AXES}
    columns["run"] = runs["run"].to_numpy() if "run" in runs else np.array([f"row {i + 1}" for i in runs.index])
    return Task(
        name=name,
        family=name,
        difficulty=float("nan"),
        shots=0,
        chance=float(chance.iloc[0]) if len(chance) else 0.0,
        runs=pd.DataFrame(columns).assign(step=0),
        measures=measures,
        score="score" if "score" in measures else None,
        continuous=next((metric for metric in CONTINUOUS_METRICS if metric in measures), None),
    )


def _split_metrics(name: str, rows: pd.DataFrame, source: str) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """The rows of runs, and for each metric the same rows with its values in the column `value`."""
    if "metric" not in rows:
        parts = {"score": rows.assign(value=rows["score"])}
        for metric in CONTINUOUS_METRICS:
            if metric in rows and rows[metric].notna().any():
                parts[metric] = rows.assign(value=rows[metric])
        return rows, parts
    kinds = {m: _metric_kind(m, source) for m in dict.fromkeys(rows["metric"])}
    parts = {kinds[m]: rows[rows["metric"] == m].assign(value=lambda r: r["score"]) for m in kinds}
    if len(parts) < len(kinds):
        raise DataError(
            f"{source}: task {name}: several metrics of one kind ({', '.join(kinds)}): keep one of each kind"
        )
    return _align_runs(parts, name, source)


def _metric_kind(metric: str, source: str) -> str:
    """The kind of a metric, score or one of CONTINUOUS_METRICS, by its name."""
    name = metric.lower().replace("-", "_").replace(" ", "_")
    for kind in ("score", *CONTINUOUS_METRICS):
        if name in COLUMN_NAMES[kind] or name == kind:
            return kind
    names = [n for kind in ("score", *CONTINUOUS_METRICS) for n in COLUMN_NAMES[kind]]
    raise DataError(f"{source}: metric {metric!r}: must be one of {', '.join(names)}")


def _align_runs(parts: dict[str, pd.DataFrame], name: str, source: str) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Sorts the rows of each metric into the same order of runs."""
    keys = [key for key in ("run", *AXES) if key in next(iter(parts.values()))]
    aligned = {kind: part.sort_values(keys, kind="stable") for kind, part in parts.items()}
    first_kind, first = next(iter(aligned.items()))
    for kind, part in aligned.items():
        if len(part) != len(first) or not (part[keys].to_numpy() == first[keys].to_numpy()).all():
            raise DataError(f"{source}: task {name}: {kind} and {first_kind} must have the same runs")
    return first, aligned


def _measure(kind: str, rows: pd.DataFrame, source: str, task: str, level: float) -> TaskMetric:
    y = rows["value"].to_numpy(float) * SIGN.get(kind, 1.0)
    n = rows["n"].to_numpy(float) if "n" in rows else np.full(len(y), np.nan)
    se = rows["se"].to_numpy(float) if "se" in rows else np.full(len(y), np.nan)
    if kind == "score":
        if (y < 0).any() or (y > 1).any() or np.isnan(y).any():
            raise DataError(
                f"{source}: task {task}: scores must be shares of correct answers from 0 to 1, without gaps"
            )
        if np.isnan(n).any() and np.isnan(se).any():
            raise DataError(f"{source}: task {task}: scores need n, their number of items, or se, their standard error")
        n = np.where(np.isnan(n), np.maximum(y * (1 - y) / np.maximum(se, 1e-6) ** 2, MIN_ITEMS), n)
        interval = np.array([wilson_interval(share * items, items, level) for share, items in zip(y, n, strict=True)])
        return TaskMetric(kind, y, y * (1 - y) / n, interval, n, share=True)
    variance = np.where(np.isnan(se), _noise_variance(y[np.argsort(_scale(rows), kind="stable")]), se**2)
    half = float(ndtri((1 + level) / 2)) * np.sqrt(variance)
    return TaskMetric(kind, y, variance, np.stack([y - half, y + half], -1), np.nan_to_num(n))


def _scale(rows: pd.DataFrame) -> np.ndarray:
    return np.asarray(next(rows[axis] for axis in AXES if axis in rows), float)


def _noise_variance(y: np.ndarray) -> float:
    """Variance of points about a smooth curve, 1/6 of the variance of their second differences (a robust estimate)."""
    if len(y) < 3:
        return float(np.var(y))
    return robust_std(np.diff(y, 2)) ** 2 / 6

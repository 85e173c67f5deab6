"""Converts tables exported by experiment trackers (Weights & Biases): nested cells, line plots, unfinished runs."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from analysis.data.table import Table
from analysis.format import join_names, plural

NESTED = ("config", "summary", "summary_metrics")  # columns with one object per run
STEPS = ("step", "_step", "global_step", "train/global_step", "trainer/global_step")
PLOT_SEPARATOR = " - "  # columns of a line plot are called "RUN - METRIC"
RANGES = ("__MIN", "__MAX")
FINISHED = ("done", "finished", "completed", "complete", "succeeded", "success")
UNFINISHED = (
    *("running", "stopped", "diverged", "failed", "crashed", "killed", "preempted", "preempting", "pending", "queued"),
    *("starting", "canceled", "cancelled", "error", "timeout", "incomplete"),
)


def flatten(row: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flattens nested objects: names are joined with dots, and {"value": x} becomes x.

    Args:
        row: Object, which can contain objects.
        prefix: Prefix of every name.
    """
    return dict(_items(row, prefix))


def _items(row: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in row.items():
        if isinstance(value, dict) and "value" in value and set(value) <= {"value", "desc"}:
            value = value["value"]
        if isinstance(value, dict):
            yield from _items(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def unfold(table: Table) -> Table:
    """Converts nested cells to columns, and an exported line plot to rows of name, step and metric.

    Other tables are returned unchanged.
    """
    for name in [column for column in table.frame.columns if column.lower() in NESTED]:
        objects = [_parse_object(cell) for cell in table.frame[name]]
        if any(objects):
            rows = [flatten(cell, f"{name}.") for cell in objects]
            nested = pd.DataFrame(rows, index=table.frame.index, dtype=object)
            nested = nested[[column for column in nested if column not in table.frame.columns]]
            table = replace(table, frame=pd.concat([table.frame.drop(columns=name), nested], axis=1))
    curves = _plotted_columns(list(table.frame.columns))
    return _unfold_plot(table, curves) if curves else table


def _parse_object(cell: Any) -> dict[str, Any]:
    """Object in a cell such as {"lr": 0.1}, in JSON or Python syntax; empty for other cells."""
    if isinstance(cell, dict):
        return cell
    if not isinstance(cell, str) or not cell.lstrip().startswith("{"):
        return {}
    try:
        value = json.loads(cell)
    except ValueError:
        try:
            value = ast.literal_eval(re.sub(r"(?<=[:\s\[,])-?(?:nan|inf)(?=[,}\]\s])", "None", cell))
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return {}
    return value if isinstance(value, dict) else {}


def _plotted_columns(names: list[str]) -> list[str]:
    """Columns of an exported line plot, one per run and metric; empty for other tables."""
    if len(names) < 2 or names[0].lower() not in STEPS or any(PLOT_SEPARATOR not in name for name in names[1:]):
        return []
    columns = [name for name in names[1:] if not name.endswith(RANGES)]
    metrics = [name.rpartition(PLOT_SEPARATOR)[2].lower().lstrip("_") for name in columns]
    return [
        name for name, metric in zip(columns, metrics, strict=True) if metric not in ("step", "timestamp", "runtime")
    ]


def _unfold_plot(table: Table, columns: list[str]) -> Table:
    steps = table.frame.columns[0]
    parts = []
    for name in columns:
        run, _, metric = name.rpartition(PLOT_SEPARATOR)
        filled = table.frame[name].map(lambda cell: cell == cell and cell is not None and str(cell).strip() != "")
        rows = table.frame.loc[filled.to_numpy(bool), [steps, name]]
        parts.append(pd.DataFrame({"name": run, "step": rows.iloc[:, 0], metric: rows.iloc[:, 1]}, dtype=object))
    frame = pd.concat(parts)
    lines = None if table.lines is None else table.lines[frame.index.to_numpy(int)]
    note = (
        f"a line plot of {plural(len(parts), 'run')}, {plural(len(frame), 'row')}: the sizes of the runs are not known"
    )
    return replace(table.with_notes(note), frame=frame.reset_index(drop=True), lines=lines, is_line_plot=True)


def last_values(table: Table) -> Table:
    """Returns the last row of each curve of a line plot."""
    last = ~table.frame["name"].duplicated(keep="last").to_numpy(bool)
    return table.select(last).with_notes("only the last value of each curve is used")


def finished_runs(table: Table) -> Table:
    """Returns the finished runs, by a column `status` or `state`, with a note on the others."""
    for name in [column for column in table.frame.columns if column.lower() in ("status", "state")]:
        states = table.frame[name].map(lambda cell: cell.strip().lower() if isinstance(cell, str) else "")
        if not len(states) or not states.isin([*FINISHED, *UNFINISHED]).all():
            continue
        finished = states.isin(FINISHED).to_numpy(bool)
        if finished.all():
            return table
        counts = table.frame.loc[~finished, name].value_counts()
        note = join_names(f"{number} {state}" for state, number in counts.items())
        return table.select(finished).with_notes(f"{plural(int(np.sum(~finished)), 'run')} left out: {note}")
    return table

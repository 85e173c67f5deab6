"""Converts tables exported by experiment trackers (Weights & Biases): nested cells and line plots."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from analysis.data.sources.json_text import DuplicateKeyError, parse_json
from analysis.data.table import Table, cell_texts
from analysis.errors import DataError
from analysis.format import join_names, plural

NESTED = ("config", "summary", "summary_metrics")  # columns with one object per run
STEPS = ("step", "_step", "global_step", "train/global_step", "trainer/global_step")
PLOT_SEPARATOR = " - "  # columns of a line plot are called "RUN - METRIC"
RANGES = ("__MIN", "__MAX")
TIMES = ("step", "timestamp", "runtime")  # metrics that say where a point is


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
    for name in [column for column in table.frame.columns if column.lower() in NESTED or _has_objects(table, column)]:
        objects = _parse_objects(table, name)
        if any(objects):
            rows = [flatten(cell, f"{name}.") for cell in objects]
            nested = pd.DataFrame(rows, index=table.frame.index, dtype=object)
            nested = nested[[column for column in nested if column not in table.frame.columns]]
            table = replace(table, frame=pd.concat([table.frame.drop(columns=name), nested], axis=1))
    curves = _plotted_columns(list(table.frame.columns))
    return _unfold_plot(table, curves) if curves else table


def _has_objects(table: Table, column: str) -> bool:
    """Whether the cells of a column are objects, as in a struct of Parquet; empty cells do not count."""
    cells = table.frame[column]
    if cells.dtype != object:
        return False
    is_object = [isinstance(cell, dict) for cell in cells]
    return any(is_object) and all(isinstance(cell, dict | float) or cell is None for cell in cells)


def _parse_objects(table: Table, column: str) -> list[dict[str, Any]]:
    """Objects in the cells of a column; a DataError names the row of one that has a key twice."""
    objects = []
    for index, cell in table.frame[column].items():
        try:
            objects.append(_parse_object(cell))
        except DuplicateKeyError as error:
            raise DataError(f"{table.name}: {table.row_name(index)}, column {column}: {error}: keep one") from None
    return objects


def _parse_object(cell: Any) -> dict[str, Any]:
    """Object in a cell such as {"lr": 0.1}, in JSON or Python syntax; empty for other cells."""
    if isinstance(cell, dict):
        return cell
    if not isinstance(cell, str) or not cell.lstrip().startswith("{"):
        return {}
    try:
        value = parse_json(cell)
    except DuplicateKeyError:
        raise
    except ValueError:
        try:
            value = ast.literal_eval(re.sub(r"(?<=[:\s\[,])-?(?:nan|inf)(?=[,}\]\s])", "None", cell))
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return {}
    return value if isinstance(value, dict) else {}


def _plotted_columns(names: list[str]) -> list[str]:
    """Columns of an exported line plot, one per run and metric; empty for other tables.

    The first column is the axis: steps, tokens, hours or whatever the plot was drawn over.
    """
    columns = [name for name in names[1:] if not name.endswith(RANGES)]
    metrics = {name: name.rpartition(PLOT_SEPARATOR)[2].lower() for name in columns}
    if not columns or PLOT_SEPARATOR in names[0] or any(PLOT_SEPARATOR not in name for name in names[1:]):
        return []
    repeated = len(set(metrics.values())) < len(metrics) or len(columns) < len(names) - 1  # runs, or their ranges
    if names[0].lower() not in STEPS and not repeated:
        return []
    axis = names[0].lower().lstrip("_")
    return [name for name, metric in metrics.items() if metric.lstrip("_") not in (*TIMES, axis)]


def _unfold_plot(table: Table, columns: list[str]) -> Table:
    """Rows of name, axis and metrics, one per run and point; empty points are left out."""
    axis = table.frame.columns[0]
    renamed = "step" if axis.lower() in STEPS else axis
    metrics: dict[str, dict[str, str]] = {}
    for name in columns:
        run, _, metric = name.rpartition(PLOT_SEPARATOR)
        metrics.setdefault(run, {})[metric] = name
    parts = []
    for run, by_metric in metrics.items():
        texts = [cell_texts(table.frame[name]) for name in by_metric.values()]
        filled = [any(row) for row in zip(*texts, strict=True)]
        rows = table.frame.loc[filled]
        cells = {metric: rows[name] for metric, name in by_metric.items()}
        parts.append(pd.DataFrame({"name": run, renamed: rows[axis], **cells}, index=rows.index, dtype=object))
    frame = pd.concat(parts)
    lines = None if table.lines is None else table.lines[frame.index.to_numpy(int)]
    note = f"a line plot over {axis} of {plural(len(parts), 'run')}, {plural(len(frame), 'row')}"
    return replace(table.with_notes(note), frame=frame.reset_index(drop=True), lines=lines, curve_column="name")


def measured_rows(table: Table, columns: list[str]) -> Table:
    """Returns the rows of training curves in which every column has a value, with a note on the others.

    Args:
        table: Rows of curves, in which quantities are written at different steps.
        columns: Columns that a law needs, its output first. A column that then has no value at all leaves out no row.
    """
    filled = np.ones(len(table.frame), bool)
    gaps = []
    for column in dict.fromkeys(columns):
        has_value = filled & np.array([bool(cell) for cell in cell_texts(table.frame[column])], bool)
        if has_value.any() and not (has_value == filled).all():
            filled = has_value
            gaps.append(column)
    if not gaps:
        return table
    lost = join_names(sorted(set(table.frame[table.curve_column]) - set(table.frame[table.curve_column][filled])))
    note = f"{plural(int(np.sum(~filled)), 'row')} of curves without {' or '.join(gaps)} left out"
    return table.select(filled).with_notes(note + (f", and with them all of {lost}" if lost else ""))

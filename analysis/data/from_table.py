"""Converts a table to points: chooses columns, filters rows, converts cells and records notes on all of these steps.

Key: N parameters, D tokens, C training FLOPs, L loss; n rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from analysis.data.columns.choice import (
    ColumnChoice,
    check_sufficient,
    choose_columns,
    law_letters,
    with_unit_in_cells,
)
from analysis.data.columns.compute import complete_compute
from analysis.data.columns.names import error_column
from analysis.data.columns.reader import MAX_LISTED, ColumnReader
from analysis.data.options import ReadOptions
from analysis.data.points import Points, duplicate_rows
from analysis.data.rows.selection import fitted_rows
from analysis.data.rows.states import finished_rows
from analysis.data.rows.where import filter_rows
from analysis.data.sources.name_forms import name_hint
from analysis.data.sources.trackers import measured_rows
from analysis.data.sources.wide import wide_hint
from analysis.data.table import Table, cell_texts
from analysis.data.units import LOSS_UNIT, SHARE_LETTERS, unit_warnings
from analysis.errors import DataError
from analysis.format import join_names
from analysis.laws.law import Law

MAX_COMPUTE_RATIO = 3  # a note lists rows whose C / (6·N·D) differs from the median by a larger factor


def points_from_table(
    table: Table,
    options: ReadOptions,
    law: Law | None = None,
    store_columns: Mapping[str, str] | None = None,
    convention: str | None = None,
) -> Points:
    """Converts the rows of a table to points.

    Args:
        table: Rows of a source.
        options: Columns, units and rows.
        law: Law whose inputs and output are read; None reads N, D, C and L.
        store_columns: Columns of a store, by letter; None for other sources, whose columns are guessed.
        convention: What N and C count, as text; None derives it from the columns.

    Raises:
        DataError: One line that names the source and the row or column.
    """
    _check_flops(options)
    columns = choose_columns(table, options, law, store_columns or {})
    check_sufficient(table, columns.names, law, wide_hint(table) or name_hint(table))
    table, options = rows_of_curves(table, columns, law, options)
    reader = ColumnReader(columns, law, options.drop_bad)
    table, row_names = _selected_rows(table, options, reader)
    columns = with_unit_in_cells(columns, table)
    table, values, notes = replace(reader, columns=columns).read(table)
    values, counted, compute_notes = complete_compute(values, columns.names, options)
    names = row_names.of_rows(table)
    weights, weight_notes = _weights(table, values, columns, law.output if law else "L")
    notes = [*columns.notes, *table.notes, *notes, *(compute_notes if convention is None else [])]
    points = Points(
        N=values["N"],
        D=values["D"],
        C=values["C"],
        L=values.get("L", np.full(len(names), np.nan)),
        names=names,
        budgets=values.get("budget"),
        groups=_groups(table, columns),
        weights=weights,
        source=table.name,
        notes=(*notes, *weight_notes, *_value_warnings(values, columns, names)),
        convention=convention or counted,
        extra={letter: values[letter] for letter in law_letters(law) if letter in values},
        loss_unit=columns.units["L"].loss_unit if "L" in columns.units else LOSS_UNIT,
        epochs=values.get("epochs"),
    )
    points = fitted_rows(points, table.frame, columns.names, law, options, store_columns is not None)
    return _with_duplicate_note(points)


def _check_flops(options: ReadOptions) -> None:
    """Raises DataError for a convention of C that a table does not allow."""
    if options.flops not in (None, "6nd"):
        raise DataError(f"flops = {options.flops!r}: a file has no FLOPs by part: use 6nd, or name the column of C")
    if options.flops and "C" in options.columns:
        raise DataError(f"flops = {options.flops!r} and a column of C, {options.columns['C']}: give one of them")


def rows_of_curves(
    table: Table, columns: ColumnChoice, law: Law | None, options: ReadOptions
) -> tuple[Table, ReadOptions]:
    """Returns, of a table of curves, the rows with a value of each letter, and the options with the column of runs.

    Args:
        table: Rows of a source.
        columns: Columns of the letters.
        law: Law whose inputs and output are read.
        options: Options of reading; the result names the column of runs in them.
    """
    if table.curve_column is None:
        return table, options
    letters = (law.output, *law.inputs) if law else tuple("LNDC")
    runs = options.run_columns or (table.curve_column,)
    table = measured_rows(table, [columns.names[letter] for letter in letters if letter in columns.names])
    return table, replace(options, run_columns=runs)


def _selected_rows(table: Table, options: ReadOptions, reader: ColumnReader) -> tuple[Table, RowNames]:
    """Rows of finished runs that the filter selects, and the names of all rows, which do not depend on the filter."""
    table = finished_rows(table, options.where, frozenset(reader.columns.names.values()))
    row_names = RowNames.of_table(table, reader.columns)
    table = filter_rows(table, options.where, reader)
    if not len(table.frame):
        raise DataError(f"{table.name}: no rows to fit{': ' if table.notes else ''}{'; '.join(table.notes)}")
    return table, row_names


def _with_duplicate_note(points: Points) -> Points:
    """Returns the points with a note that lists duplicate rows, if there are any."""
    duplicates = duplicate_rows(points)
    if not duplicates:
        return points
    return replace(points, notes=(*points.notes, f"duplicate rows, not removed: {join_names(duplicates, 5)}"))


def _value_warnings(values: Mapping[str, np.ndarray], columns: ColumnChoice, names: list[str]) -> list[str]:
    """Returns warnings about values that are implausible in their unit, and about compute unlike 6ND."""
    warnings = []
    for letter in (*"NDCL", *SHARE_LETTERS):
        if letter in values and (letter not in columns.units or letter in columns.guessed_units):
            warnings += unit_warnings(letter, values[letter])
    return warnings + (_compute_warnings(values, names) if {"C", "budget"} & set(columns.names) else [])


def _weights(
    table: Table, values: Mapping[str, np.ndarray], columns: ColumnChoice, output: str
) -> tuple[np.ndarray | None, list[str]]:
    """Weights of the rows (n,): the column of weights, else 1/σ² of stated standard errors σ; and notes."""
    if "weight" in values:
        return values["weight"], []
    if "error" in values:
        return 1 / values["error"] ** 2, [
            "runs are weighted by 1/σ², σ the stated standard error (--weights even: equally)"
        ]
    beside = error_column(table, columns.names[output]) if output in columns.names else None
    if beside is None:
        return None, []
    return None, [f"column {beside} is not used: --columns error={beside} weights runs by 1/σ²"]


@dataclass(frozen=True)
class RowNames:
    """Names of rows: the cell in the column of names, with the row if several have that name, else the row.

    Attributes:
        column: Column of names; None: there is none.
        times: Number of rows of each name, before rows are selected; None: each name is that of one row.
    """

    column: str | None
    times: Counter[str] | None

    @staticmethod
    def of_table(table: Table, columns: ColumnChoice) -> RowNames:
        """Returns the names of the rows of a table.

        Args:
            table: All rows of finished runs.
            columns: Its columns.
        """
        column = columns.names.get("name")
        if column is None:
            return RowNames(None, None)
        labels = cell_texts(table.frame[column])
        names = set(labels)
        return RowNames(column, None if len(names) == len(labels) and "" not in names else Counter(labels))

    def of_rows(self, table: Table) -> list[str]:
        """Returns the names of selected rows of the table."""
        if self.column is None:
            return table.row_names()
        labels = cell_texts(table.frame[self.column])
        if (times := self.times) is None:
            return labels
        rows = table.row_names()
        return [
            label if label and times[label] == 1 else f"{label} in {row}" if label else row
            for label, row in zip(labels, rows, strict=True)
        ]


def _groups(table: Table, columns: ColumnChoice) -> list[str] | None:
    if "group" not in columns.names:
        return None
    groups = cell_texts(table.frame[columns.names["group"]])
    return groups if any(groups) else None


def _compute_warnings(values: Mapping[str, np.ndarray], names: list[str]) -> list[str]:
    """Warns of rows whose ratio C / (6·N·D) differs from the median by more than MAX_COMPUTE_RATIO."""
    with np.errstate(all="ignore"):
        ratio = values["C"] / (6 * values["N"] * values["D"])
    if not np.isfinite(ratio).all():
        return []
    differs = np.abs(np.log(ratio / np.median(ratio))) > np.log(MAX_COMPUTE_RATIO)
    if not differs.any():
        return []
    rows = join_names([f"{names[i]} ({ratio[i]:.3g})" for i in np.flatnonzero(differs)], MAX_LISTED)
    return [
        f"C is {np.median(ratio):.3g} times 6·N·D in most rows, but differs from that by more than a "
        f"factor of {MAX_COMPUTE_RATIO} in {rows}"
    ]

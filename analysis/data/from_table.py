"""A table as points: its columns chosen, its rows filtered, its cells converted, and notes on all of it.

Key: N parameters, D tokens, C training FLOPs, L loss in nats per token; n rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from analysis.data.columns import ColumnChoice, check_sufficient, choose_columns, complete_compute, law_letters
from analysis.data.filter import row_mask
from analysis.data.options import ReadOptions
from analysis.data.points import Points, duplicate_rows
from analysis.data.table import Table, cell_texts, parse_column, quote_cell
from analysis.data.trackers import finished_runs, last_values
from analysis.data.units import Unit, is_plausible, unit_warnings
from analysis.errors import DataError
from analysis.format import join_names, plural
from analysis.laws.law import Law

NOT_COUNTS = ("L", "weight", "lr")  # letters for which 70M is not a number
MAX_LISTED = 8  # rows that a note lists
MAX_COMPUTE_RATIO = 3  # C / (6·N·D) of a row over that of most rows, from which on a note names the row


def points_from_table(
    table: Table,
    options: ReadOptions,
    law: Law | None = None,
    store_columns: Mapping[str, str] | None = None,
    convention: str | None = None,
) -> Points:
    """Makes points of the rows of a table.

    Args:
        table: Rows of a source.
        options: Columns, units and rows.
        law: Law whose inputs and output are read; N, D, C and L without one.
        store_columns: Columns of a store, by letter; None for other sources, whose columns are guessed.
        convention: What N and C count, in words, where the source counts them itself.

    Raises:
        DataError: One line that names the source and the row or column.
    """
    if options.flops not in (None, "6nd"):
        raise DataError(
            f"flops = {options.flops!r}: a file carries no counts by part: allowed is 6nd, or name a column as C"
        )
    if table.is_line_plot and not (law and set(law.inputs) <= {"S", "x"}):
        table = last_values(table)
    columns = choose_columns(table, options, law, store_columns or {})
    check_sufficient(table, columns.names, law)
    table = finished_runs(table)
    label = _label_column(table, columns)
    reader = ColumnReader(columns, law, options.drop_bad)
    table = filter_rows(table, options.where, reader)
    if not len(table.frame):
        raise DataError(f"{table.name}: no rows to fit{': ' if table.notes else ''}{'; '.join(table.notes)}")
    table, values, notes = reader.read(table)
    values, counted, compute_notes = complete_compute(values, columns.names, options)
    notes = [*columns.notes, *table.notes, *notes, *(compute_notes if convention is None else [])]
    for letter in "NDCL":
        if letter in values and (letter not in columns.units or letter in columns.guessed_units):
            notes += unit_warnings(letter, values[letter])
    names = [table.row_name(i) for i in table.frame.index] if label is None else cell_texts(table.frame[label])
    if "C" in columns.names:
        notes += _compute_warnings(values, names)
    points = Points(
        N=values["N"],
        D=values["D"],
        C=values["C"],
        L=values.get("L", np.full(len(names), np.nan)),
        names=names,
        budgets=values.get("budget"),
        groups=_groups(table, columns),
        weights=values.get("weight"),
        source=table.name,
        notes=tuple(notes),
        convention=convention or counted,
        extra={letter: values[letter] for letter in law_letters(law) if letter in values},
    )
    duplicates = duplicate_rows(points)
    if not duplicates:
        return points
    return replace(points, notes=(*points.notes, f"duplicate rows, both kept: {join_names(duplicates, 5)}"))


@dataclass(frozen=True)
class ColumnReader:
    """Reads the columns of a table as numbers in the units of Points.

    Attributes:
        columns: Column and unit of each letter.
        law: Law whose inputs and output are read.
        drop_bad: Leave out rows with a cell that is not a valid number, instead of an error.
    """

    columns: ColumnChoice
    law: Law | None = None
    drop_bad: bool = False

    def read(self, table: Table) -> tuple[Table, dict[str, np.ndarray], list[str]]:
        """Reads every letter.

        Returns:
            The rows that are left, their values (n,) by letter, and notes on how cells were read.

        Raises:
            DataError: A cell is not a valid number and bad rows are not dropped.
        """
        values: dict[str, np.ndarray] = {}
        bad: dict[str, np.ndarray] = {}
        notes: list[str] = []
        for letter in dict.fromkeys((*"NDCL", *law_letters(self.law), "budget", "weight")):
            if letter not in self.columns.names:
                continue
            cells, cell_notes = self.convert(letter, table)
            wrong = ~np.isfinite(cells) | (False if self._may_be_negative(letter) else cells <= 0)
            if wrong.any() and self._is_optional(letter):
                notes.append(f"{letter} not used: {self.describe_bad_cell(letter, table, wrong, cells)}")
                continue
            if wrong.any() and not self.drop_bad:
                cell = self.describe_bad_cell(letter, table, wrong, cells)
                raise DataError(f"{table.name}: {cell}; --drop-bad leaves such rows out")
            values[letter], bad[letter] = cells, wrong
            notes += cell_notes
        out = np.logical_or.reduce(list(bad.values()))
        if not out.any():
            return table, values, notes
        notes.append(self._describe_dropped(table, bad, out))
        if out.all():
            raise DataError(f"{table.name}: no rows to fit: {notes[-1]}")
        return table.select(~out), {letter: cells[~out] for letter, cells in values.items()}, notes

    def convert(self, letter: str, table: Table) -> tuple[np.ndarray, list[str]]:
        """Reads the column of a letter.

        Args:
            letter: A letter that has a column.
            table: Rows (n,) to read.

        Returns:
            Values (n,), NaN where a cell is not a number, and notes on how cells were read.
        """
        name = self.columns.names[letter]
        if self.law and letter in self.law.labels:
            return pd.factorize(table.frame[name])[0] + 1.0, []
        counts = letter not in NOT_COUNTS and not (self.law and letter == self.law.output)
        numbers = parse_column(table.frame[name], counts, table.decimal_comma)
        notes = [f"{letter}: cells such as {numbers.example}"] if numbers.example else []
        unit = self.columns.units.get(letter)
        if unit is not None and letter in self.columns.guessed_units:
            if not is_plausible(letter, unit, numbers.values[~numbers.scaled]):
                notes.append(f"{letter} is not taken to be in {unit.name}, as column {name} says: too large")
                unit = None
            elif not numbers.scaled.all() and unit != Unit(unit.name):
                notes.append(f"{letter} taken to be in {unit.name}, as column {name} says")
        if unit is None:
            return numbers.values, notes
        return np.where(numbers.scaled, numbers.values, unit.convert(numbers.values)), notes

    def describe_bad_cell(self, letter: str, table: Table, bad: np.ndarray, values: np.ndarray) -> str:
        """Describes the first bad cell of a column, and how many rows have one.

        Args:
            letter: The letter that the column holds.
            table: Rows (n,).
            bad: Mask (n,) of the rows whose cell is bad; at least one is.
            values: Values (n,) of the column.
        """
        row, name = int(np.argmax(bad)), self.columns.names[letter]
        index = table.frame.index[row]
        unit = self.columns.units.get(letter) if letter not in self.columns.guessed_units else None
        converted = f" ({values[row]:g} from {unit.name})" if unit and np.isfinite(values[row]) else ""
        allowed = f"finite numbers{'' if self._may_be_negative(letter) else ' greater than 0'}"
        others = f" ({bad.sum() - 1} more such rows)" if bad.sum() > 1 else ""
        cell = f"{quote_cell(table.frame.at[index, name])}{converted}"
        return f"{table.row_name(index)}, column {name}: {cell}: allowed are {allowed}{others}"

    def _describe_dropped(self, table: Table, bad: Mapping[str, np.ndarray], out: np.ndarray) -> str:
        rows = []
        for row in np.flatnonzero(out)[:MAX_LISTED]:
            index = table.frame.index[row]
            name = self.columns.names[next(letter for letter, wrong in bad.items() if wrong[row])]
            rows.append(f"{table.row_name(index)}: {name} = {quote_cell(table.frame.at[index, name])}")
        others = f" and {out.sum() - MAX_LISTED} more" if out.sum() > MAX_LISTED else ""
        return f"{plural(int(out.sum()), 'row')} left out: {', '.join(rows)}{others}"

    def _may_be_negative(self, letter: str) -> bool:
        return self.law is not None and letter in self.law.signed

    def _is_optional(self, letter: str) -> bool:
        """Whether a fit can do without the column, which the user did not name."""
        if letter in self.columns.explicit:
            return False
        if letter in ("budget", "weight"):
            return True
        if self.law is None:
            return False
        needed = {*self.law.inputs, self.law.output}
        return letter not in (needed if needed <= set(self.columns.names) else {*needed, "N", "D", "C"})


def filter_rows(table: Table, where: str | None, reader: ColumnReader) -> Table:
    """Selects the rows for which an expression is true; a note says how many there were.

    Args:
        table: Rows (n,).
        where: Expression of letters and columns (analysis/data/filter.py); None selects every row.
        reader: Reads the columns of letters.

    Raises:
        DataError: The expression is not in the language, or a cell that it compares is not a number.
    """
    if where is None:
        return table
    frame, names = table.frame, reader.columns.names
    has_empty_cell = np.zeros(len(frame), bool)

    def column_values(name: str) -> np.ndarray:
        if name not in names and name not in frame.columns:
            if name in ("C", "M") and "N" in names and "D" in names:
                N, D = column_values("N"), column_values("D")
                return 6 * N * D if name == "C" else D / N
            raise DataError(f"where {where!r}: no column {name!r}: there are {join_names([*names, *frame.columns])}")
        column = frame[names.get(name, name)]
        if column.dtype == bool:
            return column.to_numpy()
        lower = np.array([text.lower() for text in cell_texts(column)], object)
        is_empty = np.isin(lower, ["", "nan"])
        is_letter = name in names and name not in ("name", "group")
        if is_letter:
            values = reader.convert(name, table)[0]
        else:
            values = parse_column(column, False, table.decimal_comma).values
        is_text = ~is_empty & np.isnan(values)
        if is_letter and is_text.any() and not reader.drop_bad:
            raise DataError(f"{table.name}: {reader.describe_bad_cell(name, table, is_text, values)}")
        if is_letter or not is_text.any():
            has_empty_cell[:] |= np.isnan(values)
            return values
        return lower == "true" if set(lower[~is_empty]) <= {"true", "false"} else np.array(cell_texts(column), object)

    mask = row_mask(where, column_values, len(frame))
    if mask.all():
        return table
    empty = int((has_empty_cell & ~mask).sum())
    because = f" ({plural(empty, 'row')} left out for an empty cell)" if empty else ""
    return table.select(mask).with_notes(
        f"kept {int(mask.sum())} of {plural(len(mask), 'row')} matching {where}{because}"
    )


def _label_column(table: Table, columns: ColumnChoice) -> str | None:
    """The column that names rows, unless two rows have the same name."""
    label = columns.names.get("name")
    return label if label and len(set(cell_texts(table.frame[label]))) == len(table.frame) else None


def _groups(table: Table, columns: ColumnChoice) -> list[str] | None:
    if "group" not in columns.names:
        return None
    groups = cell_texts(table.frame[columns.names["group"]])
    return groups if any(groups) else None


def _compute_warnings(values: Mapping[str, np.ndarray], names: list[str]) -> list[str]:
    """Warns of rows whose C is another multiple of 6·N·D than that of most rows."""
    with np.errstate(all="ignore"):
        ratio = values["C"] / (6 * values["N"] * values["D"])
    if not np.isfinite(ratio).all():
        return []
    differs = np.abs(np.log(ratio / np.median(ratio))) > np.log(MAX_COMPUTE_RATIO)
    if not differs.any():
        return []
    rows = join_names([f"{names[i]} ({ratio[i]:.3g})" for i in np.flatnonzero(differs)], MAX_LISTED)
    return [
        f"C is {np.median(ratio):.3g} times 6·N·D in most rows, and not within {MAX_COMPUTE_RATIO} times of that in "
        f"{rows}"
    ]

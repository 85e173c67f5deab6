"""Rows of a table that a filter expression selects (analysis/data/filter.py)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.data.columns.reader import ColumnReader
from analysis.data.filter import row_mask
from analysis.data.table import Table, cell_texts, parse_column
from analysis.errors import DataError
from analysis.format import join_names, plural


def filter_rows(table: Table, where: str | None, reader: ColumnReader) -> Table:
    """Selects the rows for which an expression is true and adds a note with their number.

    Args:
        table: Rows (n,).
        where: Filter expression; None selects every row.
        reader: Converts the columns of letters.

    Raises:
        DataError: The expression is not valid, or a cell that it compares is not a number; the message names the table.
    """
    if where is None:
        return table
    cells = _Cells(table, where, reader, np.zeros(len(table.frame), bool))
    try:
        mask = row_mask(where, cells.values, len(table.frame))
    except DataError as error:
        prefix = "" if str(error).startswith(f"{table.name}: ") else f"{table.name}: "
        raise DataError(f"{prefix}{error}") from None
    if mask.all():
        return table
    empty = int((cells.empty_n & ~mask).sum())
    empty_note = f" ({plural(empty, 'row')} left out for an empty cell)" if empty else ""
    return table.select(mask).with_notes(
        f"kept {int(mask.sum())} of {plural(len(mask), 'row')} matching {where}{empty_note}"
    )


@dataclass(frozen=True)
class _Cells:
    """Cells of the columns that an expression mentions.

    Attributes:
        table: Rows (n,).
        where: The expression, for messages.
        reader: Converts the columns of letters.
        empty_n: Mask of the rows with an empty cell in a column of numbers, which `values` fills in.
    """

    table: Table
    where: str
    reader: ColumnReader
    empty_n: np.ndarray

    def values(self, name: str) -> np.ndarray:
        """Returns the values (n,) of a column by its letter or name: numbers, texts, or true and false."""
        frame, names = self.table.frame, self.reader.columns.names
        if name not in names and name not in frame.columns:
            return self._computed(name)
        column = frame[names.get(name, name)]
        if column.dtype == bool:
            return column.to_numpy()
        lower = np.array([text.lower() for text in cell_texts(column)], object)
        is_empty = np.isin(lower, ["", "nan"])
        is_letter = name in names and name not in ("name", "group") and not self.reader.is_label(name)
        if is_letter:
            values = self.reader.convert(name, self.table)[0]
        else:
            values = parse_column(column, False, self.table.decimal_comma).values
        is_text = ~is_empty & np.isnan(values)
        is_letter = is_letter and not is_text[~is_empty].all()  # a column of texts is compared as text
        if is_letter and is_text.any() and not self.reader.drop_bad:
            cell = self.reader.describe_bad_cell(name, self.table, is_text, values)
            raise DataError(f"{self.table.name}: {cell}")
        if is_letter or not is_text.any():
            self.empty_n[:] |= np.isnan(values)
            return values
        return lower == "true" if set(lower[~is_empty]) <= {"true", "false"} else np.array(cell_texts(column), object)

    def _computed(self, name: str) -> np.ndarray:
        """C or M of a table without that column."""
        names = self.reader.columns.names
        if name == "C" and "budget" in names:
            return self.values("budget")
        if name in ("C", "M") and "N" in names and "D" in names:
            N, D = self.values("N"), self.values("D")
            return 6 * N * D if name == "C" else D / N
        columns = join_names([*names, *self.table.frame.columns])
        raise DataError(f"where {self.where!r}: no column {name!r}: available are {columns}")

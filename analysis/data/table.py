"""Table of the rows of a source, and conversion of its cells to numbers."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd

from analysis.data.units import COUNTS

SCALES = {name: unit.factor for name, unit in COUNTS.items() if unit.factor > 1}
THOUSANDS_SEPARATOR = r"[,_' \u00a0\u202f]"
COUNT_PATTERN = re.compile(
    rf"([+-]?(?:\d{{1,3}}(?:(?P<by>{THOUSANDS_SEPARATOR})\d{{3}})(?:(?P=by)\d{{3}})*(?:\.\d*)?|\d+(?:\.\d*)?|\.\d+)"
    rf"(?:e[+-]?\d+)?)\s*({'|'.join(sorted(SCALES, key=len, reverse=True))})?s?"
    r"[\s-]*(?:tokens?|params?|parameters?|flops?)?",
    re.IGNORECASE,
)
DECIMAL_COMMA = re.compile(r"[+-]?(?:\d+|\d{1,3}(?:[. \u00a0\u202f]\d{3})+),\d+(?:e[+-]?\d+)?", re.IGNORECASE)
AMBIGUOUS_DOT = re.compile(r"[+-]?\d{1,3}(?:\.\d{3})+")  # with decimal commas, 1.000 can be one thousand or one


@dataclass(frozen=True)
class Table:
    """Rows of a source.

    Attributes:
        frame: The rows; the index is the position of a row in the source, from 0.
        name: Name of the source in messages.
        notes: Left-out rows and conversions of the reading, one line each.
        lines: Line of each row in a text file; None for other sources.
        label_column: Column whose cells name rows in messages; None uses row numbers.
        duplicate_columns: Names of several columns, of which only the first was kept.
        decimal_comma: Whether cells have decimal commas.
        curve_column: Column with the run of each row, if rows are steps of training curves; None if each row is a run.
    """

    frame: pd.DataFrame
    name: str
    notes: tuple[str, ...] = ()
    lines: np.ndarray | None = None
    label_column: str | None = None
    duplicate_columns: frozenset[str] = frozenset()
    decimal_comma: bool = False
    curve_column: str | None = None

    def select(self, mask: np.ndarray) -> Table:
        """Returns the rows that `mask` (n,) selects."""
        return replace(self, frame=self.frame[mask])

    def with_notes(self, *notes: str) -> Table:
        """Returns the table with more notes."""
        return replace(self, notes=(*self.notes, *notes))

    def row_name(self, index: Any) -> str:
        """Returns the name of the row with that index in notes and errors, such as "row 3 (line 4)"."""
        if self.label_column:
            return f"run {self.frame.at[index, self.label_column]!s}"
        row = f"row {int(index) + 1}"
        return row if self.lines is None else f"{row} (line {self.lines[int(index)]})"


def table_of_frame(frame: pd.DataFrame, name: str, lines: np.ndarray | None = None) -> Table:
    """Returns a table with unique column names; of columns with the same name only the first is kept.

    Args:
        frame: The rows.
        name: Name of the source in messages.
        lines: Line of each row (n,) in a text file.
    """
    names = [" ".join(str(column).split()) for column in frame.columns]
    frame = frame.copy(deep=False)
    duplicates = frozenset(column for column, times in Counter(names).items() if times > 1)
    if duplicates:
        frame = frame.loc[:, [names.index(column) == i for i, column in enumerate(names)]]
        names = list(dict.fromkeys(names))
    frame.columns = pd.Index(names, dtype=object)
    return Table(frame.reset_index(drop=True), name, lines=lines, duplicate_columns=duplicates)


@dataclass(frozen=True)
class Numbers:
    """A column as numbers.

    Attributes:
        values: Numbers (n,), NaN for cells that are not numbers.
        scaled: Mask (n,) of cells with their own scale, such as 70M, to which the unit of the column does not apply.
        example: A cell that is not a plain number and its value, as text; empty if there is no such cell.
    """

    values: np.ndarray
    scaled: np.ndarray
    example: str = ""


def parse_column(column: pd.Series, counts: bool, decimal_comma: bool = False) -> Numbers:
    """Converts the cells of a column to numbers.

    Args:
        column: Cells of any type (n,).
        counts: Whether texts such as 70M, 1.4B, 20e9 tokens and 1,000,000 are numbers.
        decimal_comma: Whether 1,5 means 1.5.
    """
    n = len(column)
    empty = Numbers(np.full(n, np.nan), np.zeros(n, bool))
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(object)
    if column.dtype.kind in "iuf":
        return replace(empty, values=column.to_numpy(np.float64, na_value=np.nan))
    if column.dtype.kind in "bcmM":
        return empty
    values, scaled, example = empty.values, empty.scaled, ""
    for i, cell in enumerate(column):
        if not isinstance(cell, str):
            values[i] = _float(cell)
            continue
        values[i], match = _parse_text(cell.strip(), counts, decimal_comma)
        if match is not None:
            scaled[i] = match[3] is not None
            example = example or f"{cell.strip()!r} are read as {values[i]:.6g}"
    return Numbers(values, scaled, example)


def _parse_text(text: str, counts: bool, decimal_comma: bool) -> tuple[float, re.Match[str] | None]:
    """Value of a text, NaN if it is not a number, and the match of `COUNT_PATTERN` if it is not a plain number."""
    if decimal_comma and DECIMAL_COMMA.fullmatch(text):
        text = re.sub(r"[. \u00a0\u202f]", "", text).replace(",", ".")
    elif decimal_comma and AMBIGUOUS_DOT.fullmatch(text):
        return np.nan, None
    value = np.nan
    with contextlib.suppress(ValueError):
        value = np.nan if "_" in text else float(text)
    match = COUNT_PATTERN.fullmatch(text) if counts and np.isnan(value) else None
    if match is None:
        return value, None
    return float(re.sub(THOUSANDS_SEPARATOR, "", match[1])) * (SCALES[match[3].lower()] if match[3] else 1), match


def _float(cell: Any) -> float:
    """Value of a cell that is not text, NaN if it is not a number."""
    if isinstance(cell, bool) or not isinstance(cell, int | float | np.integer | np.floating | Decimal | Fraction):
        return np.nan
    try:
        return float(cell)
    except OverflowError:
        return np.inf
    except ValueError:  # a signalling NaN
        return np.nan


def cell_texts(column: pd.Series) -> list[str]:
    """Returns the cells of a column as stripped text; missing values become empty text."""
    return ["" if _is_empty(cell) else str(cell).strip() for cell in column]


def _is_empty(cell: Any) -> bool:
    if isinstance(cell, float | np.floating):
        return bool(np.isnan(cell))
    return cell is None or cell is pd.NA or cell is pd.NaT or (isinstance(cell, str) and not cell.strip())


def quote_cell(cell: Any) -> str:
    """Returns a cell as text for error messages, shortened to 40 characters."""
    if _is_empty(cell):
        return "nothing"
    text = " ".join(str(cell).split()) if isinstance(cell, int | float | np.number) else " ".join(repr(cell).split())
    return text if len(text) <= 40 else f"{text[:40]}…"

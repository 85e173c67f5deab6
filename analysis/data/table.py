"""Table of the rows of a source, and conversion of its cells to numbers."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

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
THOUSANDS_DOTS = re.compile(r"[+-]?\d{1,3}(?:(?:\.\d{3}){2,}(?:,\d+)?|(?:\.\d{3})+,\d+)")  # 30.000.000 or 1.234,5
DECIMAL_DOT = re.compile(r"[+-]?\d*\.(?:\d{1,2}|\d{4,})(?:e[+-]?\d+)?|[+-]?(?:\d{4,}|0)\.\d+", re.IGNORECASE)
NUMBER = r"[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:e[+-]?\d+)?"
WITH_ERROR = re.compile(  # 4.127 ± 0.003, 4.127 +/- 0.1%, 4.127(3), $4.127 \pm 0.003$
    rf"\$?\s*({NUMBER})\s*(?:\(?\s*(?:±|\+\s*/?\s*[-−–]|\\pm|&plusmn;|&#177;)\s*({NUMBER})\s*(%?)\s*\)?|\((\d+)\))\s*\$?",
    re.IGNORECASE,
)


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

    def row_names(self) -> list[str]:
        """Returns the names of all rows, as `row_name`."""
        if self.label_column:
            return [f"run {cell!s}" for cell in self.frame[self.label_column]]
        rows = self.frame.index.to_numpy(int)
        if self.lines is None:
            return [f"row {row}" for row in (rows + 1).tolist()]
        return [f"row {r} (line {n})" for r, n in zip((rows + 1).tolist(), self.lines[rows].tolist(), strict=True)]


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
        errors: Standard errors in the cells (n,), such as 0.003 in 4.127 ± 0.003, NaN for cells without one.
    """

    values: np.ndarray
    scaled: np.ndarray
    example: str = ""
    errors: np.ndarray | None = None


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
    if not decimal_comma and (numbers := _plain_numbers(column)) is not None:
        return replace(empty, values=numbers)
    if isinstance(column.dtype, pd.StringDtype):  # each text once, because many rows of a large table have the same
        codes, texts = pd.factorize(column.to_numpy(object), use_na_sentinel=False)
        distinct = _parse_cells(texts, np.bincount(codes), counts, decimal_comma)
        errors = None if distinct.errors is None else distinct.errors[codes]
        return Numbers(distinct.values[codes], distinct.scaled[codes], distinct.example, errors)
    return _parse_cells(column, np.ones(n, int), counts, decimal_comma)


def _parse_cells(cells: Iterable[Any], times: np.ndarray, counts: bool, decimal_comma: bool) -> Numbers:
    """Numbers of cells of any type, each of which occurs some times (n,); the others as for `parse_column`."""
    n = len(times)
    values, scaled, errors, example = np.full(n, np.nan), np.zeros(n, bool), np.full(n, np.nan), ""
    texts = [cell.strip() if isinstance(cell, str) else None for cell in cells]
    decimal_comma = decimal_comma or (not counts and _has_decimal_commas(texts, times))
    dots = _thousands_dots([text for text in texts if text is not None])
    for i, cell in enumerate(cells):
        if not isinstance(cell, str):
            values[i] = _float(cell)
            continue
        text = cell.strip()
        if dots and AMBIGUOUS_DOT.fullmatch(text):
            values[i] = float(text.replace(".", ""))
            example = example or f"{text!r} are read as {values[i]:.6g}"
            continue
        values[i], match = _parse_text(text, counts, decimal_comma)
        if match is not None:
            scaled[i] = match[3] is not None
            example = example or f"{text!r} are read as {values[i]:.6g}"
        elif np.isnan(values[i]) and not counts:
            values[i], errors[i] = _parse_with_error(text)
        if np.isnan(values[i]) and not counts and text.endswith("%"):
            values[i], scaled[i] = _parse_text(text[:-1].strip(), False, decimal_comma)[0] / 100, True
            example = example or f"{text!r} are read as {values[i]:.6g}"
    return Numbers(values, scaled, example, errors if np.isfinite(errors).any() else None)


def _plain_numbers(column: pd.Series) -> np.ndarray | None:
    """Numbers (n,) of a column of texts such as 1.5e3, NaN for empty cells; None if it has other cells.

    Arrow needs a hundredth of the time of a loop over the cells.
    """
    if column.dtype == object and pd.api.types.infer_dtype(column, skipna=True) != "string":
        return None
    try:
        texts = pc.utf8_trim_whitespace(pa.array(column.array, pa.string(), from_pandas=True))
        numbers = pc.cast(pc.if_else(pc.equal(texts, ""), None, texts), pa.float64())
    except pa.ArrowException:
        return None
    return np.array(numbers, np.float64)


def _has_decimal_commas(texts: list[str | None], times: np.ndarray) -> bool:
    """Whether the commas in a column that is no count are decimal points: most cells have one, and none has a point."""
    is_text = np.array([text is not None for text in texts], bool)
    has_comma = np.array([text is not None and DECIMAL_COMMA.fullmatch(text) is not None for text in texts], bool)
    if times[has_comma].sum() <= times[is_text].sum() / 2:
        return False
    return not any("." in text for text in texts if text is not None)


def _thousands_dots(texts: list[str]) -> bool:
    """Whether the dots in a column separate thousands, as in 30.000.000; decided by the column as a whole.

    Some cell has two dots, or a dot and a decimal comma, and no cell has a dot that can only be a decimal point.
    """
    dotted = [text for text in texts if "." in text]
    if not dotted or any(DECIMAL_DOT.fullmatch(text) for text in dotted):
        return False
    return any(THOUSANDS_DOTS.fullmatch(text) for text in dotted)


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


def _parse_with_error(text: str) -> tuple[float, float]:
    """Value and standard error of a text such as 4.127 ± 0.003, 4.127 ± 0.1% or 4.127(3); NaN for other texts."""
    match = WITH_ERROR.fullmatch(text)
    if match is None:
        return np.nan, np.nan
    number = match[1].replace(",", ".")
    value = float(number)
    if match[4]:  # the digits in brackets are the error of the last digits
        digits, _, exponent = number.lower().partition("e")
        decimals = len(digits.partition(".")[2])
        return value, float(match[4]) * 10.0 ** (int(exponent or 0) - decimals)
    error = float(match[2].replace(",", "."))
    return value, abs(value * error / 100) if match[3] else error


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
    cells = column.to_numpy(object) if column.dtype == object or isinstance(column.dtype, pd.StringDtype) else column
    try:
        return list(map(str.strip, cells))  # faster, if every cell is text
    except TypeError:
        pass
    return [cell.strip() if type(cell) is str else "" if _is_empty(cell) else str(cell).strip() for cell in cells]


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

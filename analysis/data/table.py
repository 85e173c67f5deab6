"""A source as a table whose rows can be named, and its cells as numbers: what is none is wrong, never guessed."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd

SCALES = {
    **dict.fromkeys(("k", "thousand"), 1e3),
    **dict.fromkeys(("m", "mn", "million"), 1e6),
    **dict.fromkeys(("b", "bn", "g", "billion"), 1e9),
    **dict.fromkeys(("t", "trillion"), 1e12),
}
COUNT = re.compile(
    r"([+-]?(?:\d{1,3}(?:(?P<by>[,_' \u00a0\u202f])\d{3})(?:(?P=by)\d{3})*(?:\.\d*)?|\d+(?:\.\d*)?|\.\d+)"
    rf"(?:e[+-]?\d+)?)\s*({'|'.join(sorted(SCALES, key=len, reverse=True))})?s?"
    r"[\s-]*(?:tokens?|params?|parameters?|flops?)?",
    re.IGNORECASE,
)
COMMA = re.compile(r"[+-]?(?:\d+|\d{1,3}(?:[. \u00a0\u202f]\d{3})+),\d+(?:e[+-]?\d+)?", re.IGNORECASE)
GROUPED = re.compile(r"[+-]?\d{1,3}(?:\.\d{3})+")  # where commas are decimal, a dot between thousands, or is it?


@dataclass(frozen=True)
class Table:
    """Rows of a source. The frame's index numbers them as they stand there, from 0.

    lines: of each row in a text file, None where rows have no lines. named: column that names a row better than its
    number. twice: names that more than one column has. comma: text has decimal commas. plot: rows are of curves, the
    column `name` says of which.
    """

    frame: pd.DataFrame
    name: str
    notes: tuple[str, ...] = ()
    lines: np.ndarray | None = None
    named: str | None = None
    twice: frozenset[str] = frozenset()
    comma: bool = False
    plot: bool = False

    def keep(self, mask: np.ndarray) -> Table:
        """The rows that `mask` (n,) keeps."""
        return replace(self, frame=self.frame[mask])

    def say(self, *notes: str) -> Table:
        return replace(self, notes=(*self.notes, *notes))

    def place(self, index: Any) -> str:
        """How a person finds the row of that index."""
        if self.named:
            return f"run {self.frame.at[index, self.named]!s}"
        row = f"row {int(index) + 1}"
        return row if self.lines is None else f"{row} (line {self.lines[int(index)]})"


@dataclass(frozen=True)
class Numbers:
    """A column as float64 (n,), NaN where a cell is no number; whole (n,): cells such as 70M, that say their scale."""

    values: np.ndarray
    whole: np.ndarray
    example: str = ""  # of a cell that is more than a plain number, and how it is read


def parse(column: pd.Series, counts: bool, comma: bool = False) -> Numbers:
    """Numbers of a column. counts: 70M, 1.4B, 20e9 tokens and 1,000,000 are numbers too."""
    n = len(column)
    nothing = Numbers(np.full(n, np.nan), np.zeros(n, bool))
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(object)
    if column.dtype.kind in "iuf":
        return replace(nothing, values=column.to_numpy(np.float64, na_value=np.nan))
    if column.dtype.kind in "bcmM":
        return nothing
    return _text([_plain(cell) for cell in column], counts, comma)


def _plain(cell: Any) -> Any:
    """A cell as text or a number; None for anything else."""
    if isinstance(cell, str):
        return cell.strip()
    if isinstance(cell, bool) or not isinstance(cell, int | float | np.integer | np.floating | Decimal | Fraction):
        return None
    try:
        return float(cell)
    except OverflowError:
        return np.inf
    except ValueError:  # a signalling NaN
        return None


def _text(cells: list[Any], counts: bool, comma: bool) -> Numbers:
    values, whole, example = np.full(len(cells), np.nan), np.zeros(len(cells), bool), ""
    for i, cell in enumerate(cells):
        if not isinstance(cell, str):
            values[i] = np.nan if cell is None else cell
            continue
        if comma and COMMA.fullmatch(cell):
            cell = re.sub(r"[. \u00a0\u202f]", "", cell).replace(",", ".")
        elif comma and GROUPED.fullmatch(cell):
            continue
        with contextlib.suppress(ValueError):
            values[i] = np.nan if "_" in cell else float(cell)
        if not np.isnan(values[i]) or not counts:
            continue
        found = COUNT.fullmatch(cell)
        if found:
            scale = found[3]
            values[i] = float(re.sub(r"[,_' \u00a0\u202f]", "", found[1])) * (SCALES[scale.lower()] if scale else 1)
            whole[i], example = bool(scale), example or f"{cell!r} are read as {values[i]:.6g}"
    return Numbers(values, whole, example)


def words(column: pd.Series) -> list[str]:
    """Cells as text, stripped; empty where there is nothing."""
    return ["" if _empty(cell) else str(cell).strip() for cell in column]


def _empty(cell: Any) -> bool:
    if isinstance(cell, float | np.floating):
        return bool(np.isnan(cell))
    return cell is None or cell is pd.NA or cell is pd.NaT or (isinstance(cell, str) and not cell.strip())


def shown(cell: Any) -> str:
    """A cell as an error quotes it."""
    if _empty(cell):
        return "nothing"
    text = " ".join(str(cell).split()) if isinstance(cell, int | float | np.number) else " ".join(repr(cell).split())
    return text if len(text) <= 40 else f"{text[:40]}…"


def where_in_file(name: str, index: int) -> str:
    """The row of that number, and in a text file without blank lines its line."""
    text = re.search(r"\.(csv|tsv|txt)(\.\w+)?$", name, re.IGNORECASE)
    return f"row {index + 1} (line {index + 2})" if text else f"row {index + 1}"


def listed(names: Iterable[object], most: int = 20) -> str:
    """The first names and how many more there are."""
    known = [str(name) for name in names]
    return ", ".join(known[:most]) + (f" and {len(known) - most} more" if len(known) > most else "")


def count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"

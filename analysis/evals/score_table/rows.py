"""Rows of a table of scores as text and numbers, with scales in parameters, tokens, FLOPs and the unit of the loss."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.data.columns.compute import complete_compute
from analysis.data.columns.reader import ColumnReader
from analysis.data.options import ReadOptions
from analysis.data.rows.states import finished_rows
from analysis.data.rows.where import filter_rows
from analysis.data.table import Table, cell_texts, parse_column, quote_cell
from analysis.data.units import LOSS_UNIT, unit_warnings
from analysis.errors import DataError
from analysis.evals.options import AXES
from analysis.evals.score_table.columns import (
    COLUMN_NAMES,
    METRIC_NAMES,
    SCALE_LETTERS,
    TEXT_LETTERS,
    ScoreColumns,
    choose_score_columns,
    metric_kind,
)
from analysis.format import join_names, plural

PERCENT = 0.01
NUMERIC_LETTERS = tuple(letter for letter in COLUMN_NAMES if letter not in TEXT_LETTERS)


@dataclass(frozen=True)
class ScoreRows:
    """Rows of a table of scores.

    Attributes:
        frame: One column per letter: task, metric and run as text, and numbers (NaN where a cell is empty), with the
            standard error of a metric in "se METRIC". N, D, C and L always exist.
        columns: The columns of the table.
        notes: Guesses, conversions and left-out rows, one line each.
        name: Name of the table.
        loss_unit: Unit of L, as it is printed.
    """

    frame: pd.DataFrame
    columns: ScoreColumns
    notes: tuple[str, ...]
    name: str
    loss_unit: str = LOSS_UNIT


def read_rows(table: Table, reading: ReadOptions, score: str | None) -> ScoreRows:
    """Reads the rows of a table of scores.

    Args:
        table: The table.
        reading: Columns, units, rows and counting convention.
        score: Metric that the user chose as the score.

    Raises:
        DataError: A column or a cell is missing or not allowed.
    """
    if reading.flops not in (None, "6nd"):
        raise DataError(f"flops = {reading.flops!r}: a table has no FLOPs by part: use 6nd, or name the column of C")
    columns = choose_score_columns(table, reading, score)
    reader = ColumnReader(columns.scales, drop_bad=reading.drop_bad)
    table = finished_rows(table, reading.where, {*columns.names.values(), *columns.scales.names.values()})
    table = filter_rows(table, reading.where, reader)
    if not len(table.frame):
        raise DataError(f"{table.name}: no rows{': ' if table.notes else ''}{'; '.join(table.notes)}")
    table = _known_metrics(table, columns, score)
    frame = pd.DataFrame(index=table.frame.index)
    bad = np.zeros(len(frame), bool)
    for letter, column in columns.names.items():
        cells = table.frame[column]
        if letter in TEXT_LETTERS:
            frame[letter] = cell_texts(cells)
        else:
            numbers = cells.map(_choice_count) if letter == "choices" else cells
            frame[letter], wrong = _numbers(numbers, column, table, reading)
            bad |= wrong
    for letter, column in columns.errors.items():
        frame[f"se {letter}"], wrong = _numbers(table.frame[column], column, table, reading)
        bad |= wrong
    scales, wrong, notes = _scales(table, columns, reader, reading)
    frame = frame.assign(**scales)
    notes = [*columns.notes, *table.notes, *notes]
    bad |= wrong
    if bad.any():
        notes.append(f"{plural(int(bad.sum()), 'row')} left out for a cell that is not a number")
    frame, percent_notes = _shares(frame[~bad], columns, reading)
    units = columns.scales.units
    unit = units["L"].loss_unit if "L" in units else LOSS_UNIT
    return ScoreRows(_scored(frame, notes), columns, (*notes, *percent_notes), table.name, unit)


def _known_metrics(table: Table, columns: ScoreColumns, score: str | None) -> Table:
    """The rows of known metrics, with a note on the others; a metric that the user chose as the score is known."""
    if "metric" not in columns.names:
        return table
    metrics = pd.Series(cell_texts(table.frame[columns.names["metric"]]), table.frame.index)
    known = metrics.map(lambda metric: metric == score or metric_kind(metric) is not None).to_numpy(bool)
    if known.all():
        return table
    if not known.any():
        names = [name for usual in METRIC_NAMES.values() for name in usual.split()]
        unknown = join_names(map(repr, dict.fromkeys(metrics)), 5)
        raise DataError(f"{table.name}: metric {unknown}: must be one of {', '.join(names)}, or named with --score")
    counts = metrics[~known].value_counts(sort=False)
    left_out = join_names(f"{metric} ({plural(number, 'row')})" for metric, number in counts.items())
    return table.select(known).with_notes(f"metrics left out, neither a score nor continuous: {left_out}")


def _numbers(cells: pd.Series, column: str, table: Table, reading: ReadOptions) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of a column (NaN for empty cells), and the rows whose cell is no number, if those are to be left out."""
    texts = cell_texts(cells)
    is_share = np.array([text.endswith("%") for text in texts])
    numbers = pd.Series([text.rstrip("% ") for text in texts], cells.index) if is_share.any() else cells
    values = parse_column(numbers, counts=True, decimal_comma=table.decimal_comma).values * np.where(
        is_share, PERCENT, 1
    )
    is_empty = np.array([not text or text.lower() in ("nan", "n/a", "na", "none", "-") for text in texts])
    bad = ~np.isfinite(values) & ~is_empty
    if bad.any() and not reading.drop_bad:
        row = int(np.argmax(bad))
        where = f"{table.name}: {table.row_name(cells.index[row])}, column {column}"
        raise DataError(f"{where}: {quote_cell(cells.iloc[row])} is not a number; --drop-bad leaves such rows out")
    return np.where(is_empty, np.nan, values), bad


def _choice_count(cell: object) -> object:
    """The number of choices of a cell: a number, or the length of a list, also as JSON or A|B|C."""
    if isinstance(cell, str) and cell.strip().startswith("["):
        try:
            cell = json.loads(cell)
        except ValueError:
            return cell
    if isinstance(cell, str) and "|" in cell:
        cell = cell.split("|")
    return len(cell) if isinstance(cell, list | tuple | np.ndarray) else cell


def _scales(
    table: Table, columns: ScoreColumns, reader: ColumnReader, reading: ReadOptions
) -> tuple[dict[str, np.ndarray], np.ndarray, list[str]]:
    """N, D, C and L by letter (NaN where a cell is empty), the rows to leave out, and notes."""
    values, notes, bad = {}, [], np.zeros(len(table.frame), bool)
    for letter in (k for k in SCALE_LETTERS if k in columns.scales.names):
        cells, cell_notes = reader.convert(letter, table)
        column = columns.scales.names[letter]
        is_empty = np.array([not text or text.lower() == "nan" for text in cell_texts(table.frame[column])])
        wrong = (~np.isfinite(cells) & ~is_empty) | (cells <= 0)
        if wrong.any() and not reading.drop_bad:
            raise DataError(f"{table.name}: {reader.describe_bad_cell(letter, table, wrong, cells)}")
        values[letter], bad = np.where(wrong, np.nan, cells), bad | wrong
        notes += [*cell_notes, *([] if letter in reading.units else unit_warnings(letter, cells))]
    completed, _, compute_notes = complete_compute(values, columns.scales.names, reading)
    n = len(table.frame)
    scales = {letter: completed.get(letter, np.full(n, np.nan)) for letter in AXES}
    return scales, bad, [*notes, *(note for note in compute_notes if not note.startswith("no "))]


def _shares(frame: pd.DataFrame, columns: ScoreColumns, reading: ReadOptions) -> tuple[pd.DataFrame, list[str]]:
    """Scores and chance levels as shares from 0 to 1, and notes on those that were percentages."""
    notes = []
    for letter, related in (("score", ("score", "se score")), ("chance", ("chance",))):
        name = columns.names.get(letter, "")
        guessed = any(word in name.lower() for word in ("%", "percent", "pct"))
        if letter in frame and (reading.units.get(letter) == "percent" or (guessed and letter not in reading.units)):
            rows = frame["metric"].map(metric_kind) == "score" if "metric" in frame else pd.Series(True, frame.index)
            present = [column for column in (*related, *(("se",) if letter == "score" else ())) if column in frame]
            frame = frame.assign(**{column: frame[column].where(~rows, PERCENT * frame[column]) for column in present})
            notes.append(f"{letter} converted from percent" + ("" if letter in reading.units else f": column {name}"))
    if "k" in frame and "n" in frame:
        counted = frame["k"] / frame["n"]
        frame = frame.assign(score=frame["score"].where(frame["k"].isna(), counted) if "score" in frame else counted)
    return frame, notes


def _scored(frame: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """The rows with a score; a note on the others is added to `notes`."""
    empty = frame["score"].isna()
    if empty.any():
        notes.append(f"{plural(int(empty.sum()), 'row')} without a score left out")
    return frame[~empty]

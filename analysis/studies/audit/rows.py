"""Rows of a source for an audit: read by the same steps as the points of a fit, but without refusing invalid cells.

Key: N parameters, D tokens, C training FLOPs, L loss; n rows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from analysis.data.columns.choice import ColumnChoice, check_sufficient, choose_columns, law_letters, with_unit_in_cells
from analysis.data.columns.names import OPTIONAL_LETTERS, candidate_columns, error_column, unit_in_name
from analysis.data.columns.reader import ColumnReader
from analysis.data.from_table import rows_of_curves
from analysis.data.options import ReadOptions
from analysis.data.rows.states import finished_rows
from analysis.data.rows.where import filter_rows
from analysis.data.table import Table
from analysis.data.units import LOSS_UNIT, SHARE_LETTERS, unit_warnings
from analysis.errors import DataError
from analysis.format import plural
from analysis.laws.law import Law
from analysis.studies.audit.findings import ERROR, NOTE, WARNING, ColumnSummary, Finding

SHORT_NAME = 16  # characters of "run " and an id
PLAIN_CHOICE = re.compile(r"\S+ taken from column [^()]+")


@dataclass(frozen=True)
class Rows:
    """Rows that a fit would read, with the invalid values as NaN.

    Attributes:
        table: The rows (n,).
        columns: Column and unit of each letter.
        values: Values (n,) by letter.
        options: Options of reading.
        law: Law whose columns are read; None stands for laws of the loss in N, D and C.
        findings: Findings of reading.
    """

    table: Table
    columns: ColumnChoice
    values: dict[str, np.ndarray]
    options: ReadOptions
    law: Law | None
    findings: tuple[Finding, ...]

    @property
    def names(self) -> list[str]:
        """Names of the rows in findings; ids of runs are shortened."""
        names = self.table.row_names()
        return [name[:SHORT_NAME] for name in names] if self.table.label_column == "run_id" else names

    @property
    def output(self) -> str:
        """Letter of the output."""
        return "L" if self.law is None else self.law.output

    @property
    def loss_unit(self) -> str:
        """Unit of the loss, as the options, the name of its column or its cells state it; "" if none of them does."""
        unit = self.columns.units.get("L")
        if unit is not None:
            return unit.loss_unit
        column = self.columns.names.get("L")
        return LOSS_UNIT if column and unit_in_name(column, "L") else ""

    def name_rows(self, mask: np.ndarray) -> tuple[str, ...]:
        """Returns the names of the rows that `mask` (n,) selects."""
        names = self.names
        return tuple(names[row] for row in np.flatnonzero(mask))

    def has(self, *letters: str) -> bool:
        """Returns whether all letters have a column with a valid value."""
        return all(letter in self.values and np.isfinite(self.values[letter]).any() for letter in letters)


def read_rows(table: Table, options: ReadOptions, law: Law | None, store_columns: Mapping[str, str]) -> Rows:
    """Reads the rows of a table, with findings on columns, states, units, and missing or invalid values.

    Args:
        table: Rows of the source, of any state.
        options: Columns, units and rows.
        law: Law whose columns are read; None stands for laws of the loss in N, D and C.
        store_columns: Columns of a store, by letter; empty for other sources, whose columns are guessed.

    Raises:
        DataError: A column or unit of the options does not exist, or the choice of a column is ambiguous.
    """
    whole = table
    table, columns, findings = _chosen_columns(table, options, law, store_columns)
    notes = [note for note in columns.notes if not PLAIN_CHOICE.fullmatch(note)]  # the summary of columns has these
    findings += [Finding(NOTE, "columns", note) for note in (*notes, *table.notes)]
    findings += [] if table is not whole else _insufficient(table, columns, law)
    table, options = rows_of_curves(replace(table, notes=()), columns, law, options)
    reader = ColumnReader(columns, law, drop_bad=True)
    selected = filter_rows(
        finished_rows(table, options.where, frozenset(columns.names.values())), options.where, reader
    )
    findings += [_state_finding(note) for note in selected.notes]
    columns = with_unit_in_cells(columns, selected)
    rows = Rows(replace(selected, notes=()), columns, {}, options, law, ())
    values, cell_findings = _read_values(rows, replace(reader, columns=columns))
    return replace(rows, values=values, findings=(*findings, *cell_findings))


def _chosen_columns(
    table: Table, options: ReadOptions, law: Law | None, store_columns: Mapping[str, str]
) -> tuple[Table, ColumnChoice, list[Finding]]:
    """The columns of a table; where several can be the loss, those of the table without them, and a finding."""
    try:
        return table, choose_columns(table, options, law, store_columns), []
    except DataError as error:
        losses = [candidate.column for candidate in candidate_columns(table, "L", law=law)]
        if len(losses) < 2 or "L" in options.columns:
            raise
        others = replace(table, frame=table.frame.drop(columns=losses))
        text = str(error).removeprefix(f"{table.name}: ")
        finding = Finding(ERROR, "columns", text, "No loss is checked here.")
        return others, choose_columns(others, options, law, store_columns), [finding]


def _insufficient(table: Table, columns: ColumnChoice, law: Law | None) -> list[Finding]:
    """A finding if the columns are not sufficient for the law.

    Args:
        table: The table with all of its columns.
        columns: The chosen columns.
        law: The law.
    """
    try:
        check_sufficient(table, columns.names, law)
    except DataError as error:
        text = str(error).removeprefix(f"{table.name}: ")
        return [Finding(ERROR, "columns", text, "Name the columns with --columns, and the law with --law.")]
    missing = [letter for letter in "ND" if letter not in columns.names] if law is None else []
    if len(missing) == 1 and {"C", "budget"} & set(columns.names):
        other = "N" if missing == ["D"] else "D"
        return [Finding(WARNING, "columns", f"no column for {missing[0]}: fits compute it as C / (6·{other})")]
    if missing:
        return [Finding(WARNING, "columns", f"no column for {' and '.join(missing)}: no law of both can be fitted")]
    return []


def _state_finding(note: str) -> Finding:
    """A note on rows that are left out as a finding."""
    if note.startswith("kept "):
        return Finding(NOTE, "states", note)
    return Finding(WARNING, "states", note, "State why they are left out; a --where with the column replaces this.")


def _read_values(rows: Rows, reader: ColumnReader) -> tuple[dict[str, np.ndarray], list[Finding]]:
    """Values (n,) by letter, NaN where they are invalid, and findings on units and invalid cells."""
    values: dict[str, np.ndarray] = {}
    findings: list[Finding] = []
    table, columns = rows.table, rows.columns
    for letter in dict.fromkeys((*"NDCL", *law_letters(rows.law), *OPTIONAL_LETTERS)):
        if letter not in columns.names:
            continue
        cells, notes = reader.convert(letter, table)
        findings += [Finding(NOTE, "units", note) for note in notes]
        invalid = reader.invalid_cells(letter, cells)
        values[letter] = np.where(invalid, np.nan, cells)
        if invalid.any() and len(cells):
            findings.append(_invalid_finding(rows, reader, letter, invalid, cells))
        if letter in (*"NDCL", *SHARE_LETTERS) and (letter not in columns.units or letter in columns.guessed_units):
            advice = "The unit is not known: values are read as they are."
            findings += [Finding(WARNING, "units", text, advice) for text in unit_warnings(letter, values[letter])]
    return values, findings + _error_columns(rows)


def _invalid_finding(rows: Rows, reader: ColumnReader, letter: str, invalid: np.ndarray, cells: np.ndarray) -> Finding:
    optional = reader.is_optional(letter)
    count = f"{letter}: {plural(int(invalid.sum()), 'row')} of {len(cells)} without a valid value"
    text = f"{count}: {reader.describe_bad_cell(letter, rows.table, invalid, cells)}"
    advice = (
        f"Fits do not use the column {rows.columns.names[letter]}."
        if optional
        else "A fit refuses the source; --drop-bad leaves these rows out."
    )
    return Finding(WARNING if optional else ERROR, "missing", text, advice, rows.name_rows(invalid))


def _error_columns(rows: Rows) -> list[Finding]:
    """A note on a column of standard errors that fits do not use."""
    name = rows.columns.names.get(rows.output)
    beside = error_column(rows.table, name) if name else None
    if beside is None or "error" in rows.columns.names:
        return []
    advice = f"--columns error={beside} weights rows by 1/σ²."
    return [Finding(NOTE, "columns", f"column {beside} has standard errors of {name} and is not used", advice)]


def summarise_columns(rows: Rows) -> tuple[ColumnSummary, ...]:
    """Returns the range and the number of missing values of each column that is read."""
    summaries = []
    for letter, column in rows.columns.names.items():
        if letter not in rows.values:
            continue
        values = rows.values[letter]
        finite = values[np.isfinite(values)]
        unit = rows.columns.units.get(letter)
        ends: tuple[Any, ...] = (finite.min(), np.median(finite), finite.max()) if len(finite) else (np.nan,) * 3
        name = "" if unit is None or unit.is_identity else unit.name
        if letter == "L":
            name = rows.loss_unit or f"{LOSS_UNIT} (assumed)"
        summaries.append(
            ColumnSummary(letter, column, name, len(finite), len(values) - len(finite), *(float(end) for end in ends))
        )
    return tuple(summaries)

"""Reads the columns of a table as numbers in the units of `Points`.

Key: N parameters, D tokens, C training FLOPs, L loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.data.columns.choice import ColumnChoice, law_letters
from analysis.data.columns.names import OPTIONAL_LETTERS
from analysis.data.table import Table, parse_column, quote_cell
from analysis.data.units import LOSS_UNIT, Unit, is_plausible
from analysis.errors import DataError
from analysis.format import plural
from analysis.laws.law import Law

NOT_COUNTS = ("L", "weight", "error", "epochs", "lr")  # letters whose cells are no counts, so that 70M is not a number

EPOCHS_UNIT = r"(?i)\s*(x|×|epochs?)\s*$"  # of cells such as 4x

MAX_LISTED = 8  # largest number of rows that a note lists


SMALLEST, LARGEST = 1e-100, 1e100  # of the values of any letter; products of others overflow


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
            The remaining rows, their values (n,) by letter, and notes on how cells were read.

        Raises:
            DataError: A cell is not a valid number and bad rows are not dropped.
        """
        values: dict[str, np.ndarray] = {}
        bad: dict[str, np.ndarray] = {}
        notes: list[str] = []
        for letter in dict.fromkeys((*"NDCL", *law_letters(self.law), *OPTIONAL_LETTERS)):
            if letter not in self.columns.names:
                continue
            cells, cell_notes = self.convert(letter, table)
            wrong = self.invalid_cells(letter, cells)
            if wrong.any() and self.is_optional(letter):
                notes.append(f"{letter} not used: {self.describe_bad_cell(letter, table, wrong, cells)}")
                continue
            if wrong.any() and not self.drop_bad:
                cell = self.describe_bad_cell(letter, table, wrong, cells)
                raise DataError(f"{table.name}: {cell}; --drop-bad leaves such rows out")
            values[letter], bad[letter] = cells, wrong
            notes += cell_notes
        if "error" not in values:
            values |= self._stated_errors(table, notes)
        dropped = np.logical_or.reduce(list(bad.values()))
        if not dropped.any():
            return table, values, notes
        notes.append(self._describe_dropped(table, bad, dropped))
        if dropped.all():
            raise DataError(f"{table.name}: no rows to fit: {notes[-1]}")
        return table.select(~dropped), {letter: cells[~dropped] for letter, cells in values.items()}, notes

    def invalid_cells(self, letter: str, cells: np.ndarray) -> np.ndarray:
        """Returns the mask (n,) of values of a letter that are missing or not allowed.

        Args:
            letter: A letter.
            cells: Its values (n,), as `convert` returns them.
        """
        return ~np.isfinite(cells) | _is_extreme(cells) | (not self._may_be_negative(letter)) & (cells <= 0)

    def is_label(self, letter: str) -> bool:
        """Returns whether the cells of a letter are names, such as the curve of a row, which are numbered."""
        return self.law is not None and letter in self.law.labels

    def convert(self, letter: str, table: Table) -> tuple[np.ndarray, list[str]]:
        """Reads the column of a letter.

        Args:
            letter: A letter that has a column.
            table: Rows (n,) to read.

        Returns:
            Values (n,), NaN for cells that are not numbers, and notes on how cells were read.
        """
        name = self.columns.names[letter]
        if self.is_label(letter):
            return pd.factorize(table.frame[name])[0] + 1.0, []
        counts = letter not in NOT_COUNTS and not (self.law and letter == self.law.output)
        column = table.frame[name]
        if letter == "epochs" and column.dtype.kind == "O":
            column = column.astype(str).str.replace(EPOCHS_UNIT, "", regex=True)
        numbers = parse_column(column, counts, table.decimal_comma)
        if letter == "epochs" and "repe" in name.lower() and np.nanmin(numbers.values, initial=np.inf) == 0:
            return numbers.values + 1, [f"epochs computed as {name} + 1"]
        notes = [f"{letter}: cells such as {numbers.example}"] if numbers.example else []
        unit = self.columns.units.get(letter)
        if unit is not None and letter in self.columns.guessed_units:
            if not is_plausible(letter, unit, numbers.values[~numbers.scaled]):
                notes.append(
                    f"{letter}: the unit {unit.name} in the name of column {name} is ignored: values would be too large"
                )
                unit = None
            elif letter != "L" and not numbers.scaled.all() and not unit.is_identity:
                notes.append(f"{letter} converted from {unit.name}, the unit in the name of column {name}")
        if letter == "L" and unit is not None:
            notes += self._loss_unit_notes(unit)
        if unit is None:
            return numbers.values, notes
        return np.where(numbers.scaled, numbers.values, unit.convert(numbers.values)), notes

    def _loss_unit_notes(self, unit: Unit) -> list[str]:
        """Notes on the unit of the loss: its conversion, and that it was guessed from the name of its column."""
        guess = (
            f", the unit in the name of column {self.columns.names['L']}" if "L" in self.columns.guessed_units else ""
        )
        if not unit.is_identity:
            return [f"L converted from {unit.name} to {unit.loss_unit}{guess}"]
        return [f"L in {unit.loss_unit}{guess}"] if guess or unit.loss_unit != LOSS_UNIT else []

    def _stated_errors(self, table: Table, notes: list[str]) -> dict[str, np.ndarray]:
        """Standard errors (n,) in the cells of the output under the letter "error"; empty if there are none to use."""
        letter = self.law.output if self.law else "L"
        name = self.columns.names.get(letter)
        if name is None or (self.law and letter in self.law.labels):
            return {}
        numbers = parse_column(table.frame[name], False, table.decimal_comma)
        if numbers.errors is None:
            return {}
        errors = numbers.errors
        if letter in self.columns.units:
            errors = self.columns.units[letter].convert_errors(errors, numbers.values)
        with np.errstate(invalid="ignore"):
            usable = np.isfinite(errors) & (errors > 0)
        cell = next(quote_cell(cell) for cell in table.frame[name][np.isfinite(numbers.errors)])
        if not usable.all():
            notes.append(
                f"{letter}: errors in cells such as {cell} are not used: {plural(int(sum(~usable)), 'row')} without"
            )
            return {}
        notes.append(f"{letter}: cells such as {cell} are a value and its standard error")
        return {"error": errors}

    def describe_bad_cell(self, letter: str, table: Table, bad: np.ndarray, values: np.ndarray) -> str:
        """Describes the first bad cell of a column and the number of rows with a bad cell.

        Args:
            letter: Letter of the column.
            table: Rows (n,).
            bad: Mask (n,) of the rows with a bad cell; at least one row.
            values: Values (n,) of the column.
        """
        row, name = int(np.argmax(bad)), self.columns.names[letter]
        index = table.frame.index[row]
        unit = self.columns.units.get(letter) if letter not in self.columns.guessed_units else None
        converted = f" ({values[row]:g} from {unit.name})" if unit and np.isfinite(values[row]) else ""
        allowed = f"finite numbers{'' if self._may_be_negative(letter) else ' greater than 0'}"
        if _is_extreme(values[row]):
            allowed = f"numbers from {SMALLEST:g} to {LARGEST:g}"
        others = f" ({bad.sum() - 1} more such rows)" if bad.sum() > 1 else ""
        cell = f"{quote_cell(table.frame.at[index, name])}{converted}"
        return f"{table.row_name(index)}, column {name}: {cell}: allowed are {allowed}{others}"

    def _describe_dropped(self, table: Table, bad: Mapping[str, np.ndarray], dropped: np.ndarray) -> str:
        rows = []
        for row in np.flatnonzero(dropped)[:MAX_LISTED]:
            index = table.frame.index[row]
            name = self.columns.names[next(letter for letter, wrong in bad.items() if wrong[row])]
            rows.append(f"{table.row_name(index)}: {name} = {quote_cell(table.frame.at[index, name])}")
        others = f" and {dropped.sum() - MAX_LISTED} more" if dropped.sum() > MAX_LISTED else ""
        return f"{plural(int(dropped.sum()), 'row')} left out: {', '.join(rows)}{others}"

    def _may_be_negative(self, letter: str) -> bool:
        return self.law is not None and letter in self.law.signed

    def is_optional(self, letter: str) -> bool:
        """Returns whether a fit does not require the column and the user did not name it."""
        if letter in self.columns.explicit:
            return False
        if letter in OPTIONAL_LETTERS and not (self.law and letter in self.law.inputs):
            return True
        if self.law is None:
            return False
        needed = {*self.law.inputs, self.law.output}
        return letter not in (needed if needed <= set(self.columns.names) else {*needed, "N", "D", "C"})


def _is_extreme(x: np.ndarray) -> np.ndarray:
    """Whether values other than 0 are so small or large that products of them are not finite."""
    size = np.abs(x)
    return np.asarray(np.isfinite(x) & (size > 0) & ((size < SMALLEST) | (size > LARGEST)))

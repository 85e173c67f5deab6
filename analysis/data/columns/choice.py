"""Choice of the columns that contain N, D, C and L.

Key: N parameters, D tokens, C training FLOPs, L loss in nats per token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from analysis.data.columns.names import COLUMN_NAMES, candidate_columns, name_readings, unit_in_name, usual_names
from analysis.data.options import ReadOptions
from analysis.data.table import Table
from analysis.data.units import Unit, parse_unit, parse_units
from analysis.errors import DataError
from analysis.format import join_names
from analysis.laws.law import Law


@dataclass(frozen=True)
class ColumnChoice:
    """Column and unit of each letter.

    Attributes:
        names: Column by letter.
        explicit: Letters whose column the user named.
        units: Unit by letter; values of other letters are not converted.
        guessed_units: Letters whose unit was guessed from the column's name.
        notes: One line for each guessed column.
    """

    names: dict[str, str]
    explicit: frozenset[str]
    units: dict[str, Unit]
    guessed_units: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()


def law_letters(law: Law | None) -> tuple[str, ...]:
    """Returns the letters of the inputs and the output of a law other than N, D, C and L."""
    return () if law is None else tuple(k for k in (*law.inputs, law.output) if k not in ("N", "D", "C", "L"))


def choose_columns(
    table: Table, options: ReadOptions, law: Law | None, store_columns: Mapping[str, str]
) -> ColumnChoice:
    """Chooses the column of each letter: as the user named it, else as a store defines it, else guessed by its name.

    Args:
        table: Rows of the source.
        options: Columns and units that the user named.
        law: Law whose inputs and output are read.
        store_columns: Columns of a store, by letter; empty for other sources.

    Raises:
        DataError: A named letter, column or unit does not exist, or a column's name is ambiguous.
    """
    letters = (*law_letters(law), *COLUMN_NAMES)  # the law's letters first: its n is not N
    units = parse_units(_by_letter(options.units, law, letters), letters)
    named = _by_letter(options.columns, law, letters)
    _check_named(table, named, letters)
    names, notes = {**store_columns, **named}, []
    units_by_name = {letter: unit_in_name(name, letter) for letter, name in named.items()}
    readings = {column: name_readings(column) for column in table.frame.columns}

    def candidates(letter: str) -> list[tuple[str, str | None]]:
        return candidate_columns(table, readings, letter, usual_names(letter, options.params, law))

    if law and "x" in law.inputs and "x" not in names:  # the input of a curve can be N, D or C
        inputs = [k for k in ("N", "D", "C") if k in named] or [k for k in ("N", "D", "C") if candidates(k)]
        if len(inputs) == 1:
            names["x"] = named.get(inputs[0]) or candidates(inputs[0])[0][0]
            notes.append(f"x taken from column {names['x']}")
    for letter in law_letters(law) if store_columns else letters:
        if letter in names:
            continue
        columns = [(name, unit) for name, unit in candidates(letter) if name not in names.values()]
        if not columns:
            continue
        names[letter], units_by_name[letter] = columns[0]
        if letter not in ("name", "group"):
            others = f" (not {', '.join(name for name, _ in columns[1:])})" if len(columns) > 1 else ""
            notes.append(f"{letter} taken from column {names[letter]}{others}")
    for letter, name in names.items():
        if name in table.duplicate_columns:
            raise DataError(f"{table.name}: two columns are called {name!r} (for {letter}): rename one")
    guessed = {k: parse_unit(k, unit) for k, unit in units_by_name.items() if unit and k not in units}
    return ColumnChoice(names, frozenset(named), units | guessed, frozenset(guessed), tuple(notes))


def _by_letter(named: Mapping[str, str], law: Law | None, letters: tuple[str, ...]) -> dict[str, str]:
    """Columns or units of the user by letter, where y is replaced by the output of the law and x by its only input."""
    result = dict(named)
    if "y" in result and "y" not in letters:
        result[law.output if law else "L"] = result.pop("y")
    if "x" in result and "x" not in letters and law and len(law.inputs) == 1:
        result[law.inputs[0]] = result.pop("x")
    return result


def _check_named(table: Table, named: Mapping[str, str], letters: tuple[str, ...]) -> None:
    unknown = sorted(set(named) - set(letters))
    if unknown:
        raise DataError(f"columns {', '.join(unknown)}: allowed are {', '.join(letters)}")
    for letter, name in named.items():
        if name not in table.frame.columns:
            names = join_names(table.frame.columns)
            raise DataError(f"{table.name}: no column {name!r} (for {letter}): it has {names}")


def check_sufficient(table: Table, names: Mapping[str, str], law: Law | None) -> None:
    """Checks that the inputs and the output of a law have a column or can be computed from other columns.

    Args:
        table: Rows of the source.
        names: Column by letter.
        law: Law whose inputs and output are read; None requires L and at least one of N, D and C.

    Raises:
        DataError: A column is missing.
    """
    columns = f"it has {join_names(table.frame.columns)}"
    output = law.output if law else "L"
    if output not in names:
        missing = "L (loss)" if output == "L" else output
        raise DataError(f"{table.name}: no column for {missing}: name one with {output}=..., {columns}")
    sizes = {"N", "D", "C"} & set(names)
    if law is None:
        if not sizes:
            raise DataError(f"{table.name}: no column for N, D or C: name one with N=..., {columns}")
        return
    available = set(names)
    if len(sizes) >= 2:  # C = 6·N·D gives the third
        available |= {"N", "D", "C", "M"}
    if "budget" in names:
        available.add("C")
    absent = [letter for letter in law.inputs if letter not in available]
    if absent:
        raise DataError(f"{table.name}: no column for {', '.join(absent)}: name one with {absent[0]}=..., {columns}")

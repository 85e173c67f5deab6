"""Choice of the columns that contain N, D, C and L.

Key: N parameters, D tokens, C training FLOPs, L loss.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.data.columns.names import (
    COLUMN_NAMES,
    PLAIN_SPLIT,
    UNIT_COLUMNS,
    UNKNOWN_WORDS,
    Candidate,
    candidate_columns,
    is_active,
    may_be_compute,
    may_be_loss,
    normalise,
    unit_in_name,
)
from analysis.data.options import ReadOptions
from analysis.data.table import Table, cell_texts, parse_column, quote_cell
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
    letters = tuple(dict.fromkeys((*law_letters(law), *COLUMN_NAMES)))  # the law's letters first: its n is not N
    units = parse_units(_by_letter(options.units, law, letters), letters)
    named = _by_letter(options.columns, law, letters)
    _check_named(table, named, letters)
    names, notes = {**store_columns, **named}, []
    units_by_name = {letter: unit_in_name(name, letter) for letter, name in named.items()}

    def candidates(letter: str) -> list[Candidate]:
        return candidate_columns(table, letter, options.params, law)

    if law and "x" in law.inputs and "x" not in names:  # the input of a curve can be N, D or C
        inputs = [k for k in ("N", "D", "C") if k in named] or [k for k in ("N", "D", "C") if candidates(k)]
        if len(inputs) == 1:
            names["x"] = named.get(inputs[0]) or candidates(inputs[0])[0].column
            notes.append(f"x taken from column {names['x']}")
    for letter in law_letters(law) if store_columns else letters:
        if letter in names:
            continue
        used = {name for other, name in names.items() if other != "group"}  # a group can also be an input
        possible = [candidate for candidate in candidates(letter) if candidate.column not in used]
        chosen = _choose(table, letter, possible, letter == (law.output if law else "L"))
        if chosen is None:
            continue
        names[letter], units_by_name[letter] = chosen.column, chosen.unit
        if letter not in ("name", "group"):
            notes.append(_describe_choice(table, letter, chosen, possible, law))
    if not store_columns:
        notes += _unused_active(table, names, named) + ([] if options.flops else _unused_compute(table, names))
    if options.params == "nonembedding" and "N" not in names and not store_columns:
        raise DataError(
            f"{table.name}: params nonembedding: no column of parameters without embeddings, such as "
            f"params_nonembedding: name it with --columns N=..., it has {join_names(table.frame.columns)}"
        )
    _check_unique(table, names)
    guessed = {k: parse_unit(k, unit) for k, unit in units_by_name.items() if unit and k not in units}
    return ColumnChoice(names, frozenset(named), units | guessed, frozenset(guessed), tuple(notes))


def with_unit_in_cells(columns: ColumnChoice, table: Table) -> ColumnChoice:
    """Returns the choice with the unit of the loss that a column such as loss_unit has in the cells of all rows.

    Args:
        columns: Columns and units.
        table: Selected rows.

    Raises:
        DataError: Rows have different units, or another unit than the name of the column of the loss.
    """
    names = [column for column in table.frame.columns if normalise(column) in UNIT_COLUMNS]
    stated = "L" in columns.units and "L" not in columns.guessed_units
    if "L" not in columns.names or stated or not names:
        return columns
    try:
        different = {parse_unit("L", text) for text in cell_texts(table.frame[names[0]])}
    except DataError:
        return columns  # a column of other units
    if "L" in columns.units:
        different.add(columns.units["L"])
    if len(different) > 1:
        units = ", ".join(sorted(unit.name for unit in different))
        raise DataError(
            f"{table.name}: losses in different units ({units}): select rows of one with --where, or name the unit of "
            "all with --units L=..."
        )
    return replace(columns, units={**columns.units, "L": different.pop()})


def _choose(table: Table, letter: str, possible: Sequence[Candidate], is_output: bool) -> Candidate | None:
    """The first candidate with numbers, or the first of all; None if there is no candidate.

    Raises:
        DataError: The choice of a loss is not clear: the held-out loss has no numbers and a training loss has, or
            several held-out losses differ only in words that are not known.
    """
    chosen = next((candidate for candidate in possible if candidate.has_numbers), next(iter(possible), None))
    if chosen is None or letter != "L" or not is_output:
        return chosen
    first = possible[0]
    if first.rank[0] < PLAIN_SPLIT < chosen.rank[0]:
        raise DataError(
            f"{table.name}: column {first.column} has no numbers ({_example(table, first.column)}), and "
            f"{chosen.column} is a training loss: name the column of the loss with --columns L=..."
        )
    equal = [candidate.column for candidate in possible if candidate.rank[0] == UNKNOWN_WORDS]
    if chosen.rank[0] == UNKNOWN_WORDS and len(equal) > 1:
        raise DataError(
            f"{table.name}: several columns are held-out losses: {join_names(equal)}: name one with --columns L=..."
        )
    return chosen


def _describe_choice(
    table: Table, letter: str, chosen: Candidate, possible: Sequence[Candidate], law: Law | None
) -> str:
    """Note on the column of a letter, which names the columns that were not chosen, and why better names were not."""
    others = [candidate for candidate in possible if candidate is not chosen]
    texts = [
        other.column + ("" if other.has_numbers else f", which has no numbers ({_example(table, other.column)})")
        for other in others
    ]
    if letter == "L" and chosen.rank[0] > UNKNOWN_WORDS:  # a training loss
        ranked = [candidate.column for candidate in possible]
        texts += [column for column in table.frame.columns if column not in ranked and may_be_loss(column)]
    meaning = law.units.get(letter, "") if law and letter in law.columns and letter in ("N", "D", "C") else ""
    text = f"{letter}{f' ({meaning})' if meaning else ''} taken from column {chosen.column}"
    return text + (f" (not {', '.join(texts)})" if texts else "")


def _unused_compute(table: Table, names: Mapping[str, str]) -> list[str]:
    """A note on columns whose names may mean compute, if C is 6·N·D because none of them is certain."""
    if {"C", "budget"} & set(names):
        return []
    others = [
        column
        for column in table.frame.columns
        if column not in names.values()
        and may_be_compute(column)
        and np.isfinite(cells := parse_column(table.frame[column], True, table.decimal_comma).values).all()
        and np.ptp(cells) > 0
    ]
    return [f"not used as C: {join_names(others)} (--columns C={others[0]})"] if others else []


def _unused_active(table: Table, names: Mapping[str, str], named: Mapping[str, str]) -> list[str]:
    """A note on a column of active parameters of mixtures of experts, if N was guessed to be all parameters."""
    unused = [column for column in table.frame.columns if column not in names.values() and is_active(column)]
    if not unused or "N" not in names or "N" in named:
        return []
    return [f"N counts all parameters: --columns N={unused[0]} takes those of which C is 6·N·D in mixtures of experts"]


def _example(table: Table, column: str) -> str:
    """The first cell of a column that is not empty, quoted."""
    return next((quote_cell(cell) for cell in table.frame[column] if quote_cell(cell) != "nothing"), "empty")


def _check_unique(table: Table, names: Mapping[str, str]) -> None:
    for letter, name in names.items():
        if name in table.duplicate_columns:
            raise DataError(f"{table.name}: two columns are called {name!r} (for {letter}): rename one")


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


def check_sufficient(table: Table, names: Mapping[str, str], law: Law | None, advice: str = "") -> None:
    """Checks that the inputs and the output of a law have a column or can be computed from other columns.

    Args:
        table: Rows of the source.
        names: Column by letter.
        law: Law whose inputs and output are read; None requires L and at least one of N, D and C.
        advice: End of the error message.

    Raises:
        DataError: A column is missing.
    """
    columns = f"it has {join_names(table.frame.columns)}{advice}"
    output = law.output if law else "L"
    if output not in names:
        missing = "L (loss)" if output == "L" else output
        raise DataError(f"{table.name}: no column for {missing}: name one with {output}=..., {columns}")
    available = set(names)
    if "budget" in names:
        available.add("C")
    if {"U", "epochs"} <= available:
        available.add("D")
    sizes = {"N", "D", "C"} & available
    if law is None:
        if not sizes:
            raise DataError(f"{table.name}: no column for N, D or C: name one with N=..., {columns}")
        return
    if len(sizes) >= 2:  # C = 6·N·D gives the third
        available |= {"N", "D", "C", "M"} - set(law.columns)  # not where the law means another N
    if "epochs" in available and "D" in available:
        available.add("U")
    absent = [letter for letter in law.inputs if letter not in available]
    if absent:
        descriptions = ", ".join(f"{k} ({law.units[k]})" if k in law.columns and k in law.units else k for k in absent)
        raise DataError(f"{table.name}: no column for {descriptions}: name one with {absent[0]}=..., {columns}")

"""Converts wide tables, with a column per model, budget or another value, to one row per value."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from analysis.data.columns.names import COLUMN_NAMES, name_readings
from analysis.data.sources.name_forms import NameForm
from analysis.data.table import Table, cell_texts, parse_column
from analysis.data.units import parse_unit
from analysis.errors import DataError
from analysis.format import join_names, plural

SCALED = r"(?:thousand|million|billion|trillion|[kKmMbBtT]n?)"
NUMBER = re.compile(
    rf"(?<![A-Za-z0-9.])[+-]?(?:\d{{1,3}}(?:,\d{{3}})+|\d+)(?:[.,]\d+)?(?:[eE][+-]?\d+)?(?:\s*{SCALED}(?![A-Za-z]))?"
    rf"|(?<=[A-Za-z_=])\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?:{SCALED}(?![A-Za-z]))?"
)
PLACE = "\0"  # stands for a number in the name of a column
NAME_CELLS = "name the cells with --wide N:NAME"
MIN_COLUMNS = 2  # fewest columns that a value is read from


@dataclass(frozen=True)
class ValueColumns:
    """Columns that hold one quantity, each at a value that its name contains.

    Attributes:
        quantity: What all names have in common, without the value; empty if names are only values.
        unit: First word after the value, which can be its unit.
        values: Text of the value by column.
    """

    quantity: str
    unit: str
    values: dict[str, str]


def value_columns(table: Table) -> list[ValueColumns]:
    """Returns the groups of columns whose names differ in one number, such as 70M and 160M, or loss_1B and loss_4B."""
    groups: dict[str, dict[str, list[str]]] = {}
    for column in table.frame.columns:
        numbers = NUMBER.findall(column)
        if numbers:
            groups.setdefault(NUMBER.sub(PLACE, column), {})[column] = numbers
    result = []
    for skeleton, columns in groups.items():
        slots = list(zip(*columns.values(), strict=True))
        varying = [i for i, slot in enumerate(slots) if len(set(slot)) > 1]
        if len(columns) < MIN_COLUMNS or len(varying) != 1:
            continue
        quantity = iter(skeleton.split(PLACE))
        parts = [next(quantity), *(slot[0] + part for slot, part in zip(slots, quantity, strict=True))]
        after = parts[varying[0] + 1] = skeleton.split(PLACE)[varying[0] + 1]
        comma = "." if table.decimal_comma else ","
        values = {column: numbers[varying[0]].replace(",", comma) for column, numbers in columns.items()}
        unit = re.match(r"[\s_-]*([A-Za-z/-]*)", after)
        result.append(ValueColumns("".join(parts).strip(" _-/.:=()[]@"), unit[1] if unit else "", values))
    return result


def wide_hint(table: Table) -> str:
    """Returns advice for a table that looks wide, to append to an error; empty for other tables."""
    groups = value_columns(table)
    if not groups:
        return ""
    columns = max(groups, key=lambda group: len(group.values)).values
    return (
        f"; the columns {join_names(columns, 4)} look like one value each: if their names are sizes with losses in the "
        "cells, use --wide N (or what they are: D, C, budget, seed, ...)"
    )


def unfold_wide(table: Table, wide: str, output: str) -> Table:
    """Converts a wide table to one row per filled cell.

    Args:
        table: A table with a column per value.
        wide: What the names of these columns are, such as N, D, C, budget or lr; with a colon also what their cells
            are, such as "N:loss". With braces it is the form of the names, such as "loss_{N}_seed{seed}".
        output: What the cells are if `wide` does not say it and the names of the columns do not.

    Raises:
        DataError: There are no such columns, or the table already has a column of the result.
    """
    key, _, cells = (part.strip() for part in wide.partition(":"))
    if "{" in wide:
        return _unfold_form(table, NameForm.parse("--wide", key), cells or output)
    groups = value_columns(table)
    if not key or not groups:
        raise DataError(
            f"{table.name}: --wide {wide}: no columns whose names are values such as 70M, 160M: "
            f"it has {join_names(table.frame.columns)}"
        )
    largest = max(len(group.values) for group in groups)
    groups = [group for group in groups if len(group.values) == largest]
    quantities = [cells if cells and len(groups) == 1 else _quantity(group, key, output) for group in groups]
    key = _with_unit(key, groups[0].unit)
    used = {column for group in groups for column in group.values}
    others = [column for column in table.frame.columns if column not in used]
    clash = sorted({key, *quantities} & set(others))
    if clash or len(set(quantities)) < len(quantities):
        name = (clash or quantities)[0]
        raise DataError(f"{table.name}: --wide {wide}: the table already has a column {name!r}: {NAME_CELLS}")
    parts = []
    for value in dict.fromkeys(value for group in groups for value in group.values.values()):
        part = table.frame[others].assign(**{key: value})
        for quantity, group in zip(quantities, groups, strict=True):
            column = next((column for column, text in group.values.items() if text == value), None)
            part[quantity] = None if column is None else table.frame[column]
        parts.append(
            part[[any(row) for row in zip(*(map(bool, cell_texts(part[q])) for q in quantities), strict=True)]]
        )
    numbers = parse_column(pd.Series(list(groups[0].values.values()), dtype=object), True, table.decimal_comma).values
    if not np.isfinite(numbers).all():
        raise DataError(f"{table.name}: --wide {wide}: not numbers: {join_names(groups[0].values.values())}")
    columns = join_names(f"{column} ({number:g})" for column, number in zip(groups[0].values, numbers, strict=True))
    return _stacked(table, parts, f"{key} from the columns {columns}; their cells are {join_names(quantities)}")


def _unfold_form(table: Table, form: NameForm, quantity: str) -> Table:
    """The rows of the columns whose names have a form, which holds several values."""
    columns = {column: values for column in table.frame.columns if (values := form.match(column)) is not None}
    others = [column for column in table.frame.columns if column not in columns]
    if not columns:
        raise DataError(f"{table.name}: --wide {form.text}: no column has this form: it has {join_names(others)}")
    form.check_new(table)
    if quantity in others:
        raise DataError(f"{table.name}: --wide {form.text}: the table already has a column {quantity!r}: {NAME_CELLS}")
    parts = []
    for column, values in columns.items():
        cells = table.frame[column]
        part = table.frame[others].assign(**values, **{quantity: cells})
        parts.append(part[[bool(text) for text in cell_texts(cells)]])
    fields = join_names(form.fields)
    return _stacked(table, parts, f"{fields} from the columns {join_names(columns, 4)}; their cells are {quantity}")


def _stacked(table: Table, parts: list[pd.DataFrame], description: str) -> Table:
    frame = pd.concat(parts).astype(object)
    lines = None if table.lines is None else table.lines[frame.index.to_numpy(int)]
    table = table.with_notes(f"{plural(len(frame), 'row')} from a wide table: {description}")
    return replace(table, frame=frame.reset_index(drop=True), lines=lines)


def _with_unit(key: str, unit: str) -> str:
    """Name of the column of the values, with the unit that follows them in the names of the columns."""
    if not unit:
        return key
    try:
        parse_unit(key, unit)
    except DataError:
        return key
    return f"{key} ({unit})"


def _quantity(group: ValueColumns, key: str, output: str) -> str:
    """What the cells of a group are: the words of the names that are not those of the value."""
    of_key = {key.lower(), *COLUMN_NAMES.get(key, "").split(), group.unit.lower()}
    readings = set(name_readings(group.quantity)) if group.quantity else of_key
    known = {
        name for letter, names in COLUMN_NAMES.items() if letter not in ("name", "group") for name in names.split()
    }
    if readings & of_key:
        return output
    words = [text for text in re.findall(r"[A-Za-z]+", group.quantity) if text.lower() not in of_key]
    is_quantity = readings & known or any("loss" in text.lower() or text.lower() in ("ppl", "acc") for text in words)
    if not is_quantity:
        return output
    return group.quantity if words == re.findall(r"[A-Za-z]+", group.quantity) else "_".join(words)

"""Columns other than those of runs and losses, such as a learning rate or a test error, by their usual names."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from analysis.data.columns.names import name_readings
from analysis.data.table import Table, cell_texts, parse_column, quote_cell
from analysis.errors import DataError
from analysis.format import join_names


def find_columns(
    table: Table, usual: Mapping[str, str], given: Mapping[str, str], needed: Collection[str]
) -> dict[str, str]:
    """Returns the column of each quantity that has one.

    Args:
        table: The table.
        usual: Normalised names of each quantity, the most usual first, separated by spaces.
        given: Columns that the user named.
        needed: Quantities that must have a column.

    Raises:
        DataError: A named quantity or column does not exist, or a needed quantity has no column.
    """
    columns = list(table.frame.columns)
    unknown = sorted(set(given) - set(usual))
    if unknown:
        raise DataError(f"columns {', '.join(unknown)}: allowed here are {', '.join(usual)}")
    for quantity, column in given.items():
        if column not in columns:
            raise DataError(f"{table.name}: no column {column!r} (for {quantity}): it has {join_names(columns)}")
    names = dict(given)
    for quantity in (q for q in usual if q not in names):
        ranked = usual[quantity].split()
        ranks = {
            column: min(ranked.index(reading) for reading in name_readings(column) if reading in ranked)
            for column in columns
            if column not in names.values() and set(name_readings(column)) & set(ranked)
        }
        if ranks:
            names[quantity] = min(ranks, key=lambda column: ranks[column])
    missing = [quantity for quantity in needed if quantity not in names]
    if missing:
        example = f"--columns {missing[0]}=NAME"
        raise DataError(
            f"{table.name}: no column for {', '.join(missing)}: name it with {example}; it has {join_names(columns)}"
        )
    return names


def read_numbers(table: Table, column: str, may_be_missing: Collection[str] = ()) -> np.ndarray:
    """Returns the numbers of a column (n,).

    Args:
        table: The table.
        column: Name of the column.
        may_be_missing: Texts in lower case that stand for a missing number, read as NaN.

    Raises:
        DataError: A cell is neither a finite number nor one of these texts.
    """
    values = parse_column(table.frame[column], True, table.decimal_comma).values
    texts = [text.lower() for text in cell_texts(table.frame[column])]
    missing = np.isin(np.array(texts, object), list(may_be_missing))
    bad = ~np.isfinite(values) & ~missing
    if bad.any():
        index = table.frame.index[int(np.argmax(bad))]
        cell = quote_cell(table.frame.at[index, column])
        raise DataError(f"{table.name}: {table.row_name(index)}, column {column}: {cell} is not a number")
    return np.where(missing, np.nan, values)

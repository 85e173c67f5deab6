"""Reads a source into Points: a store, a file, a DataFrame, arrays or rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from analysis.data.from_store import points_from_store
from analysis.data.from_table import points_from_table
from analysis.data.options import ReadOptions
from analysis.data.points import Points
from analysis.data.record_cache import StoreSnapshot
from analysis.data.runs import PARAM_COUNTS, check_choice
from analysis.data.sources.readers import read_table
from analysis.data.table import Table
from analysis.errors import DataError
from analysis.format import join_names
from analysis.laws.law import Law

RUN_COLUMN = "run of the checkpoint"  # added column, made from the columns that together name a run


def load(source: Any, law: Law | None = None, options: ReadOptions = ReadOptions(), *, curves: bool = False) -> Points:
    """Reads the points of a source.

    Args:
        source: A store or its folder (finished runs are read), a file (analysis/data/sources/readers.py), a DataFrame, arrays
            by letter such as {"N": ..., "D": ..., "L": ...}, or a list of rows.
        law: Law whose inputs and output are read; None reads N, D, C and L.
        options: Columns, units, rows and counting convention.
        curves: Also read the training curves of a store.

    Raises:
        DataError: The source cannot be read; one line that names the file and the row or column.
    """
    check_choice("params", options.params, PARAM_COUNTS)
    if isinstance(source, StoreSnapshot) or (isinstance(source, str | Path) and Path(source).is_dir()):
        if options.run_columns:
            raise DataError(
                f"{source}: is a store: columns that name runs (--runs) apply only to a table of checkpoints"
            )
        return points_from_store(source, options, law, curves=curves)
    table = read_table(source)
    if options.run_columns:
        table, options = _group_checkpoints(table, options)
    return points_from_table(table, options, law)


def _group_checkpoints(table: Table, options: ReadOptions) -> tuple[Table, ReadOptions]:
    """Adds a column with the run of each checkpoint and uses it as the column of groups."""
    missing = [name for name in options.run_columns if name not in table.frame.columns]
    if missing:
        columns = join_names(table.frame.columns)
        raise DataError(f"{table.name}: no column {missing[0]!r} (to name runs): it has {columns}")
    run = table.frame[list(options.run_columns)].astype(str).agg(" ".join, axis=1)
    table = replace(table, frame=table.frame.assign(**{RUN_COLUMN: run}))
    return table, replace(options, columns={**options.columns, "group": RUN_COLUMN})

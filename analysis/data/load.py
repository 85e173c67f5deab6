"""Reads a source into Points: a store, a file, a DataFrame, arrays or rows."""

from __future__ import annotations

from typing import Any

from analysis.data.from_store import is_run_table, points_from_run_table, points_from_store
from analysis.data.from_table import points_from_table
from analysis.data.options import ReadOptions
from analysis.data.points import Points
from analysis.data.rows.checkpoints import CHECKPOINTS
from analysis.data.rows.replicates import REPLICATES
from analysis.data.runs import PARAM_COUNTS, check_choice
from analysis.data.schedule_file import points_with_schedules
from analysis.data.sources.readers import is_store, read_table
from analysis.errors import DataError
from analysis.laws.law import Law


def load(source: Any, law: Law | None = None, options: ReadOptions = ReadOptions(), *, curves: bool = False) -> Points:
    """Reads the points of a source.

    Args:
        source: A store or its folder (finished runs are read), a file or a folder of files
            (analysis/data/sources/readers.py), a DataFrame, arrays by letter such as {"N": ..., "D": ..., "L": ...}, or
            a list of rows.
        law: Law whose inputs and output are read; None reads N, D, C and L.
        options: Columns, units, rows and counting convention.
        curves: Also read the training curves of a store.

    Raises:
        DataError: The source cannot be read; one line that names the file and the row or column.
    """
    check_choice("params", options.params, PARAM_COUNTS)
    check_choice("checkpoints", options.checkpoints, CHECKPOINTS)
    check_choice("replicates", options.replicates, REPLICATES)
    if is_store(source):
        if options.wide or options.run_names:
            raise DataError(f"{source}: is a store: --wide and --run-names apply only to tables")
        if options.run_columns or options.checkpoints != "auto":
            raise DataError(f"{source}: is a store: --runs and --checkpoints apply only to a table of checkpoints")
        if options.schedule:
            raise DataError(f"{source}: is a store: --schedule applies only to tables of losses")
        return points_from_store(source, options, law, curves=curves)
    table = read_table(source, options, "loss" if law is None or law.output == "L" else law.output)
    if options.schedule:
        return points_with_schedules(table, options, law)
    if is_run_table(table) and not options.run_columns:
        return points_from_run_table(table, options, law)
    return points_from_table(table, options, law)

"""The rows of a table that are fitted, and the runs that they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from analysis.data.columns.names import name_readings
from analysis.data.options import ReadOptions
from analysis.data.points import Points
from analysis.data.rows.checkpoints import (
    MIN_RUNS,
    final_rows,
    learning_curves,
    runs_of_rows,
    wants_final_rows,
    why_undetermined,
)
from analysis.data.rows.labels import text_labels
from analysis.data.rows.replicates import combine_replicates, select_replicates
from analysis.errors import DataError
from analysis.format import plural
from analysis.laws.law import Law


def fitted_rows(
    points: Points,
    frame: pd.DataFrame,
    used: Mapping[str, str],
    law: Law | None,
    options: ReadOptions,
    rows_are_runs: bool = False,
) -> Points:
    """Returns the points that are fitted: final or all rows of each run, and of replicates the best or their mean.

    Args:
        points: All rows (n,).
        frame: The same rows of the table (n,).
        used: Column by letter.
        law: Law that is fitted; None stands for laws of the loss in N, D and C.
        options: Columns that name runs, and the choice of checkpoints and replicates.
        rows_are_runs: Whether each row is known to be a run, as in a store.

    Raises:
        DataError: A column that names runs does not exist, or the rows of runs cannot be chosen as the options say.
    """
    columns = frozenset(used.values())
    groups = {} if points.groups is None else {used["group"]: points.groups}
    points = replace(points, labels=text_labels(frame, columns) | groups)
    runs = None if rows_are_runs else runs_of_rows(frame, points, used, options.run_columns)
    if runs is None or len(set(runs)) == len(runs):
        if options.checkpoints == "final" and runs is None:
            raise DataError(
                f"{points.source}: checkpoints final: no column names the run of several rows: name one with --runs"
            )
        return combine_replicates(points, frame, columns, law, options.replicates)
    if not wants_final_rows(law) and options.checkpoints != "final" and len(set(runs)) < MIN_RUNS:
        return combine_replicates(points, frame, columns, law, options.replicates)  # a few learning curves
    held_out = not {"train", "training"} & _words(used.get("L", ""))
    points = replace(points, runs=runs, curves=learning_curves(points, runs, held_out))
    last = final_rows(runs, points, frame)
    shared = f"{plural(len(points), 'row')} are checkpoints of {plural(len(last), 'run')}"
    reason = why_undetermined(points, last, law)
    needs_all = bool(reason) and not why_undetermined(points, np.arange(len(points)), law)
    if options.checkpoints == "final" or (options.checkpoints == "auto" and wants_final_rows(law) and not needs_all):
        note = f"{shared}: the last row of each is fitted (--checkpoints all fits every row)"
        final = replace(points.select(last), runs=None, notes=(*points.notes, note))
        return combine_replicates(final, frame.iloc[last], columns, law, options.replicates)
    return _all_checkpoints(points, frame, last, used, law, options, _note_all(shared, reason, law, options))


def _note_all(shared: str, reason: str, law: Law | None, options: ReadOptions) -> str:
    note = f"{shared}: all are fitted"
    if options.checkpoints == "auto" and wants_final_rows(law):
        note += f", because the last rows alone do not determine the law ({reason})"
    note += "; the default bootstrap resamples whole runs"
    if wants_final_rows(law):
        note += "; losses before the decay of the learning rate are higher than final losses"
    return note


def _all_checkpoints(
    points: Points,
    frame: pd.DataFrame,
    last: np.ndarray,
    used: Mapping[str, str],
    law: Law | None,
    options: ReadOptions,
    note: str,
) -> Points:
    """All rows of the runs that `select_replicates` chooses by their last rows."""
    points = replace(points, notes=(*points.notes, note))
    if options.replicates == "mean":
        raise DataError("replicates mean: averages final rows: use --checkpoints final")
    choice = "seeds" if options.replicates == "auto" else options.replicates
    selection = select_replicates(points.select(last), frame.iloc[last], frozenset(used.values()), law, choice)
    points = replace(points, notes=(*points.notes, *selection.notes))
    if selection.sets is None:
        return points
    assert points.runs is not None
    chosen = {points.runs[last[row]] for rows in selection.sets for row in rows}
    return points.select(np.array([run in chosen for run in points.runs], bool))


def _words(column: str) -> set[str]:
    return {word for reading in name_readings(column) for word in reading.split("_")} if column else set()

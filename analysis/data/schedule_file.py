"""A table of learning-rate schedules beside a table of losses: the losses are few, the schedule has all its steps.

Key: n rows of losses, k rows of a schedule.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from analysis.data.columns.choice import choose_columns
from analysis.data.from_table import points_from_table
from analysis.data.options import ReadOptions
from analysis.data.points import Points
from analysis.data.sources.readers import read_table
from analysis.data.table import Table, cell_texts, parse_column
from analysis.errors import DataError
from analysis.format import join_names
from analysis.laws.curve.schedule_terms import Schedules
from analysis.laws.law import Law

ONLY_CURVE = "1"  # name of the curve of a table without a column of curves
RATE_COLUMN = "rate of the schedule"
CURVE_COLUMN = "curve of the schedule"

Rows = dict[str, tuple[np.ndarray, np.ndarray]]  # steps and rates (k,) by curve


def points_with_schedules(table: Table, options: ReadOptions, law: Law | None) -> Points:
    """Reads losses at some steps, with rates from the table of schedules of the options.

    Args:
        table: Losses by step, and by curve if there are several.
        options: Options with the file of the schedules: columns of steps and rates, and of curves if they differ.
        law: A law of learning-rate schedules.

    Raises:
        DataError: The law has no schedule, a curve has none, or a step is beyond its schedule.
    """
    if law is None or not {"step", "lr", "curve"} <= set(law.inputs):
        raise DataError(f"schedule {options.schedule}: applies only to laws of schedules: multi-power, tissue")
    path, options = options.schedule, replace(options, schedule=None)
    shared = replace(options, where=None, units={}, drop_bad=False)
    columns = choose_columns(table, options, law, {}).names
    if "step" not in columns:
        raise DataError(
            f"{table.name}: no column for step: name one with step=...: it has {join_names(table.frame.columns)}"
        )
    schedules = _read_schedules(read_table(path), shared, law)
    curves = cell_texts(table.frame[columns["curve"]]) if "curve" in columns else [ONLY_CURVE] * len(table.frame)
    step = parse_column(table.frame[columns["step"]], True).values
    if list(schedules) == [ONLY_CURVE]:
        schedules = dict.fromkeys(curves, schedules[ONLY_CURVE])
    rate = _rates(table, step, curves, schedules)
    frame = table.frame.copy()
    frame[RATE_COLUMN], frame[CURVE_COLUMN] = rate, curves
    named = {**options.columns, "lr": RATE_COLUMN, "curve": CURVE_COLUMN, "group": CURVE_COLUMN}
    points = points_from_table(replace(table, frame=frame), replace(options, columns=named), law)
    assert points.groups is not None
    numbers = dict(zip(points.groups, points["curve"], strict=True))
    simple = Schedules({float(number): schedules[name] for name, number in numbers.items()}).simplified()
    rows = sum(len(steps) for steps, _ in simple.curves.values())
    note = f"learning rates of {len(numbers)} curves from {path}, as lines between {rows} of its rows"
    labels = {name: texts for name, texts in points.labels.items() if name != CURVE_COLUMN}
    return replace(points, groups=None, labels=labels, schedules=simple, notes=(*points.notes, note))


def _read_schedules(table: Table, options: ReadOptions, law: Law) -> Rows:
    """The schedules of a table by curve; ONLY_CURVE without a column of curves."""
    columns = set(table.frame.columns)
    here = {letter: name for letter, name in options.columns.items() if name in columns}
    names = choose_columns(table, replace(options, columns=here), law, {}).names
    missing = [letter for letter in ("step", "lr") if letter not in names]
    if missing:
        raise DataError(
            f"{table.name}: no column for {missing[0]} of the schedule: it has {join_names(table.frame.columns)}"
        )
    values = {letter: parse_column(table.frame[names[letter]], letter == "step").values for letter in ("step", "lr")}
    curves = cell_texts(table.frame[names["curve"]]) if "curve" in names else [ONLY_CURVE] * len(table.frame)
    for letter, x in values.items():
        if not (np.isfinite(x) & (x >= 0)).all():
            row = int(np.argmin(np.isfinite(x) & (x >= 0)))
            raise DataError(f"{table.name}: {table.row_name(row)}, column {names[letter]}: must be 0 or more")
    schedules: Rows = {}
    for curve, rows in pd.DataFrame(values).groupby(np.array(curves, object), sort=False):
        rows = rows.drop_duplicates("step", keep="last").sort_values("step")
        if len(rows) < 2:
            raise DataError(f"{table.name}: the schedule of curve {curve} has one step: at least 2 are needed")
        schedules[str(curve)] = rows["step"].to_numpy(np.float64), rows["lr"].to_numpy(np.float64)
    return schedules


def _rates(table: Table, step: np.ndarray, curves: list[str], schedules: Rows) -> np.ndarray:
    """Rate (n,) at each row of losses."""
    rate = np.full(len(step), np.nan)
    for curve in dict.fromkeys(curves):
        if curve not in schedules:
            raise DataError(
                f"{table.name}: curve {curve!r} has no schedule: there are schedules of {join_names(schedules)}"
            )
        rows = np.flatnonzero(np.array(curves, object) == curve)
        last = schedules[curve][0][-1]
        if np.nanmax(step[rows], initial=0.0) > last:
            raise DataError(
                f"{table.name}: step {np.nanmax(step[rows]):g} of curve {curve} is after the last step of its "
                f"schedule, {last:g}"
            )
        rate[rows] = Schedules({0.0: schedules[curve]}).rates(0.0, step[rows])
    return rate

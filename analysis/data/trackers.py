"""Tables as experiment trackers export them (Weights & Biases): nested cells unfolded, plots turned into rows."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from analysis.data.table import Table, count, listed

NESTED = ("config", "summary", "summary_metrics")  # columns that hold a whole object a run
STEPS = ("step", "_step", "global_step", "train/global_step", "trainer/global_step")
PLOTTED = " - "  # "RUN - METRIC" heads a plot's columns
RANGES = ("__MIN", "__MAX")
GOOD = ("done", "finished", "completed", "complete", "succeeded", "success")
BAD = (
    *("running", "stopped", "diverged", "failed", "crashed", "killed", "preempted", "preempting", "pending", "queued"),
    *("starting", "canceled", "cancelled", "error", "timeout", "incomplete"),
)


def flat(row: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """An object without objects inside: names joined by dots, {"value": x} taken for x."""
    return dict(_pairs(row, prefix))


def _pairs(row: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in row.items():
        if isinstance(value, dict) and "value" in value and set(value) <= {"value", "desc"}:
            value = value["value"]
        if isinstance(value, dict):
            yield from _pairs(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def unfold(table: Table) -> Table:
    """A tracker's table as one row a run; any other as it is."""
    for name in [c for c in table.frame.columns if c.lower() in NESTED]:
        objects = [_object(cell) for cell in table.frame[name]]
        if any(objects):
            inside = pd.DataFrame([flat(one, f"{name}.") for one in objects], index=table.frame.index, dtype=object)
            inside = inside[[c for c in inside if c not in table.frame.columns]]
            table = replace(table, frame=pd.concat([table.frame.drop(columns=name), inside], axis=1))
    return _plot(table)


def _object(cell: Any) -> dict[str, Any]:
    """A cell such as {"lr": 0.1}, or as Python prints it; empty for anything else."""
    if isinstance(cell, dict):
        return cell
    if not isinstance(cell, str) or not cell.lstrip().startswith("{"):
        return {}
    try:
        found = json.loads(cell)
    except ValueError:
        try:
            found = ast.literal_eval(re.sub(r"(?<=[:\s\[,])-?(?:nan|inf)(?=[,}\]\s])", "None", cell))
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return {}
    return found if isinstance(found, dict) else {}


def _plot(table: Table) -> Table:
    """An exported line plot, a column a run, as rows: name, step, metric."""
    names = list(table.frame.columns)
    if len(names) < 2 or names[0].lower() not in STEPS:
        return table
    curves = [name for name in names[1:] if PLOTTED in name and not name.endswith(RANGES)]
    if not curves or any(PLOTTED not in name for name in names[1:]):
        return table
    parts = []
    for name in curves:
        run, _, metric = name.rpartition(PLOTTED)
        if metric.lower().lstrip("_") in ("step", "timestamp", "runtime"):
            continue
        filled = table.frame[name].map(lambda cell: cell == cell and cell is not None and str(cell).strip() != "")
        rows = table.frame.loc[filled.to_numpy(bool), [names[0], name]]
        parts.append(pd.DataFrame({"name": run, "step": rows.iloc[:, 0], metric: rows.iloc[:, 1]}, dtype=object))
    if not parts:
        return table
    frame = pd.concat(parts)
    lines = None if table.lines is None else table.lines[frame.index.to_numpy(int)]
    said = f"a line plot of {count(len(parts), 'run')}, {count(len(frame), 'row')}: it has no sizes of the runs"
    return replace(table.say(said), frame=frame.reset_index(drop=True), lines=lines, plot=True)


def ended(table: Table) -> Table:
    """Of a line plot the last row of each run; its note says so."""
    last = ~table.frame["name"].duplicated(keep="last").to_numpy(bool)
    return table.keep(last).say("the last value of each curve is taken")


def done(table: Table) -> Table:
    """Runs that are done, where a column says how runs ended; a note counts the others."""
    for name in [c for c in table.frame.columns if c.lower() in ("status", "state")]:
        states = table.frame[name].map(lambda cell: cell.strip().lower() if isinstance(cell, str) else "")
        if not len(states) or not states.isin([*GOOD, *BAD]).all():
            continue
        good = states.isin(GOOD).to_numpy(bool)
        if good.all():
            return table
        left = table.frame.loc[~good, name].value_counts()
        said = listed(f"{number} {state}" for state, number in left.items())
        return table.keep(good).say(f"{count(int(np.sum(~good)), 'run')} left out: {said}")
    return table

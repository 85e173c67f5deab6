"""Grokking: steps to learn and to generalise sums modulo 47, by share of the equations and weight decay."""

from __future__ import annotations

from typing import Any

from docs.measurements.results import Cell, Column, Results, Table, Value
from docs.measurements.session import Session


def estimate(group: dict[str, Any], name: str) -> Cell:
    """Returns a mean with its interval, or nothing where no run reached the accuracy."""
    return [group[name], *group["interval"]] if "interval" in group else group.get(name)


def measure(session: Session) -> Results:
    """Trains the sweep and reads when each run reached the accuracies."""
    session.train("sweeps", "launch", "grokking", "--store", "STORE")
    result = session.json("analysis", "grokking", "STORE", "--json", "-")
    session.figure("grokking")
    thresholds = result["thresholds"]
    columns = [
        Column("share of the equations", ".2g"),
        Column("weight decay", "g"),
        Column("seeds"),
        Column(f"steps to a training accuracy of {thresholds['learned']}", ",.0f"),
        Column(f"steps to a held-out accuracy of {thresholds['generalised']}", ",.0f"),
        Column("ratio", ".3g"),
        Column("shortest delay, steps", ",.0f"),
        Column("verdict"),
    ]
    rows = [
        [
            cell["fraction"],
            cell["weight_decay"],
            len(cell["seeds"]),
            estimate(cell["learned"], "steps"),
            estimate(cell["generalised"], "steps"),
            estimate(cell.get("ratio", {}), "value"),
            cell.get("shortest_delay"),
            cell["verdict"],
        ]
        for cell in result["cells"]
    ]
    return Results(
        {"main": Table(columns, rows)},
        {"verdict": Value("; ".join(result["verdict"])), "delay_ratio": Value(thresholds["delay_ratio"])},
    )

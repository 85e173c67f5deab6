"""Emergence: how scores of tasks rise with scale in a trained sweep, and how often the verdict is right."""

from __future__ import annotations

from typing import Any

from docs.measurements.results import Cell, Column, Results, Table, Value
from docs.measurements.session import Session

TRUTHS = {  # of `simulate-emergence`
    "artefact": "metric artefact: the log-probability rises smoothly, the exact match suddenly",
    "break": "break: the log-probability jumps too",
    "smooth": "smooth rise of both",
    "floor": "no rise",
    "few": "4 or 5 scales",
}
DRAWS = "100"


def describe(task: dict[str, Any]) -> list[Cell]:
    """Returns the row of a task."""
    scales = [scale["mean"] for scale in task["scales"].get(task["score"], [])]
    change = task.get("changepoint") or {}
    interval = change.get("interval") or [None, None]
    return [
        task["task"],
        task["verdict"],
        min(scales) if scales else None,
        max(scales) if scales else None,
        task["chance"],
        [change["at"], *interval] if change.get("at") is not None else None,
        task.get("reason", ""),
    ]


def measure(session: Session) -> Results:
    """Trains the sweep, judges its tasks, and judges simulated tasks of known truth."""
    session.train("sweeps", "launch", "emergence", "--store", "STORE")
    study = session.json("analysis", "emergence", "STORE", "--x", "C", "--json", "-")
    session.figure("emergence")
    simulated = session.json("analysis", "simulate-emergence", "--draws", DRAWS, "--json", "-")
    verdicts = sorted({verdict for counts in simulated["verdicts"].values() for verdict in counts})
    rows = [
        [TRUTHS[truth], *(counts.get(verdict, 0) for verdict in verdicts)]
        for truth, counts in simulated["verdicts"].items()
    ]
    columns = [
        Column("task"),
        Column("verdict"),
        Column("lowest score", ".3f"),
        Column("highest score", ".3f"),
        Column("chance", ".3f"),
        Column("changepoint in FLOPs [95% interval]", ".3g"),
        Column("reason"),
    ]
    return Results(
        {
            "main": Table(columns, [describe(task) for task in study["tasks"]]),
            "simulated": Table([Column("truth"), *(Column(verdict) for verdict in verdicts)], rows),
        },
        {"draws": Value(simulated["draws"])},
    )

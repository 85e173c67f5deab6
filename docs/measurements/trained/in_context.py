"""Learning in context: labels of letters that can only be known from the examples in the prompt, by model size."""

from __future__ import annotations

from docs.measurements.results import Cell, Column, Results, Table
from docs.measurements.session import Session


def measure(session: Session) -> Results:
    """Trains the sweep and reads the scores by number of examples."""
    session.train("sweeps", "launch", "in-context", "--store", "STORE")
    study = session.json("analysis", "emergence", "STORE", "--x", "N", "--all-runs", "--json", "-")
    session.figure("shots")
    tables: dict[str, Table] = {}
    for name in dict.fromkeys(task["task"].partition("@")[0] for task in study["tasks"]):
        tasks = sorted((t for t in study["tasks"] if t["task"].partition("@")[0] == name), key=lambda t: t["shots"])
        sizes = sorted({scale["N"] for task in tasks for scale in task["scales"][task["score"]]})
        rows: list[list[Cell]] = []
        for size in sizes:
            found = [[s for s in task["scales"][task["score"]] if s["N"] == size] for task in tasks]
            rows.append([size, *([s[0]["mean"], *s[0]["interval"]] if s else None for s in found)])
        columns = [Column(f"N, {name}", ",.0f"), *(Column(f"examples: {task['shots']}", ".2f") for task in tasks)]
        tables["main" if not tables else name.replace("-", "_")] = Table(columns, rows)
    verdicts = [[task["task"], task["shots"], task["verdict"], task.get("reason", "")] for task in study["tasks"]]
    columns = [Column("task"), Column("examples"), Column("verdict"), Column("reason")]
    return Results({**tables, "verdicts": Table(columns, verdicts)})

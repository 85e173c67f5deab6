"""Speed of plans and of status: processor time for a sweep of 10,000 runs."""

from __future__ import annotations

import shutil

from docs.measurements.machine.many_records import SWEEP
from docs.measurements.results import Column, Results, Table, Value
from docs.measurements.session import Session

RUNS = 10_000


def measure(session: Session) -> Results:
    """Plans the sweep, writes a record for most of its runs and shows its status, each three times."""
    count = 100 if session.small else RUNS
    flags = ("--set", "rules=small", "widths=256", f"count={count}")
    commands = {
        "plan": ("sweeps", "plan", "seeds", "--store", "STORE", *flags),
        "plan --json": ("sweeps", "plan", "seeds", "--store", "STORE", *flags, "--json"),
        "status": ("sweeps", "status", SWEEP, "--store", "STORE"),
        "status --json": ("sweeps", "status", SWEEP, "--store", "STORE", "--json"),
    }
    shutil.rmtree(session.store / "runs", ignore_errors=True)
    session.run("docs.measurements.machine.many_records", "STORE", str(count))
    rows = []
    for title, words in commands.items():
        entries = [session.timed(*words) for _ in range(3)]
        seconds = [entry["processor_seconds"] for entry in entries]
        rows.append([title, min(seconds), max(seconds), min(entry["seconds"] for entry in entries)])
    shutil.rmtree(session.store / "runs")
    columns = [
        Column("command"),
        Column("processor seconds, least of three", ".2f"),
        Column("most of three", ".2f"),
        Column("seconds, least of three", ".2f"),
    ]
    return Results({"main": Table(columns, rows)}, {"runs": Value(count, ",")})

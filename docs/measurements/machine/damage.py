"""Damage: outcomes of commands on damaged records, curves, checkpoints, sweep files, leases, tables and own files."""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from docs.measurements.results import Column, Results, Table, Value
from docs.measurements.session import Session
from tests.damage.campaign import Counts, all_cases, benches_in, run_cases
from tests.damage.outcome import ALLOWED, FAULTS

SEED = 0
WORKERS = 2
SMALL = 40  # cases of a test of the measurement


def measure(session: Session) -> Results:
    """Runs every case of the damage tests and counts their outcomes by kind of file and by damage."""
    counts, numbers = Counts(), {}
    for name, trained in (("records", False), ("trained", True)):
        if session.small and trained:
            continue
        began, clock = datetime.now(UTC), time.monotonic()
        part = run_part(trained, SMALL if session.small else None)
        flags = " --trained" if trained else ""
        session.log(f"python -m tests.damage --all --seed {SEED}{flags}", began, time.monotonic() - clock)
        if part.faults:
            print(part.message(), file=sys.stderr)
        counts.by_kind += part.by_kind
        counts.faults += part.faults
        numbers[name] = Value(part.by_outcome().total(), ",")
    by_outcome = counts.by_outcome()
    faults = sum(by_outcome[name] for name in FAULTS)
    values = {"cases": Value(by_outcome.total(), ","), "faults": Value(faults), **numbers}
    return Results({"main": outcome_table(counts, 0, "file"), "damages": outcome_table(counts, 1, "damage")}, values)


def run_part(trained: bool, limit: int | None) -> Counts:
    """Runs the cases of one store.

    Args:
        trained: Whether the store is the trained one.
        limit: Number of cases; None: all.
    """
    with tempfile.TemporaryDirectory() as folder, benches_in(Path(folder), trained, WORKERS) as benches:
        return run_cases(benches, all_cases(SEED, trained)[:limit])


def outcome_table(counts: Counts, position: int, title: str) -> Table:
    """Returns the numbers of cases by outcome, one row per kind of file or damage.

    Args:
        counts: The counts.
        position: Position of the row's name in the keys of the counts.
        title: Title of the first column.
    """
    rows: dict[str, Counter[str]] = {}
    for key, number in counts.by_kind.items():
        rows.setdefault(key[position], Counter())[key[2] if key[2] in ALLOWED else "fault"] += number
    columns = [Column(title), *(Column(name, ",") for name in (*ALLOWED, "fault"))]
    cells = [[name, *(row[outcome] or None for outcome in (*ALLOWED, "fault"))] for name, row in sorted(rows.items())]
    return Table(columns, cells)

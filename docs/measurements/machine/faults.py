"""Faults: a sweep of 40 runs during which processes are killed, a disk fills up and checkpoints are damaged."""

from __future__ import annotations

import re

from docs.measurements.results import Column, Results, Table, Value
from docs.measurements.session import CommandFailedError, Session

TEST = "tests/sweeps/launching/test_faults.py"
EVENT = re.compile(r"^ +([\d.]+) s  (.+)$", re.MULTILINE)


def measure(session: Session) -> Results:
    """Runs the test that injects the faults; it fails unless every record equals that of the undisturbed sweep.

    Raises:
        CommandFailedError: The test failed or was skipped.
    """
    output = session.run("pytest", "-m", "slow", TEST)
    events = [[float(seconds), text] for seconds, text in EVENT.findall(output)]
    if not events:
        raise CommandFailedError(f"{TEST} was skipped: it needs root and a machine that allows a mount")
    seed = re.search(r"\(seed (\d+)\)", output)
    values = {"seed": Value(seed[1] if seed else ""), "events": Value(len(events))}
    return Results({"main": Table([Column("seconds", ".1f"), Column("event")], events)}, values)

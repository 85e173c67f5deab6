"""Checkpoints: how long training waits for one, in the background and as before, and the rate of checksums."""

from __future__ import annotations

from docs.measurements.results import Column, Results, Table, Value
from docs.measurements.session import Session

KINDS = {
    "synchronous": "synchronous, checksums by NumPy, as before",
    "background": "in the background",
    "orbax": "Orbax alone, without checksums",
}
ROUNDS = 3


def measure(session: Session) -> Results:
    """Saves the state of a model of 100 million parameters in turn, in one run of the benchmark."""
    size = ("--shape", "64x2", "--rounds", "1") if session.small else ("--rounds", str(ROUNDS))
    result = session.json("scaling", "bench", "checkpoint", *size, "--json")
    rows = [[title, result[kind]["wait_seconds"], result[kind]["seconds"]] for kind, title in KINDS.items()]
    columns = [Column("save"), Column("training waits, s", ".2f"), Column("complete after, s", ".2f")]
    rates = result["checksums"]
    values = {
        "parameters": Value(result["parameters"], ",.0f"),
        "gigabytes": Value(result["bytes"] / 1e9, ".2f"),
        "rounds": Value(ROUNDS),
        "ratio": Value(result["synchronous"]["wait_seconds"] / result["background"]["wait_seconds"], ".1f"),
    }
    for side in ("device", "numpy"):
        values[f"{side}_rate"] = Value(rates[f"{side}_bytes_per_second"] / 1e9, ".2f")
        values[f"{side}_cpu_rate"] = Value(rates[f"{side}_cpu_bytes_per_second"] / 1e9, ".2f")
    return Results({"main": Table(columns, rows)}, values)

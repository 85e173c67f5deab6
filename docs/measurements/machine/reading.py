"""Reading tokens from an object store with delays: tokens per second in both orders, and how long steps wait."""

from __future__ import annotations

from docs.measurements.results import Column, Results, Table, Value
from docs.measurements.session import Session

SECONDS, TOKENS = 6, 1 << 26


def measure(session: Session) -> Results:
    """Reads from a server with delays, in turn with fsspec alone, in one run of the benchmark."""
    size = ("--seconds", "1" if session.small else str(SECONDS), "--tokens", str(1 << 22 if session.small else TOKENS))
    result = session.json("scaling", "bench", "data", "--only", "read", *size, "--json")["read"]
    rows = [
        [
            f"`{order}`",
            figures["tokens_per_second"],
            figures["library_tokens_per_second"],
            figures["ratio"],
            figures["cpu_seconds_per_million"],
            figures["library_cpu_seconds_per_million"],
            figures["at_demand_first_batch_seconds"],
            figures["at_demand_wait_share"],
        ]
        for order, figures in result.items()
    ]
    columns = [
        Column("order"), Column("tokens/s", ",.0f"), Column("fsspec alone, tokens/s", ",.0f"), Column("ratio", ".2f"),
        Column("processor seconds per million tokens", ".3f"), Column("fsspec alone", ".3f"),
        Column("first batch, s", ".1f"), Column("share of a step that waits", ".1%"),
    ]  # fmt: skip
    return Results({"main": Table(columns, rows)}, {"seconds": Value(SECONDS)})

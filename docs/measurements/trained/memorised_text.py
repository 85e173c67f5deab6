"""Memorised text: planted documents that a model reproduces, by how often they occur in its corpus."""

from __future__ import annotations

import json

from docs.measurements.results import Column, Results, Table, Value
from docs.measurements.session import Session

CORPUS = "mix:canary:1-256=0.5,addition:1-3=0.5,tokens=1000000"
RUN = {
    "model": {"vocab": 257, "width": 128, "layers": 2, "heads": 4, "mlp_width": 344},
    "data": {"length": 128},
    "optimizer": {"lr": 0.004},
    "batch": 16,
    "steps": 1450,
    "schedule": {"warmup": 50},
}


def measure(session: Session) -> Results:
    """Trains one run on random letters and sums, and prompts it with the first half of each planted document."""
    prepared = session.json("scaling", "prepare", CORPUS, "--store", "STORE", "--json")
    tokens = prepared["tokens"] if isinstance(prepared, dict) else prepared
    config = RUN | {"data": {**RUN["data"], "tokens": tokens}}  # type: ignore[dict-item]
    (session.store / "run.json").write_text(json.dumps(config, indent=1))
    session.train("scaling", "train", "STORE/run.json", "--store", "STORE", "--tasks", "extraction")
    [extraction] = session.json("analysis", "calibration", "STORE", "--tasks", "extraction", "--json", "-")[
        "extraction"
    ]
    session.figure("extraction")
    rows = [
        [row["times"], row["extracted"], row["documents"], [row["rate"], *row["interval"]], row["nats_per_token"]]
        for row in extraction["by_times"]
    ]
    columns = [
        Column("times in the corpus"),
        Column("reproduced"),
        Column("documents"),
        Column("rate [95% interval]", ".2f"),
        Column("loss on their second half, nats per token", ".2f"),
    ]
    return Results({"main": Table(columns, rows)}, {"steps": Value(RUN["steps"], ",")})  # type: ignore[arg-type]

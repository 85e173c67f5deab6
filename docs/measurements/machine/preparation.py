"""Speed of preparing a corpus, beside the tokenizer's library alone, and what 10^13 tokens need."""

from __future__ import annotations

from docs.measurements.results import Column, Results, Table, Value
from docs.measurements.session import Session

MEGABYTES, ROUNDS = 12, 3


def measure(session: Session) -> Results:
    """Prepares text and encodes it with the library alone, in turn, in one run of the benchmark."""
    size = ("--megabytes", "1" if session.small else str(MEGABYTES), "--rounds", "1" if session.small else str(ROUNDS))
    result = session.json("scaling", "bench", "data", "--only", "prepare", *size, "--json")["prepare"]
    names = {"prepare": "preparation: files to shards", "library": "`tokenizers` alone, text in memory"}
    rows = [
        [
            title,
            *(result[f"{name}_{clock}_seconds"] for clock in ("wall", "processor")),
            result[f"{name}_tokens_per_processor_second"],
        ]
        for name, title in names.items()
    ]
    columns = [
        Column("what"), Column("seconds", ".1f"), Column("processor seconds", ".1f"),
        Column("tokens per processor second", ",.0f"),
    ]  # fmt: skip
    paper = result["on_paper"]
    paper_row = [
        paper["tokens"], paper["shards"], paper["bytes"] / 1e12, paper["core_hours"], paper["hours_at_1000_cores"],
    ]  # fmt: skip
    paper_columns = [
        Column("tokens", ".0e"), Column("shards", ",.0f"), Column("TB", ",.0f"), Column("core hours", ",.0f"),
        Column("hours of 1,000 cores", ",.1f"),
    ]  # fmt: skip
    values = {
        "tokens": Value(result["tokens"], ",.0f"), "megabytes": Value(result["bytes"] / 1e6, ",.0f"),
        "processes": Value(result["processes"]), "vocab": Value(result["vocab"], ",.0f"),
        "wall": Value(result["wall_ratio"], ".2f"), "processor": Value(result["processor_ratio"], ".2f"),
    }  # fmt: skip
    return Results({"main": Table(columns, rows), "paper": Table(paper_columns, [paper_row])}, values)

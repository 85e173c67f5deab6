"""The sections on the runs and on the origin of the numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from analysis import format
from analysis.figures.source import Source
from analysis.format import MISSING
from analysis.report.html import Table
from analysis.report.sentences import SHORT_ID
from scaling.store.origin.commit import code_commit
from scaling.store.origin.paths import public_corpus, public_path

MAX_ROWS = 10_000  # largest number of listed runs or rows: a browser sorts them in a fraction of a second
NOT_RECORDED = "not recorded"


def describe_runs(source: Source) -> Table:
    """Returns the table of all runs of a store, or of the rows of a file."""
    if source.runs is None:
        return _file_rows(source)
    runs = source.runs.sort_values(["budget", "N", "run_id"])
    statuses = ", ".join(f"{count} {status}" for status, count in runs["status"].value_counts().items())
    listed = runs.head(MAX_ROWS)
    rows = [_run_cells(run) for run in listed.to_dict("records")]
    numbers = ("budget", "N", "D", "C", "loss", "seconds")
    values = [(None, None, *map(_finite, row)) for row in listed[list(numbers)].itertuples(index=False)]
    head = ("run", "status", "budget", "N", "D", "C (FLOPs)", "loss", "seconds")
    caption = f"{_first_of(len(runs), 'runs')}{len(runs)} runs: {statuses}. {MISSING}: {NOT_RECORDED}."
    return Table(head, "ctnnnnnn", rows, caption, values)


def describe_left_out(source: Source) -> Table | None:
    """Returns the table of the damaged files of a store that are left out of the report; None if there are none."""
    if source.store is None or not source.store.damaged:
        return None
    caption = "Damaged files of the store. No number of this report uses them."
    return Table(("file", "problem and what to do"), "ct", sorted(source.store.damaged.items()), caption)


def _file_rows(source: Source) -> Table:
    points = source.points
    rows = [
        (name, format.count(N), format.count(D), format.flops(C), f"{L:.4f}")
        for name, N, D, C, L in zip(points.names, points.N, points.D, points.C, points.L, strict=True)
    ]
    columns = zip(points.N, points.D, points.C, points.L, strict=True)
    values = [(None, *map(_finite, numbers)) for numbers in columns][:MAX_ROWS]
    head = ("row", "N", "D", "C (FLOPs)", "loss")
    return Table(head, "tnnnn", rows[:MAX_ROWS], _first_of(len(rows), "rows"), values)


def _first_of(count: int, noun: str) -> str:
    """Says that only the first rows are listed; "" if all are."""
    return f"The first {MAX_ROWS:,} of {count:,} {noun}. " if count > MAX_ROWS else ""


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _run_cells(run: dict[Any, Any]) -> tuple[str, ...]:
    status = run["status"] if not isinstance(run["error"], str) else f"{run['status']}: {run['error']}"
    loss = MISSING if not np.isfinite(run["loss"]) else f"{run['loss']:.4f}"
    seconds = MISSING if not np.isfinite(run["seconds"]) else f"{run['seconds']:.0f}"
    sizes = (format.flops(run["budget"]), format.count(run["N"]), format.count(run["D"]), format.flops(run["C"]))
    return (run["run_id"][:SHORT_ID], status, *sizes, loss, seconds)


def describe_origin(source: Source) -> dict[str, str]:
    """Returns the origin of the numbers by name: source, code, devices, text, time, and command of the report."""
    facts = {
        "source": public_path(source.name),
        "counting": source.points.convention if len(source.points) else MISSING,
    }
    if source.store is not None:
        about = [record.about for record in source.records]
        facts |= {
            "commit of the runs": _values(about, "commit"),
            "software": ", ".join(f"{name} {_values(about, name)}" for name in ("jax", "python", "precision")),
            "device": _values(about, "device"),
            "text": f"{public_corpus(_values(about, 'corpus'))}; tokens: {_values(about, 'tokenizer')}",
            "token file (content hash)": ", ".join(sorted({record.config.data.tokens for record in source.records})),
            "time": _time(source),
            "training compute": _compute(source),
        }
    command = f"python -m analysis report {public_path(source.name)} --out DIR {' '.join(source.arguments())}"
    return facts | {
        "commit of this report": code_commit() or f"{NOT_RECORDED}: not in a git repository",
        "command": command.strip(),
    }


def _values(about: list[dict[str, Any]], name: str) -> str:
    """Distinct values of a fact over the runs."""
    values = sorted({str(facts[name]) for facts in about if facts.get(name) is not None})
    return ", ".join(values) if values else NOT_RECORDED


def _time(source: Source) -> str:
    """Total training time in seconds, minutes or hours."""
    seconds = [record.about["seconds"] for record in source.records if "seconds" in record.about]
    if not seconds:
        return NOT_RECORDED
    total = sum(seconds)
    text = f"{total:.0f} s" if total < 120 else f"{total / 60:.1f} min" if total < 7200 else f"{total / 3600:.1f} h"
    return f"{text} in {len(seconds)} of {len(source.records)} runs"


def _compute(source: Source) -> str:
    """Exact FLOPs of the finished runs, and the FLOPs saved by shared prefixes."""
    done = [record for record in source.records if record.status == "done" and "total" in record.flops]
    if not done:
        return NOT_RECORDED
    total = float(sum(record.flops["total"] for record in done))
    text = f"{format.flops(total)} FLOPs in {len(done)} runs, counting all matrix products"
    shared = [_shared_steps(record.about) for record in done]
    if None in shared:
        return f"{text}; savings by shared prefixes {NOT_RECORDED}"
    saved = sum(
        record.flops["total"] * record.token_share(steps or 0) for record, steps in zip(done, shared, strict=True)
    )
    if saved:
        text += f"; {format.flops(saved)} of these ({saved / total:.0%}) saved by shared prefixes"
    return text


def _shared_steps(about: dict[str, Any]) -> int | None:
    """Number of steps that a run shares with its prefix; None if not recorded."""
    if "shared_steps" in about:
        return int(about["shared_steps"])
    if "steps_computed" not in about:
        return None
    first = about.get("started_from", {"step": 0, "shared": True})  # records of earlier versions
    return int(first["step"]) if first.get("shared") else None

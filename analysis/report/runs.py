"""The runs of a report and where their numbers come from, as HTML."""

from __future__ import annotations

from html import escape as text
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis import format
from analysis.figures import save
from analysis.format import MISSING
from analysis.report.html import table

if TYPE_CHECKING:
    from analysis.figures.source import Source

MOST = 300  # rows of a file shown


def table_of(source: Source) -> str:
    """Every run of a store whatever became of it, or the rows of a file."""
    if source.runs is None:
        points = source.points
        lines = [
            (name, format.count(N), format.count(D), format.flops(C), f"{L:.4f}")
            for name, N, D, C, L in zip(points.names, points.N, points.D, points.C, points.L, strict=True)
        ]
        more = f"The first {MOST} of {len(lines)} rows." if len(lines) > MOST else ""
        return table(("row", "N", "D", "C (FLOPs)", "loss"), lines[:MOST], "tnnnn", more)
    runs = source.runs.sort_values(["budget", "N", "run_id"])
    states = ", ".join(f"{n} {s}" for s, n in runs["status"].value_counts().items())
    rows = [_row(run) for run in runs.to_dict("records")]
    head = ("run", "status", "budget", "N", "D", "C (FLOPs)", "loss", "seconds")
    return table(head, rows, "ctnnnnnn", f"{len(runs)} runs: {states}. {MISSING}: not recorded.")


def _row(run: dict[Any, Any]) -> tuple[str, ...]:
    state = run["status"] if not isinstance(run["error"], str) else f"{run['status']}: {run['error']}"
    loss = MISSING if not np.isfinite(run["loss"]) else f"{run['loss']:.4f}"
    seconds = MISSING if not np.isfinite(run["seconds"]) else f"{run['seconds']:.0f}"
    sizes = (format.flops(run["budget"]), format.count(run["N"]), format.count(run["D"]), format.flops(run["C"]))
    return (run["run_id"][:12], state, *sizes, loss, seconds)


def origin(source: Source) -> str:
    """By which commit, on what, in how long, from which text; what is not recorded is said to be so."""
    facts = [("source", source.name), ("counting", source.points.convention if len(source.points) else MISSING)]
    if source.store is not None:
        said = [r.about for r in source.records]
        facts += [
            ("commit of the runs", _values(said, "commit")),
            ("made by", ", ".join(f"{name} {_values(said, name)}" for name in ("jax", "python", "precision"))),
            ("device", _values(said, "device")),
            ("text", f"{_values(said, 'corpus')}; tokens: {_values(said, 'tokenizer')}"),
            ("token file (content hash)", ", ".join(sorted({r.config.data.tokens for r in source.records}))),
            ("time", _seconds(source)),
            ("training compute", _compute(source)),
        ]
    facts.append(("commit of this report", save.commit() or "not recorded: outside of a git repository"))
    facts.append(
        ("to make it again", f"python -m analysis report {source.name} --out DIR {' '.join(source.arguments())}")
    )
    rows = "\n".join(f"<dt>{text(k)}</dt><dd>{text(v.strip())}</dd>" for k, v in facts)
    return f"<dl>\n{rows}\n</dl>"


def _values(said: list[dict[str, Any]], name: str) -> str:
    """Distinct values of a fact, or that there are none."""
    known = sorted({str(about[name]) for about in said if about.get(name) is not None})
    return ", ".join(known) if known else "not recorded"


def _seconds(source: Source) -> str:
    known = [r.about["seconds"] for r in source.records if "seconds" in r.about]
    if not known:
        return "not recorded"
    total = sum(known)
    said = f"{total:.0f} s" if total < 120 else f"{total / 60:.1f} min" if total < 7200 else f"{total / 3600:.1f} h"
    return f"{said} in {len(known)} of {len(source.records)} runs"


def _compute(source: Source) -> str:
    """Exact FLOPs of the runs that are done, and what starting from shared checkpoints saved of them."""
    done = [r for r in source.records if r.status == "done" and "total" in r.flops]
    if not done:
        return "not recorded"
    total = float(sum(r.flops["total"] for r in done))
    said = f"{format.flops(total)} FLOPs in {len(done)} runs, every matrix product counted"
    shared = [_shared_steps(r.about) for r in done]
    if None in shared:
        return said + "; what sharing prefixes saved of it is not recorded"
    shares = (
        r.config.sequences(n or 0) / r.config.sequences(r.config.steps) for r, n in zip(done, shared, strict=True)
    )
    saved = sum(r.flops["total"] * share for r, share in zip(done, shares, strict=True))
    if saved:
        said += f"; {format.flops(saved)} of them ({saved / total:.0%}) saved by starting from a shared prefix"
    return said


def _shared_steps(about: dict[str, Any]) -> int | None:
    """Steps a run did not compute because another had; None where that cannot be told."""
    if "shared_steps" in about:
        return int(about["shared_steps"])
    if "steps_computed" not in about:
        return None
    first = about.get("started_from", {"step": 0, "shared": True})  # earlier records
    return int(first["step"]) if first["shared"] else None

"""Sharing: time that shared prefixes and packs save, against one process per run that shares nothing."""

from __future__ import annotations

import shutil

from docs.measurements.results import Column, Results, Table, Value
from docs.measurements.session import Session

LADDER = ("ladder", "--set", "rules=small", "ratios=5,10,20,40")


def measure(session: Session) -> Results:
    """Launches a ladder both ways in turn, and half of it in one process, whose records must be the same bits."""
    sweeps = {
        "four sizes, one process per core": (*LADDER, "widths=16,24,32,48"),
        "two sizes, one process": (*LADDER, "widths=16,24", "--workers", "1"),
    }
    rows, plans = [], []
    for title, words in sweeps.items():
        shutil.rmtree(session.store / "saving", ignore_errors=True)  # finished runs there would not be measured
        result = session.json("sweeps", "saving", words[0], "--store", "STORE", *words[1:], "--json")
        seconds, records = result["seconds"], result["records"]
        hindsight = result["quotes"][0]
        rows.append([title, records["runs"], seconds["separate"][0], seconds["shared"][0], result["ratios"]["separate"],
                     hindsight["in_hindsight"], records["same"], records["loss_apart"]])  # fmt: skip
        flags = [word for word in words[1:] if word not in ("--workers", "1")]
        plan = session.json("sweeps", "plan", words[0], "--store", "STORE", *flags, "--json")
        cost, saved = plan["cost"], plan["graph"]["saved"]
        plans.append([title, len(plan["graph"]["branches"]), len(plan["graph"]["trunks"]), cost["flops_saved"],
                      cost["flops_saved"] / cost["flops_separate"], saved["sharing"]["steps"],
                      saved["packing"]["processes"], saved["packing"]["compilations"]])  # fmt: skip
    shutil.rmtree(session.store / "saving")
    measured = [
        Column("sweep"), Column("runs"), Column("one process per run, s", ".1f"), Column("as planned, s", ".1f"),
        Column("ratio", ".2f"), Column("estimated from its records, s", ".1f"), Column("records equal bit for bit"),
        Column("largest difference of a final loss", ".2%"),
    ]  # fmt: skip
    planned = [
        Column("sweep"), Column("branches"), Column("trunks"), Column("FLOPs saved", ".3g"),
        Column("share of all", ".0%"), Column("steps saved", ","), Column("process starts saved"),
        Column("compilations saved"),
    ]  # fmt: skip
    values = {"ratio": Value(rows[0][4], ".2f")}
    return Results({"main": Table(measured, rows), "plans": Table(planned, plans)}, values)

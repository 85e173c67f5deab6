"""What a sweep has cost so far against what it was quoted at, and how long the rest takes, from the rows of its status.

FLOPs are exact. quoted: of the whole sweep as planned, shared prefixes paid once. done: the part of it that there is.
spent: what was computed in fact, what was lost with a process and computed again included. Hours are those of a machine
(or slice) while it worked for the sweep. What a run leaves is at the rate that its shape had, or those nearest in size.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

from scaling.config.run import RunConfig
from scaling.config.validation import from_dict
from sweeps.cost.pace import interpolated
from sweeps.cost.quote import Slice, quote
from sweeps.planning.budget import flops_until

MFU = 0.4  # of a quote for which none is given
OVER = ("done", "diverged", "failed")  # a failed run is not paid for again until somebody launches again
Row = dict[str, Any]


def until(entry: dict[str, Any], step: int) -> int:
    """Training FLOPs of the first steps of a planned run."""
    config = entry["config"]
    if config.get("schedule", {}).get("batch_ramp"):
        return flops_until(from_dict(RunConfig, config), step)
    return int(entry["C"] // config["steps"] * step)  # every step has the same


def spending(entry: dict[str, Any], about: dict[str, Any], state: str, step: int | None) -> Row:
    """What a run has cost, what it has come to and what is left of it. step: where a run that has not ended stands;
    about: its record's, with `Store.spent` of a run under way."""
    C, start = entry["C"], until(entry, entry["from"])
    computed, seconds = about.get("steps_computed"), about.get("seconds")
    out: Row = {}
    if computed is not None:
        out["flops_spent"] = C * computed / entry["config"]["steps"]
    if seconds is not None:
        out["machine_seconds"] = seconds * about.get("machine_share", 1.0)
    if state == "done":
        out["flops_done"] = C - start
    elif state in OVER:
        out["flops_done"] = min(out.get("flops_spent", 0.0), C - start)
    else:
        out["flops_done"] = max(0, until(entry, step) - start) if step else 0
    out["flops_left"] = 0 if state in OVER else C - start - out["flops_done"]
    return out


def cost(rows: list[Row], on: Slice | None = None, mfu: float = MFU, longer: float = 0.0) -> dict[str, Any]:
    """The sweep's sums: FLOPs quoted, done, left and spent, machine-hours and seconds left where they can be told.

    on: a slice: adds its quote for the whole sweep, and the dollars of the hours so far. longer: as of the quote.
    """
    total = {name: sum(row[name] for row in rows) for name in ("flops_done", "flops_left")}
    out: dict[str, Any] = {"flops_quoted": sum(row["flops_planned"] for row in rows), **total}
    spent = [row["flops_spent"] for row in rows if "flops_spent" in row]
    if spent:
        out["flops_spent"] = sum(spent)
    whole = total["flops_done"] + total["flops_left"]
    out["share_done"] = total["flops_done"] / whole if whole else 1.0
    timed = [row["machine_seconds"] for row in rows if "machine_seconds" in row]
    if timed:
        out["hours"] = sum(timed) / 3600
    left = seconds_left(rows)
    if left is not None:
        out["seconds_left"] = left
    if on is not None:
        out["quote"] = quote(out["flops_quoted"], on, mfu, longer)
        if timed:
            out["usd"] = out["hours"] * on.chips * on.usd
    return out


def seconds_left(rows: list[Row]) -> float | None:
    """Wall-clock of what is left, on as many machines as train now; None where no rate is known yet."""
    left = [row for row in rows if row["flops_left"] > 0]
    if not left:
        return 0.0
    rates = rates_of(rows)
    if not rates:
        return None
    machine = sum(row["flops_left"] / math.exp(interpolated(math.log(row["N"]), rates)) for row in left)
    machines = {row.get("host") for row in rows if row["state"] == "running"}
    longest = max((row["seconds_left"] for row in rows if "seconds_left" in row), default=0.0)
    return max(machine / max(1, len(machines)), longest)


def rates_of(rows: list[Row]) -> list[tuple[float, float]]:
    """ln N and ln FLOPs a machine-second of each size that has been trained, smallest first."""
    flops: dict[int, float] = defaultdict(float)
    seconds: dict[int, float] = defaultdict(float)
    for row in rows:
        if row.get("flops_spent", 0) > 0 and row.get("machine_seconds", 0) > 0:
            flops[row["N"]] += row["flops_spent"]
            seconds[row["N"]] += row["machine_seconds"]
    return sorted((math.log(N), math.log(flops[N] / seconds[N])) for N in flops)

"""Cost of a sweep so far and time left, from the rows of its status.

FLOPs are exact. flops_quoted: FLOPs of the whole plan, with shared prefixes counted once. flops_done: the finished part
of it. flops_spent: all computed FLOPs, including repeated work after lost processes. Hours are the time for which a
machine or slice worked for the sweep. The time of remaining work follows from the measured rate of its size, which is
interpolated for unknown sizes.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

from scaling.config.run import RunConfig
from scaling.config.validation import from_dict
from sweeps.cost.pace import interpolate
from sweeps.cost.quote import PricedSlice, quote_flops

DEFAULT_MFU = 0.4
ENDED_STATES = ("done", "diverged", "failed")  # a failed run costs no more until the sweep is launched again
Row = dict[str, Any]


def flops_until_step(entry: dict[str, Any], step: int) -> int:
    """Returns the training FLOPs of the first steps of a planned run.

    Args:
        entry: The planned run.
        step: Number of finished steps.
    """
    config = entry["config"]
    if config.get("schedule", {}).get("batch_ramp"):  # all sequences cost the same
        ramped = from_dict(RunConfig, config)
        return int(entry["C"]) * ramped.sequences(step) // ramped.sequences(ramped.steps)
    return int(entry["C"] // config["steps"] * step)  # all steps cost the same


def run_spending(entry: dict[str, Any], about: dict[str, Any], state: str, step: int | None) -> Row:
    """Returns the cost and the remaining FLOPs of a run.

    Args:
        entry: The planned run.
        about: The `about` of its record; for a running run with the cost so far.
        state: State of the run.
        step: Number of finished steps of an unfinished run.

    Returns:
        flops_done, flops_left and, if known, flops_spent and machine_seconds.
    """
    C, start = entry["C"], flops_until_step(entry, entry["from"])
    computed, seconds = about.get("steps_computed"), about.get("seconds")
    out: Row = {}
    if computed is not None:
        out["flops_spent"] = C * computed / entry["config"]["steps"]
    if seconds is not None:
        out["machine_seconds"] = seconds * about.get("machine_share", 1.0)
    if state == "done":
        out["flops_done"] = C - start
    elif state in ENDED_STATES:
        out["flops_done"] = min(out.get("flops_spent", 0.0), C - start)
    else:
        out["flops_done"] = max(0, flops_until_step(entry, step) - start) if step else 0
    out["flops_left"] = 0 if state in ENDED_STATES else C - start - out["flops_done"]
    return out


def sweep_cost(
    rows: list[Row], priced: PricedSlice | None = None, mfu: float = DEFAULT_MFU, extra_seconds: float = 0.0
) -> dict[str, Any]:
    """Sums up a sweep.

    Args:
        rows: Rows of its status.
        priced: Slice for which the whole sweep is quoted and the dollars spent are computed; None: neither.
        mfu: Model FLOPs utilisation for the quote.
        extra_seconds: As for `quote_flops`.

    Returns:
        FLOPs quoted, done, left and spent; machine hours and seconds left if known.
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
    unfinished = seconds_left(rows)
    if unfinished is not None:
        out["seconds_left"] = unfinished
    if priced is not None:
        out["quote"] = quote_flops(out["flops_quoted"], priced, mfu, extra_seconds)
        if timed:
            out["usd"] = out["hours"] * priced.chips * priced.usd
    return out


def seconds_left(rows: list[Row]) -> float | None:
    """Returns the wall-clock seconds left on the machines that currently train; None if no rate is known."""
    unfinished = [row for row in rows if row["flops_left"] > 0]
    if not unfinished:
        return 0.0
    rates = measured_rates(rows)
    if not rates:
        return None
    machine = sum(row["flops_left"] / math.exp(interpolate(math.log(row["N"]), rates)) for row in unfinished)
    machines = {row.get("host") for row in rows if row["state"] == "running"}
    longest = max((row["seconds_left"] for row in rows if "seconds_left" in row), default=0.0)
    return max(machine / max(1, len(machines)), longest)


def measured_rates(rows: list[Row]) -> list[tuple[float, float]]:
    """Returns ln N and ln (FLOPs per machine second) of each trained size, sorted by N."""
    flops: dict[int, float] = defaultdict(float)
    seconds: dict[int, float] = defaultdict(float)
    for row in rows:
        if row.get("flops_spent", 0) > 0 and row.get("machine_seconds", 0) > 0:
            flops[row["N"]] += row["flops_spent"]
            seconds[row["N"]] += row["machine_seconds"]
    return sorted((math.log(N), math.log(flops[N] / seconds[N])) for N in flops)

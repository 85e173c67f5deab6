"""What the runs of a sweep tell about their machines: utilisation, goodput, memory and slow steps."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from scaling.store.cost import MACHINE_FACTS

GIB = 2**30
LISTED_PARTS = 3  # largest number of parts of the wall time, besides the steps, in a line
LEAST_SHARE = 0.005  # of the wall time, of a part that is listed
PEAK_SOURCES = {"published", "measured"}
PART_NAMES = {
    "lost": "steps computed again",
    "input": "input",
    "validation": "validation",
    "evaluation": "evaluation",
    "checkpoint": "checkpoints",
    "compile": "compilation",
    "start": "start",
    "between": "between processes",
}


def recorded_machine(about: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what the record of a run tells about its machine.

    Args:
        about: The `about` of the record.
    """
    return {name: about[name] for name in MACHINE_FACTS if name in about}


def machine_totals(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns what all runs of a sweep together tell about their machines; figures that no run has are absent.

    Args:
        rows: Rows of the status.

    Returns:
        `timing`, the sums of the parts of the wall times, with `goodput`; `mfu`, the median of the runs that have it,
        with `mfu_runs` and `peak_source`; `memory_peak_bytes`, the largest; `slow_steps`, their sum.
    """
    machines = [row["machine"] for row in rows if "machine" in row]
    totals: dict[str, Any] = {}
    timings = [machine["timing"] for machine in machines if machine.get("timing", {}).get("wall")]
    if timings:
        names = dict.fromkeys(name for timing in timings for name in timing)
        totals["timing"] = {name: round(sum(timing.get(name, 0.0) for timing in timings), 3) for name in names}
        totals["goodput"] = round(totals["timing"].get("steps", 0.0) / totals["timing"]["wall"], 6)
    used = [machine for machine in machines if "mfu" in machine]
    if used:
        sources = sorted({machine.get("peak_source") for machine in used} & PEAK_SOURCES)
        totals |= {"mfu": statistics.median(machine["mfu"] for machine in used), "mfu_runs": len(used)}
        totals["peak_source"] = " and ".join(sources)
    peaks = [machine["memory_peak_bytes"] for machine in machines if "memory_peak_bytes" in machine]
    if peaks:
        totals["memory_peak_bytes"] = max(peaks)
    counts = [machine["slow_steps"] for machine in machines if "slow_steps" in machine]
    if counts:
        totals["slow_steps"] = sum(counts)
    return totals


def machine_lines(totals: Mapping[str, Any]) -> list[str]:
    """Returns the figures of `machine_totals` as at most two lines of some 80 characters; none without figures."""
    parts = []
    if "mfu" in totals:
        parts.append(f"MFU {share(totals['mfu'])} of the {totals['peak_source']} peak (median)".replace("  ", " "))
    if "goodput" in totals:
        parts.append(f"goodput {share(totals['goodput'])}")
    if "memory_peak_bytes" in totals:
        parts.append(f"peak memory {gibibytes(totals['memory_peak_bytes'])}")
    if totals.get("slow_steps"):
        parts.append(slow_steps(totals["slow_steps"]))
    lines = [", ".join(parts)] if parts else []
    timing = totals.get("timing", {})
    shares = {label: timing.get(name, 0.0) / timing["wall"] for name, label in PART_NAMES.items()} if timing else {}
    largest = sorted(((value, label) for label, value in shares.items() if value >= LEAST_SHARE), reverse=True)
    if largest:
        lines.append("not in steps: " + ", ".join(f"{label} {share(v)}" for v, label in largest[:LISTED_PARTS]))
    return lines


def share(value: float) -> str:
    """Formats a share of the peak or of the wall time, such as 34% or 0.4%."""
    return f"{100 * value:.0f}%" if value >= 0.0995 else f"{100 * value:.2g}%"


def slow_steps(count: int) -> str:
    """Formats a number of slow steps."""
    return f"{count:,} slow step{'s' * (count != 1)}"


def gibibytes(count: float) -> str:
    """Formats bytes as GiB, such as 1.2 GiB."""
    return f"{count / GIB:.3g} GiB"


def machine_cells(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """Returns MFU, goodput and peak memory of a run for a table; empty where they are not known.

    Args:
        row: Row of the status.
    """
    machine = row.get("machine", {})
    return (
        share(machine["mfu"]) if "mfu" in machine else "",
        share(machine["goodput"]) if "goodput" in machine else "",
        gibibytes(machine["memory_peak_bytes"]) if "memory_peak_bytes" in machine else "",
    )

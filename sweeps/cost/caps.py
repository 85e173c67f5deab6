"""Caps on a sweep: it stops before it is over them, and what is done stays done.

A cap is on the whole sweep, earlier launches included. FLOPs are exact, so that a run that would exceed them is never
begun. Hours are those of the machine while it works for the sweep, of an engine with many those of each run's; dollars
are hours of a slice at its price: when they are up, the runs under way save and stop.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

from scaling.store.cost import cost_so_far
from scaling.store.record import Store
from sweeps.cost.quote import Slice
from sweeps.errors import SweepError
from sweeps.format import duration, short
from sweeps.planning.budget import step_flops
from sweeps.planning.plan import ENDED, Plan

CAPPED = 3  # exit status of a launch that a cap has stopped
SAVING = 0.02  # of the hours, kept for the run under way to save itself
LOOK = 10.0  # seconds between two looks at the records of runs on other machines


@dataclass(frozen=True, kw_only=True)
class Caps:
    """The most a sweep may spend; None: no cap. on: the slice whose price makes dollars of hours."""

    flops: float | None = None
    hours: float | None = None
    usd: float | None = None
    on: Slice | None = None

    def __post_init__(self) -> None:
        for name in ("flops", "hours", "usd"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise SweepError(f"--cap-{name} {value:g}: must be a number above 0")
        if self.usd is not None and self.on is None:
            raise SweepError(f"--cap-usd {self.usd:g}: dollars an hour are those of a slice: add --slice, as v5e-16")

    @property
    def seconds(self) -> float | None:
        """The most seconds of the machine, by hours or by dollars."""
        limits = [] if self.hours is None else [self.hours * 3600]
        if self.usd is not None and self.on is not None:
            limits.append(self.usd / (self.on.chips * self.on.usd) * 3600)
        return min(limits, default=None)

    def over(self, flops: float, seconds: float) -> bool:
        """Whether a launch must stop, so much having been spent, by earlier ones too."""
        if self.flops is not None and flops > self.flops:  # of a trunk that came to nothing, its branches pay again
            return True
        return self.seconds is not None and seconds >= self.seconds * (1 - SAVING)

    def said(self) -> str:
        """The caps as given."""
        given = [("flops", self.flops), ("hours", self.hours), ("usd", self.usd)]
        return " ".join(f"--cap-{name} {value:g}" for name, value in given if value is not None)


@dataclass
class Hours:
    """Seconds of machines that a sweep has taken, while a launch goes on."""

    of: Plan
    store: Store
    known: float  # up to now
    ours: bool  # one machine, which works for the sweep as long as we do; else each run has its own, once it has one
    began: float = field(default_factory=time.monotonic)

    def seconds(self) -> float:
        """Up to now, of earlier launches too; of runs elsewhere as their records show, looked at every LOOK seconds."""
        now = time.monotonic()
        if self.ours:
            return self.known + now - self.began
        if now - self.began >= LOOK:
            self.known, self.began = spent(self.of, self.store)[1], now
        return self.known


def spent(of: Plan, store: Store) -> tuple[float, float]:
    """FLOPs and seconds that a plan's runs have taken in the store up to now."""
    flops = seconds = 0.0
    for run in of.runs:
        record = store.read(run.run_id)
        if record is not None:
            known = cost_so_far(store, record)
            flops += known.get("steps_computed", 0) * step_flops(run.config)
            seconds += known.get("seconds", 0.0) * record.about.get("machine_share", 1.0)
    return flops, seconds


def within(of: Plan, caps: Caps, store: Store) -> Plan:
    """The plan up to the first run that would take the sweep over its FLOPs, in order of execution.

    No run after it, though a smaller one might fit: it may start from what that one would have left.
    """
    if caps.flops is None:
        return of
    room, kept, full = caps.flops - spent(of, store)[0], [], False
    for run in of.runs:
        full = full or run.flops_to_run > room
        if run.status in ENDED or not full:
            room -= run.flops_to_run
            kept.append(run)
    return replace(of, runs=kept)


def reached(caps: Caps, of: Plan, store: Store) -> str:
    """The line that says so."""
    flops, seconds = spent(of, store)
    records = [store.read(run.run_id) for run in of.runs]
    left = sum(record is None or record.status not in ENDED for record in records)
    return (
        f"stopped at {caps.said()}: {short(flops)} FLOPs and {duration(seconds)} spent, {left} of {len(of.runs)} runs "
        "left; what is done is kept: launch again with a higher cap to go on"
    )

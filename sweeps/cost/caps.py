"""Caps on FLOPs, hours and dollars of a sweep: a launch stops before it exceeds them and keeps finished runs.

A cap applies to the whole sweep, including earlier launches. FLOPs are exact: a run that would exceed the cap is not
started. Hours are the time for which the machine works for the sweep or, on engines with several machines, the sum over
runs; dollars are hours at the price of a slice. When they are used up, running runs save and stop.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

from scaling.store.cost import cost_so_far
from scaling.store.record import Store
from sweeps.cost.quote import PricedSlice
from sweeps.errors import SweepError
from sweeps.format import duration, short_count
from sweeps.planning.budget import step_flops
from sweeps.planning.plan import FINISHED_STATUSES, Plan

SAVING_SHARE = 0.02  # share of the hours reserved for saving
CHECK_SECONDS = 10.0  # between reads of the records of runs on other machines


@dataclass(frozen=True, kw_only=True)
class Caps:
    """Limits of a sweep, None for no limit.

    Attributes:
        flops: Training FLOPs.
        hours: Hours of machines.
        usd: Dollars.
        priced: The slice whose price converts hours to dollars.
    """

    flops: float | None = None
    hours: float | None = None
    usd: float | None = None
    priced: PricedSlice | None = None

    def __post_init__(self) -> None:
        for name in ("flops", "hours", "usd"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise SweepError(f"--cap-{name} {value:g}: must be a number above 0")
        if self.usd is not None and self.priced is None:
            raise SweepError(f"--cap-usd {self.usd:g}: requires the price of a slice: add --slice, such as v5e-16")

    @property
    def seconds(self) -> float | None:
        """Largest number of machine seconds, from hours and dollars."""
        limits = [] if self.hours is None else [self.hours * 3600]
        if self.usd is not None and self.priced is not None:
            limits.append(self.usd / (self.priced.chips * self.priced.usd) * 3600)
        return min(limits, default=None)

    def is_exceeded(self, flops: float, seconds: float) -> bool:
        """Whether a launch must stop after this many FLOPs and machine seconds, earlier launches included.

        Args:
            flops: FLOPs spent.
            seconds: Machine seconds spent.
        """
        if self.flops is not None and flops > self.flops:  # branches of a failed trunk cost more than planned
            return True
        return self.seconds is not None and seconds >= self.seconds * (1 - SAVING_SHARE)

    def as_flags(self) -> str:
        """The caps as command-line flags."""
        values = [("flops", self.flops), ("hours", self.hours), ("usd", self.usd)]
        return " ".join(f"--cap-{name} {value:g}" for name, value in values if value is not None)


@dataclass
class MachineTime:
    """Machine seconds that a sweep has used, updated during a launch.

    Attributes:
        plan: The sweep.
        store: The store with its records.
        seconds_before: Seconds used up to `started_at`.
        one_machine: Whether one machine works for the sweep all the time; otherwise the time is summed over runs.
        started_at: Start of the launch, or time at which the records were last read (time.monotonic).
    """

    plan: Plan
    store: Store
    seconds_before: float
    one_machine: bool
    started_at: float = field(default_factory=time.monotonic)

    def seconds(self) -> float:
        """Seconds so far, including earlier launches; records of other machines are read every CHECK_SECONDS."""
        current = time.monotonic()
        if self.one_machine:
            return self.seconds_before + current - self.started_at
        if current - self.started_at >= CHECK_SECONDS:
            self.seconds_before, self.started_at = plan_spending(self.plan, self.store)[1], current
        return self.seconds_before


def plan_spending(plan: Plan, store: Store) -> tuple[float, float]:
    """Returns the FLOPs and machine seconds that the runs of a plan have used so far.

    Args:
        plan: The plan.
        store: The store.
    """
    flops = seconds = 0.0
    for run in plan.runs:
        record = store.read_intact(run.run_id)
        if record is not None:
            run_cost = cost_so_far(store, record)
            flops += run_cost.get("steps_computed", 0) * step_flops(run.config)
            seconds += run_cost.get("seconds", 0.0) * record.about.get("machine_share", 1.0)
    return flops, seconds


def runs_within_caps(plan: Plan, caps: Caps, store: Store) -> Plan:
    """Returns the plan up to the first run that would exceed the cap on FLOPs.

    Later runs are excluded even if they would fit, because they may start from a checkpoint of that run.

    Args:
        plan: The plan.
        caps: The caps.
        store: The store with the records of the runs.
    """
    if caps.flops is None:
        return plan
    flops_left, runs, is_over = caps.flops - plan_spending(plan, store)[0], [], False
    for run in plan.runs:
        is_over = is_over or run.flops_to_run > flops_left
        if run.status in FINISHED_STATUSES or not is_over:
            flops_left -= run.flops_to_run
            runs.append(run)
    return replace(plan, runs=runs)


def cap_message(caps: Caps, plan: Plan, store: Store) -> str:
    """Returns the message that a cap was reached.

    Args:
        caps: The caps.
        plan: The sweep.
        store: The store with its records.
    """
    flops, seconds = plan_spending(plan, store)
    records = [store.read_intact(run.run_id) for run in plan.runs]
    remaining = sum(record is None or record.status not in FINISHED_STATUSES for record in records)
    return (
        f"stopped at {caps.as_flags()}: {short_count(flops)} FLOPs and {duration(seconds)} spent, "
        f"{remaining} of {len(plan.runs)} runs "
        "remaining; finished runs are kept: launch again with a higher cap to continue"
    )

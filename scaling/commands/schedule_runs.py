"""Trains runs one after the other, retries runs that crash, and waits for runs that another process trains."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from scaling.config.exit_status import DONE, FAILED, STOPPED
from scaling.config.run import RunConfig, prefix_id, run_id
from scaling.distributed import collectives
from scaling.store.lease import LeaseHeldError, LeaseLostError, silence_seconds
from scaling.store.record import Store
from scaling.training.events import EventSink

CRASHED = -1  # the run failed, and another attempt follows
RETRY_SECONDS = 5.0  # delay before a run that crashed is tried again, multiplied by the number of its crashes
CHECKS_PER_SILENCE = 12  # checks of a lease within the time after which a silent holder loses it
SIGNAL_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Schedule:
    """How the runs of a process are trained.

    Attributes:
        store: The store with the records and leases.
        emit: Receives the events of waiting.
        stop_signals: Signals received so far.
        lock_trunks: Whether only one process at a time trains a trunk and its branches, so that each branch finds the
            checkpoint that it starts from.
        retries: Further attempts for a run that crashes.
    """

    store: Store
    emit: EventSink
    stop_signals: list[int]
    lock_trunks: bool
    retries: int = 0


def train_in_turn(configs: Sequence[RunConfig], attempt: Callable[[RunConfig, str], int], schedule: Schedule) -> int:
    """Trains each run; returns the highest exit status, or STOPPED as soon as a stop is requested.

    A run that crashes is tried again after the others. A run that another process trains is skipped at first, and
    trained here if that process releases its lease or stops renewing it. If the run failed there, it is not retried.

    Args:
        configs: The runs.
        attempt: Trains one run. Its second argument is "attempt 1 of 3" if a crash is followed by another attempt (the
            function then returns CRASHED instead of FAILED), else "".
        schedule: Store, events, stop signals and retries.
    """
    store, emit, stop_signals = schedule.store, schedule.emit, schedule.stop_signals
    pending, worst, waited_for, crashes = list(configs), DONE, set[str](), dict[str, int]()
    while pending:
        unfinished = []
        for config in pending:
            name = run_id(config)
            if stop_signals and not collectives.is_multi_host():
                return STOPPED
            if name in waited_for and (status := failed_elsewhere(store, name, emit)) is not None:
                worst = max(worst, status)
                continue
            try:
                with trunk_lease(store, config) if schedule.lock_trunks else contextlib.nullcontext():
                    count = crashes.get(name, 0)
                    retry = f"attempt {count + 1} of {schedule.retries + 1}" if count < schedule.retries else ""
                    status = attempt(config, retry)
            except (LeaseHeldError, LeaseLostError) as holder:
                unfinished.append(config)
                if name not in waited_for:
                    emit({"event": "waits", "run_id": name, "why": f"{holder}: skipped for now"})
                    waited_for.add(name)
                continue
            if status == STOPPED:
                return STOPPED
            if status == CRASHED:
                crashes[name] = crashes.get(name, 0) + 1
                unfinished.append(config)
            worst = max(worst, status)
        if len(unfinished) == len(pending):
            names = set(map(run_id, unfinished))
            delays = [RETRY_SECONDS * count for name, count in crashes.items() if name in names]
            emit({"event": "waiting", "run_id": run_id(pending[0])})  # fails if the launcher has gone
            if stopped_while_waiting(stop_signals, max([silence_seconds() / CHECKS_PER_SILENCE, *delays])):
                return STOPPED
        pending = unfinished
    return worst


@contextlib.contextmanager
def trunk_lease(store: Store, config: RunConfig) -> Iterator[None]:
    """Holds the lease on the trunk of a run; raises LeaseHeldError where another process trains it.

    Args:
        store: The store.
        config: The run.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(store.lease(f"trunk-{prefix_id(config, 0)}"))
        except LeaseHeldError as holder:
            raise LeaseHeldError(f"the trunk of run {run_id(config)[:12]} is being trained by {holder}") from None
        yield


def failed_elsewhere(store: Store, name: str, emit: EventSink) -> int | None:
    """Returns FAILED and emits the reason if a run failed in another process, else None.

    Args:
        store: The store.
        name: Run id.
        emit: Receives the event.
    """
    store.fetch_record(name)
    record = store.read(name)
    if record is None or record.status != "failed":
        return None
    reason = record.about.get("error", "the record gives no reason")
    emit({"event": "end", "run_id": name, "status": "failed", "error": reason})
    return FAILED


def stopped_while_waiting(stop_signals: list[int], seconds: float) -> bool:
    """Waits, and returns whether a stop was requested on any host meanwhile.

    Args:
        stop_signals: Signals received so far.
        seconds: Longest time to wait.
    """
    until = time.monotonic() + seconds
    while time.monotonic() < until and not stop_signals:
        time.sleep(SIGNAL_POLL_SECONDS)
    return any(collectives.gather(bool(stop_signals)))

"""Trainers that die: the pause before a restart, and the failure of a run after its last attempt.

A run that another process trains is not recorded as failed: it is followed until that process has ended or released it.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from scaling.config.run import RunConfig, run_id
from scaling.store.damaged import read_or_set_aside
from scaling.store.files import DamagedFileError
from scaling.store.lease import LeaseHeldError
from scaling.store.record import Store
from sweeps.engines.events import Event, end_event, failed_record, failure_event, with_last_line
from sweeps.planning.plan import FINISHED_STATUSES

RESTART_SECONDS = 1.0  # pause before the first restart after a crash
MAX_RESTART_SECONDS = 60.0
FOLLOW_SECONDS = 2.0  # between checks of a run that another process trains


@dataclass(frozen=True)
class ExhaustedRun:
    """A run whose process died in its last attempt.

    Attributes:
        config: Its config.
        error: How it died.
        log: Last log lines of its process.
    """

    config: RunConfig
    error: str
    log: Sequence[str] = ()

    @property
    def run_id(self) -> str:
        """Id of the run."""
        return run_id(self.config)


def restart_pause(crashes: int) -> float:
    """Returns the seconds before a trainer is restarted: they double with each crash, up to MAX_RESTART_SECONDS.

    Args:
        crashes: Crashes so far, at least 1.
    """
    return min(MAX_RESTART_SECONDS, RESTART_SECONDS * 2.0 ** min(crashes - 1, 30))


def describe_death(status: int) -> str:
    """Returns how a process ended.

    Args:
        status: Its exit status; negative for a signal.
    """
    return f"killed by {signal.Signals(-status).name}" if status < 0 else f"ended with exit status {status}"


def settle_run(store: Store, sweep: str, run: ExhaustedRun) -> Event | None:
    """Returns the "end" event of a run without attempts left, or None while another process trains it.

    The run is recorded as failed unless another process has finished it.

    Args:
        store: The store.
        sweep: Name of the sweep, for a run without a record.
        run: The run.
    """
    name = run.run_id
    try:
        with store.lease(name):
            store.fetch_record(name)
            record = read_or_set_aside(store, name)
            if record is not None and record.status in FINISHED_STATUSES:
                return end_event(record)
            message = with_last_line(run.error, run.log)
            store.write(failed_record(record, run.config, sweep, message, run.log))
    except LeaseHeldError:
        return None
    except DamagedFileError as damage:  # a record that may be intact, such as of a newer version, is kept
        store.note_damaged(damage)
    return failure_event(name, run.error)


@dataclass
class FollowedRuns:
    """Runs without attempts left here that another process trains.

    Attributes:
        runs: The runs.
        next_check: When they are checked next (time.monotonic).
    """

    runs: list[ExhaustedRun] = field(default_factory=list)
    next_check: float = 0.0

    def settle(self, store: Store, sweep: str) -> list[Event]:
        """Returns the "end" events of the runs that the other processes have ended or released.

        Args:
            store: The store.
            sweep: Name of the sweep.
        """
        clock = time.monotonic()
        if not self.runs or clock < self.next_check:
            return []
        self.next_check = clock + FOLLOW_SECONDS
        ends = [(run, settle_run(store, sweep, run)) for run in self.runs]
        self.runs = [run for run, end in ends if end is None]
        return [end for _, end in ends if end is not None]

"""Jobs of a cluster that outlive the launcher. The state of a run is read from the store and from the cluster.

This module is common to the engines slurm, ray, gke and skypilot. Jobs are submitted, listed and deleted with a
command-line program (kubectl, sky, squeue, ...).
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from scaling.config.run import RunConfig
from scaling.store.damaged import newest_row, read_or_set_aside
from scaling.store.files import DamagedFileError
from scaling.store.record import Record, Store
from sweeps.engines.events import Event, end_event, failed_record, failure_event, last_lines, with_last_line
from sweeps.errors import SweepError
from sweeps.planning.plan import FINISHED_STATUSES

POLL_SECONDS = 15.0  # between queries of a cluster
RECORD_DELAY_SECONDS = 120.0  # longest delay until a job's record is visible in the launcher's mount of the bucket
MAX_FAILED_POLLS = 40  # consecutive failed queries after which the launch ends
COMMAND_TIMEOUT_SECONDS = 120.0
WAITING, RUNNING, SUCCEEDED, FAILED = "waiting", "running", "succeeded", "failed"  # phases of a job


class JobState(NamedTuple):
    """State of a job, or of a run within a job, in the cluster."""

    phase: str  # WAITING, RUNNING, SUCCEEDED or FAILED
    reason: str = ""  # reason of the failure, or of the last crash
    crashes: int = 0  # restarts so far, without those after a preemption


@dataclass
class Job:
    """The runs of a launch and the jobs that train them."""

    store: Store
    sweep: str
    remaining: dict[str, RunConfig]  # runs that have not ended, by run_id, in order
    run_states: Callable[[], Mapping[str, JobState]]  # by run_id; a run whose job no longer exists is absent
    delete_jobs: Callable[[], None]
    delete_command: str  # shell command that deletes the jobs, for messages
    log_lines: Callable[[str], list[str]]  # last log lines of a run's job
    max_attempts: int  # attempts of a run that crashes
    poll_seconds: float = POLL_SECONDS
    record_delay: float = RECORD_DELAY_SECONDS
    next_poll: float = 0.0  # time of the next query (time.monotonic)
    failed_polls: int = 0  # consecutive failed queries
    started: set[str] = field(default_factory=set)  # runs whose "start" event has been reported
    steps: dict[str, float] = field(init=False)  # last reported step; initially the last step of an earlier launch
    crashes: dict[str, int] = field(default_factory=dict)  # reported crashes, by run
    succeeded_at: dict[str, float] = field(default_factory=dict)  # when a query first showed that a run's job succeeded
    cancelled: bool = False
    delete_pending: bool = False  # whether the jobs still have to be deleted
    finished: bool = False  # whether there are no further events
    stopped: bool = False  # whether runs remain although the job is finished
    error: str | None = None  # why the remaining runs cannot continue
    earlier_records: dict[str, Record | None] = field(init=False)  # records before this launch

    def __post_init__(self) -> None:
        self.earlier_records = {name: self.store.read_intact(name) for name in self.remaining}
        rows = {name: newest_row(self.store, name) for name in self.remaining}
        self.steps = {name: row["step"] for name, row in rows.items() if row is not None and "step" in row}


def run_command(command: Sequence[str], text: str | None = None) -> str:
    """Runs a command and returns its standard output.

    Args:
        command: Program and arguments.
        text: Its standard input.

    Raises:
        SweepError: The program is missing, fails, or takes longer than COMMAND_TIMEOUT_SECONDS.
    """
    try:
        process = subprocess.run(
            command, input=text, capture_output=True, text=True, check=False, timeout=COMMAND_TIMEOUT_SECONDS
        )  # fmt: skip
    except FileNotFoundError:
        raise SweepError(f"{command[0]}: command not found: install it, or use --dry-run") from None
    except subprocess.TimeoutExpired:
        raise SweepError(f"{' '.join(command[:3])}: no answer in {COMMAND_TIMEOUT_SECONDS:g} s") from None
    if process.returncode:
        message = (last_lines(process.stderr) or ["no message"])[-1]
        raise SweepError(f"{' '.join(command[:3])}: exit status {process.returncode}: {message[:300]}")
    return process.stdout


def output_tail(command: Sequence[str]) -> list[str]:
    """Returns the last lines that a command prints; an empty list if it fails (the machines may no longer exist)."""
    try:
        return last_lines(run_command(command))
    except SweepError:
        return []


def poll(job: Job, timeout: float = 0.2) -> list[Event]:
    """Returns the events since the last call.

    Args:
        job: The jobs of the launch.
        timeout: Longest time in seconds to wait for the next query of the cluster.
    """
    clock = time.monotonic()
    if job.finished or clock < job.next_poll:
        time.sleep(0 if job.finished else min(timeout, job.next_poll - clock))
        return []
    job.next_poll = clock + job.poll_seconds
    try:
        if job.delete_pending:
            _delete(job)
        states = job.run_states()
        job.failed_polls = 0
    except SweepError as error:
        job.failed_polls += 1
        if job.failed_polls >= MAX_FAILED_POLLS:
            advice = f"stop them with: {job.delete_command}" if job.delete_pending else "launch again to follow them"
            job.finished = True
            job.error = f"{error} ({MAX_FAILED_POLLS} times); running jobs continue: {advice}"
        return []
    events = [event for name in list(job.remaining) for event in _run_events(job, name, states.get(name), clock)]
    if not any(name in states for name in job.remaining):  # all have ended, or their jobs were deleted
        job.finished, job.stopped = True, bool(job.remaining)
    return events


def cancel(job: Job) -> None:
    """Deletes the jobs, whose trainers receive SIGTERM, save and stop; retried at later polls if the deletion fails."""
    job.cancelled = job.delete_pending = True
    job.next_poll, job.failed_polls = 0.0, 0
    with contextlib.suppress(SweepError):
        _delete(job)


def _delete(job: Job) -> None:
    job.delete_jobs()
    job.delete_pending = False


def _run_events(job: Job, name: str, state: JobState | None, clock: float) -> list[Event]:
    """Returns the events of one run: its progress, then its end or its crash."""
    events = _progress_events(job, name)
    record = job.store.read_intact(name)
    if record is not None and record.status in FINISHED_STATUSES:
        if "started" in record.about:  # it may have started and ended between two polls
            events += _start_events(job, name, record, job.remaining[name].steps)
        job.remaining.pop(name)
        events.append(end_event(record))
    elif state is None:
        pass
    elif state.phase == FAILED:
        events.append(_fail(job, name, state.reason or "its job failed"))
    elif state.phase == SUCCEEDED:
        if (
            failed_since_launch(job, name, record)
            or clock - job.succeeded_at.setdefault(name, clock) > job.record_delay
        ):
            reason = "its job succeeded, but the store has no finished record: check that --store is the bucket"
            events.append(_fail(job, name, reason))
    elif state.crashes > job.crashes.get(name, 0):
        job.crashes[name] = state.crashes
        reason = state.reason or "crashed on a host; all hosts were restarted"
        events.append({"event": "died", "run_id": name, "how": reason, "log": job.log_lines(name),
                       "attempt": state.crashes, "attempts": job.max_attempts})  # fmt: skip
    return events


def _progress_events(job: Job, name: str) -> list[Event]:
    """Returns the start of a run and its newest step, from its curve, without rows from before this launch."""
    row = newest_row(job.store, name)
    if row is None or "step" not in row or row["step"] == job.steps.get(name):
        return []
    events = _start_events(job, name, job.store.read_intact(name), row["step"])
    job.steps[name] = row["step"]
    if "loss" in row:
        events.append({"event": "step", "run_id": name, "step": int(row["step"]), "loss": row["loss"]})
    return events


def _start_events(job: Job, name: str, record: Record | None, step: float) -> list[Event]:
    """Returns the "start" event of a run that has reached `step`; only once per run."""
    if name in job.started:
        return []
    job.started.add(name)
    first_step = int(_first_step(job, name, record, step))
    return [{"event": "start", "run_id": name, "steps": job.remaining[name].steps, "from": first_step}]


def _first_step(job: Job, name: str, record: Record | None, step: float) -> float:
    """Returns the first step of a run in this launch: that of its process, or that at the first poll."""
    earlier = job.earlier_records[name]
    about, earlier_about = (state.about if state is not None else {} for state in (record, earlier))
    first_seen = min(job.steps.get(name, 0), step)
    if all(about.get(key) == earlier_about.get(key) for key in ("started", "pid")):
        return first_seen
    return about.get("started_from", {}).get("step", first_seen)


def failed_since_launch(job: Job, name: str, record: Record | None) -> bool:
    """Returns whether the trainer has recorded a failure since this launch began.

    Args:
        job: The jobs of the launch.
        name: The run.
        record: Its record now.
    """
    return record is not None and record.status == "failed" and record != job.earlier_records[name]


def _fail(job: Job, name: str, reason: str) -> Event:
    """Writes the record of a run that failed permanently; an error that the trainer recorded is kept."""
    config = job.remaining.pop(name)
    try:
        record = read_or_set_aside(job.store, name)
    except DamagedFileError as damage:  # a record that may be intact, such as of a newer version, is kept
        return failure_event(name, str(damage))
    if record is not None and failed_since_launch(job, name, record) and "error" in record.about:
        return failure_event(name, record.about["error"])
    log = job.log_lines(name)
    error = with_last_line(reason, log)
    job.store.write(failed_record(record, config, job.sweep, error, log))
    return failure_event(name, error)

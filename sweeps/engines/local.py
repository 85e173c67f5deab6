"""The local engine: child processes on this machine, each with a share of the cores, train the runs in order.

A step of a small model hardly uses a second core: two children with one core each do twice the work of one child with
both. The runs of a trunk are trained by one child, where each starts from the checkpoint of the previous one. Runs of
one shape that share no trunk are trained as packs if the options request it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import queue
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scaling.config import exit_status
from scaling.config.run import RunConfig, run_id
from scaling.store.lease import LeaseHeldError
from scaling.store.record import Store
from sweeps.engines.crashes import ExhaustedRun, FollowedRuns, describe_death, restart_pause, settle_run
from sweeps.engines.events import Event, end_event, log_tail, parse_event, with_last_line
from sweeps.engines.submission import RESTARTS, DryRun, JobFile, Submission, train_command, write_configs
from sweeps.planning.plan import FINISHED_STATUSES, shared_steps
from sweeps.planning.sharing import sharing_graph
from sweeps.planning.streams import worker_batches
from sweeps.planning.workers import assign_runs, divide_cores

SEPARATE = ("--place", "share=false")  # start no run from the checkpoint of another


@dataclass(frozen=True, kw_only=True)
class LocalOptions:
    """Options of the local engine.

    Attributes:
        workers: Largest number of concurrent child processes, among which the cores are divided.
        pack: Largest number of runs of one shape trained as one program; 0 or 1: no packs.
        separate: Whether each run is trained from scratch in its own process, to measure what sharing saves.
        restarts: Largest number of restarts of a run whose process died without reporting an error.
        restart_stopped: Whether a child that saves and stops by itself (exit status 75) is restarted if it did a step.
        log: File of the children's standard error; None: STORE/sweeps/SWEEP.log.
    """

    workers: int = 1
    pack: int = 0
    separate: bool = False
    restarts: int = RESTARTS
    restart_stopped: bool = True
    log: Path | None = None


@dataclass
class Worker:
    """A child process and the runs assigned to it; the process is restarted as often as necessary."""

    names: frozenset[str]  # run_id of each run assigned to it
    log: Path  # standard error of the child
    cores: frozenset[int] | None = None  # None: all
    batch: tuple[str, ...] = ()  # runs of the current child
    packed: bool = False  # whether the current child trains packs
    unpacked: bool = False  # whether a pack died; its runs are then trained one by one to find the failing run
    current: str | None = None  # run that the child is training
    child: subprocess.Popen[str] | None = None
    reported: bool = False  # whether the current child has reported any event
    stepped: bool = False  # whether the current child has reported a step
    failed: bool = False  # whether the current child has reported a failed run
    log_start: int = 0  # offset in bytes at which the log of the current child starts
    finished: bool = False
    idle_deaths: int = 0  # consecutive deaths of a child with no run under way
    restart_at: float | None = None  # when the next child is started after a death (time.monotonic)


@dataclass
class Job:
    """State of the runs that child processes train."""

    submission: Submission
    options: LocalOptions
    remaining: dict[str, RunConfig]  # runs that have not ended, by run_id, in order
    packed_runs: frozenset[str] = frozenset()  # runs that are trained in a pack
    workers: list[Worker] = field(default_factory=list)
    deaths: dict[str, int] = field(default_factory=dict)  # number of deaths of each run's process
    followed: FollowedRuns = field(default_factory=FollowedRuns)
    events: queue.Queue[tuple[Worker, Event | None]] = field(default_factory=queue.Queue)  # None: the child ended
    cancelled: bool = False
    error: str | None = None  # why the remaining runs cannot continue

    @property
    def store(self) -> Store:
        """Store of the runs."""
        return self.submission.store

    @property
    def finished(self) -> bool:
        """Whether all workers have finished and no run is followed."""
        return not self.followed.runs and all(worker.finished for worker in self.workers)


def submit(submission: Submission, options: LocalOptions) -> Job:
    """Starts the child processes; each trains its runs in the order of the configs.

    Args:
        submission: The runs.
        options: The engine's options.
    """
    workers, packed_runs = _assign_workers(submission, options)
    remaining = write_configs(submission)
    job = Job(submission=submission, options=options, remaining=remaining, packed_runs=packed_runs, workers=workers)
    workers[0].log.parent.mkdir(parents=True, exist_ok=True)
    for worker in job.workers:
        _start(job, worker)
    return job


def _assign_workers(submission: Submission, options: LocalOptions) -> tuple[list[Worker], frozenset[str]]:
    """Returns the workers with their runs, cores and logs, and the runs that are trained in packs."""
    configs = submission.configs
    starts = shared_steps(configs) if submission.starts is None else submission.starts
    packs = sharing_graph(configs, 0 if options.separate else options.pack, starts).packs
    log = options.log or submission.store.root / "sweeps" / f"{submission.sweep}.log"
    assigned = assign_runs(configs, 1 if options.separate else options.workers, packs, starts)
    workers = [
        Worker(names, log.with_name(f"{log.stem}.{i}.log") if i else log, cores)
        for i, (names, cores) in enumerate(zip(assigned, divide_cores(len(assigned)), strict=True))
    ]
    return workers, frozenset(name for names in packs for name in names)


def dry_run(submission: Submission, options: LocalOptions) -> DryRun:
    """Returns the commands of the child processes; nothing is written or started (arguments as for `submit`)."""
    workers, packed_runs = _assign_workers(submission, options)
    files = []
    for i, worker in enumerate(workers):
        names = [run_id(config) for config in submission.configs if run_id(config) in worker.names]
        saes = [run_id(config) for config in submission.configs if config.sae is not None]
        batches = [(name,) for name in names] if options.separate else worker_batches(names, packed_runs, saes)
        commands = [_train_command(submission, options, batch, batch[0] in packed_runs) for batch in batches]
        prefix = f"taskset --cpu-list {','.join(map(str, sorted(worker.cores)))} " if worker.cores else ""
        text = "\n".join(prefix + shlex.join(command) for command in commands)
        title = f"# process {i} (runs: {len(names)}) is restarted after a crash; its log is {worker.log}:"
        files.append(JobFile(f"process-{i}.sh", text, title=title, runs=[names]))
    return DryRun(files)


def poll(job: Job, timeout: float = 0.2) -> list[Event]:
    """Returns the events since the last call.

    Args:
        job: The runs.
        timeout: Seconds to wait for the first event.
    """
    for worker in job.workers:
        if worker.restart_at is not None and time.monotonic() >= worker.restart_at:
            _start(job, worker)
    events, wait = job.followed.settle(job.store, job.submission.sweep), timeout
    while not job.finished:
        try:
            worker, event = job.events.get(timeout=wait) if wait else job.events.get_nowait()
        except queue.Empty:
            break
        wait = 0
        events += _child_ended(job, worker) if event is None else _note_event(job, worker, event)
    return events


def cancel(job: Job) -> None:
    """Asks the children to save and stop (SIGTERM); the second call kills them (SIGKILL)."""
    for worker in job.workers:
        if worker.child is not None and worker.child.poll() is None:
            worker.child.send_signal(signal.SIGKILL if job.cancelled else signal.SIGTERM)
        worker.finished = worker.finished or worker.restart_at is not None
    job.remaining |= {run.run_id: run.config for run in job.followed.runs}
    job.followed.runs.clear()
    job.cancelled = True


def _start(job: Job, worker: Worker) -> None:
    """Starts a child for the worker's remaining runs: first those outside packs, then the packs, then autoencoders."""
    names = tuple(name for name in job.remaining if name in worker.names)
    packed_runs = frozenset[str]() if worker.unpacked else job.packed_runs
    saes = [name for name in names if job.remaining[name].sae is not None]
    worker.batch = names[:1] if job.options.separate else worker_batches(names, packed_runs, saes)[0]
    worker.packed = worker.batch[0] in packed_runs
    with worker.log.open("a") as log:
        worker.log_start = log.tell()
        worker.child = subprocess.Popen(
            _train_command(job.submission, job.options, worker.batch, worker.packed),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            encoding="utf-8",
            errors="replace",
            pass_fds=job.submission.keep_open,
            env={**os.environ, "SCALING_MACHINE_SHARE": f"{1 / len(job.workers):.6g}"},
            start_new_session=True,  # Ctrl-C reaches only the launcher, which signals each child once
        )
    if worker.cores is not None:  # before the child counts its cores
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(worker.child.pid, worker.cores)
    worker.reported = worker.stepped = worker.failed = False
    worker.current = worker.restart_at = None
    threading.Thread(target=_read_events, args=(worker, worker.child, job.events), daemon=True).start()


def _train_command(submission: Submission, options: LocalOptions, names: Sequence[str], packed: bool) -> list[str]:
    """Returns the command of a child that trains runs in order, or as packs."""
    command = train_command(submission, names)
    command += ["--retries", str(options.restarts), *(SEPARATE if options.separate else ())]
    command += ("--pack", str(0 if options.separate else options.pack)) if packed else ()
    return command


def _read_events(
    worker: Worker, child: subprocess.Popen[str], events: queue.Queue[tuple[Worker, Event | None]]
) -> None:
    """Puts the child's events into the queue, and None when it ends; other output lines are written to the log."""
    assert child.stdout is not None
    with child.stdout:
        for line in child.stdout:
            event = parse_event(line)
            if event is not None:
                events.put((worker, event))
            else:
                with contextlib.suppress(OSError), worker.log.open("a") as file:  # such as a full disk
                    file.write(line)
    child.wait()
    events.put((worker, None))


def _note_event(job: Job, worker: Worker, event: Event) -> list[Event]:
    worker.reported = True
    name = event.get("run_id")
    if event["event"] in ("start", "step"):
        worker.current = name
    worker.stepped = worker.stepped or event["event"] == "step"
    if event["event"] == "end":
        if worker.current == name:
            worker.current = None
        if event["status"] != "stopped":
            job.remaining.pop(str(name), None)
        if event["status"] == "failed":
            worker.failed = True
            _record_log(job, worker, str(name))
    return [event]


def _child_ended(job: Job, worker: Worker) -> list[Event]:
    """Handles the end of a child: the worker is finished, or another child is started for the remaining runs."""
    assert worker.child is not None
    status = worker.child.returncode
    normal = status in (exit_status.DONE, exit_status.FAILED)
    events = _recorded_ends(job, worker, (*FINISHED_STATUSES, "failed") if normal else FINISHED_STATUSES)
    stops = job.cancelled or (status == exit_status.STOPPED and not (job.options.restart_stopped and worker.stepped))
    if stops or not any(name in job.remaining for name in worker.names):
        worker.finished = True
    elif status == exit_status.STOPPED:
        message = "the trainer was stopped by a signal after saving: restarted"
        events.append({"event": "again", "why": message})
        _start(job, worker)
    elif not any(name in job.remaining for name in worker.batch) or (
        worker.failed and status in (exit_status.FAILED, exit_status.BAD_INPUT)
    ):
        _start(job, worker)  # with `train --in-order`, a run that fails ends the process after reporting the failure
    elif status == exit_status.BAD_INPUT:
        worker.finished, job.error = True, (_log_tail(worker) or ["the trainer rejected its arguments"])[-1]
    else:
        events += _child_died(job, worker, status)
    return events


def _recorded_ends(job: Job, worker: Worker, statuses: tuple[str, ...]) -> list[Event]:
    """Returns the "end" events of runs whose end the child recorded but did not report before it died."""
    events = []
    for name in [name for name in job.remaining if name in worker.names]:
        record = job.store.read_intact(name)
        if record is None or record.status not in statuses or (record.status == "failed" and name != worker.current):
            continue
        job.remaining.pop(name)
        events.append(end_event(record))
    return events


def _child_died(job: Job, worker: Worker, status: int) -> list[Event]:
    """Counts a death and restarts the child after a pause, without the current run after that run's last attempt.

    A death with no run under way, as while the child waits for a run that another process trains, is no run's attempt.
    """
    names = [name for name in worker.batch if name in job.remaining]
    name = worker.current if worker.current in names else next((n for n in names if _claimed(job, worker, n)), None)
    worker.unpacked = worker.unpacked or worker.packed
    cause, log, attempts = describe_death(status), _log_tail(worker), job.options.restarts + 1
    if name is None:
        return _idle_child_died(job, worker, cause, log)
    worker.idle_deaths, job.deaths[name] = 0, job.deaths.get(name, 0) + 1
    count = job.deaths[name]
    events: list[Event] = [
        {"event": "died", "run_id": name, "how": cause, "log": log, "attempt": count, "attempts": attempts}
    ]
    if count >= attempts:
        error = f"its process {'was ' if status < 0 else ''}{cause}, {attempts} times"
        run = ExhaustedRun(job.remaining.pop(name), error, log)
        end = settle_run(job.store, job.submission.sweep, run)
        if end is None:
            job.followed.runs.append(run)
            end = {"event": "waits", "run_id": name, "why": f"run {name[:12]}: another process trains it: left to it"}
        events.append(end)
    worker.finished = not any(name in job.remaining for name in worker.names)
    if not worker.finished:
        worker.restart_at = time.monotonic() + (restart_pause(count) if count < attempts else 0.0)
    return events


def _idle_child_died(job: Job, worker: Worker, cause: str, log: list[str]) -> list[Event]:
    """Counts a death with no run under way; restarts the child after a pause, or ends the worker at the last one."""
    attempts = job.options.restarts + 1
    worker.idle_deaths = 1 if worker.stepped else worker.idle_deaths + 1
    if worker.idle_deaths >= attempts:
        place = "with no run under way" if worker.reported else "before its first run"
        worker.finished, job.error = True, f"the trainer {cause} {place}, {attempts} times: see {worker.log}"
        return []
    worker.restart_at = time.monotonic() + restart_pause(worker.idle_deaths)
    message = f"the trainer {cause} with no run under way (attempt {worker.idle_deaths} of {attempts})"
    return [{"event": "again", "why": with_last_line(message, log)}]


def _claimed(job: Job, worker: Worker, name: str) -> bool:
    """Whether the child had claimed the run (compilation precedes its first event)."""
    record = job.store.read_intact(name)
    return record is not None and worker.child is not None and record.about.get("pid") == worker.child.pid


def _record_log(job: Job, worker: Worker, name: str) -> None:
    """Adds the last log lines of a failed run to its record, because its process continues with other runs."""
    log = _log_tail(worker)
    with contextlib.suppress(LeaseHeldError), job.store.lease(name):
        record = job.store.read_intact(name)
        if record is not None and record.status == "failed" and log:
            job.store.write(dataclasses.replace(record, about={**record.about, "log": log}))


def _log_tail(worker: Worker) -> list[str]:
    return log_tail(worker.log, worker.log_start)

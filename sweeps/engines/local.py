"""This machine: one child process trains all runs in turn, so that no shape is compiled twice."""

from __future__ import annotations

import dataclasses
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scaling.config import RunConfig, dumps, run_id
from scaling.models.counts import parameters, run_flops
from scaling.record import Record, Store, write_atomic

TRAIN = (sys.executable, "-m", "scaling", "train")
ALONE = ("--place", "share=false")  # a run that starts from no other's checkpoint
RESTARTS = 2  # of one run, after its process died without a word
STOPPED = 75  # the trainer's exit status after a signal, everything saved
LOG_LINES = 5
Event = dict[str, Any]


@dataclass
class Job:
    """Runs under way in one child process, started again as often as it must be."""

    store: Store
    sweep: str
    command: tuple[str, ...]
    restarts: int
    keep_open: tuple[int, ...]
    left: dict[str, RunConfig]  # runs that have not ended, in order
    separate: bool = False  # a process for each run, none starting from another's checkpoint
    given: tuple[str, ...] = ()  # runs of this child
    deaths: dict[str, int] = field(default_factory=dict)
    current: str | None = None
    child: subprocess.Popen[str] | None = None
    heard: bool = False  # whether this child has said anything
    events: queue.Queue[Event | None] = field(default_factory=queue.Queue)
    log_start: int = 0
    cancelled: bool = False
    over: bool = False
    stopped: bool = False  # over with runs left, which will go on at the next launch
    error: str | None = None  # why runs are left that will not go on by themselves

    @property
    def log(self) -> Path:
        """What the child says on its standard error."""
        return self.store.root / "sweeps" / f"{self.sweep}.log"


def submit(
    store: Store,
    sweep: str,
    configs: Sequence[RunConfig],
    *,
    command: Sequence[str] = TRAIN,
    restarts: int = RESTARTS,
    keep_open: Sequence[int] = (),
    separate: bool = False,
) -> Job:
    """Starts the child on these runs, in this order. keep_open: file descriptors that it inherits.

    separate: a child for each run in turn, and nothing shared: what sharing saves is measured against it.
    """
    left = {run_id(config): config for config in configs}
    job = Job(
        store=store,
        sweep=sweep,
        command=tuple(command),
        restarts=restarts,
        keep_open=tuple(keep_open),
        left=left,
        separate=separate,
    )
    for name, config in left.items():
        write_atomic(store.run_dir(name) / "config.json", dumps(config).encode())
    job.log.parent.mkdir(parents=True, exist_ok=True)
    _start(job)
    return job


def poll(job: Job, timeout: float = 0.2) -> list[Event]:
    """Events since the last call; waits up to `timeout` seconds for the first."""
    out: list[Event] = []
    wait = timeout
    while not job.over:
        try:
            event = job.events.get(timeout=wait) if wait else job.events.get_nowait()
        except queue.Empty:
            break
        wait = 0
        out += _ended(job) if event is None else _noted(job, event)
    return out


def cancel(job: Job) -> None:
    """Asks the child to save and stop: SIGTERM the first time, SIGKILL the second."""
    if job.child is not None and job.child.poll() is None:
        job.child.send_signal(signal.SIGKILL if job.cancelled else signal.SIGTERM)
    job.cancelled = True


def _start(job: Job) -> None:
    job.given = tuple(job.left)[:1] if job.separate else tuple(job.left)
    configs = [str(job.store.run_dir(name) / "config.json") for name in job.given]
    command = [*job.command, *configs, "--store", str(job.store.root), "--sweep", job.sweep, "--events"]
    command += ALONE if job.separate else ()
    with job.log.open("a") as log:
        job.log_start = log.tell()
        job.child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            encoding="utf-8",
            errors="replace",
            pass_fds=job.keep_open,
            start_new_session=True,  # a Ctrl-C reaches us alone, and we pass it on once
        )
    job.heard, job.current = False, None
    threading.Thread(target=_read, args=(job.child, job.events, job.log), daemon=True).start()


def _read(child: subprocess.Popen[str], events: queue.Queue[Event | None], log: Path) -> None:
    """Puts each event of the child into the queue, then None; what is no event goes to the log."""
    assert child.stdout is not None
    with child.stdout:
        for line in child.stdout:
            try:
                event = json.loads(line)
            except json.JSONDecodeError:
                event = None
            if isinstance(event, dict) and "event" in event:
                events.put(event)
            else:
                with log.open("a") as file:
                    file.write(line)
    child.wait()
    events.put(None)


def _noted(job: Job, event: Event) -> list[Event]:
    job.heard = True
    name = event.get("run_id")
    if event["event"] in ("start", "step"):
        job.current = name
    if event["event"] == "end":
        job.current = None
        if event["status"] == "stopped":
            job.stopped = True
        else:
            job.left.pop(str(name), None)
    return [event]


def _ended(job: Job) -> list[Event]:
    """What follows from the child's end: over, or another child for what is left."""
    assert job.child is not None
    status = job.child.returncode
    out = _from_store(job, ("done", "diverged", "failed") if status in (0, 1) else ("done", "diverged"))
    if not job.left:
        job.over = True
    elif status == STOPPED or job.cancelled:
        job.over = job.stopped = True
    elif not any(name in job.left for name in job.given):
        _start(job)
    elif status == 2:
        job.over, job.error = True, _last_line(job) or "the trainer refused its arguments"
    else:
        out += _died(job, status)
    return out


def _from_store(job: Job, statuses: tuple[str, ...]) -> list[Event]:
    """Ends that the child recorded but did not live to tell."""
    out = []
    for name in list(job.left):
        record = job.store.read(name)
        if record is None or record.status not in statuses or (record.status == "failed" and name != job.current):
            continue
        job.left.pop(name)
        event: Event = {"event": "end", "run_id": name, "status": record.status}
        if "loss" in record.final:
            event["loss"] = record.final["loss"]
        if "error" in record.about:
            event["error"] = record.about["error"]
        out.append(event)
    return out


def _died(job: Job, status: int) -> list[Event]:
    """Blames the run that was under way, and starts again without it once it has had its attempts."""
    guilty = job.current or next(iter(job.left))
    job.deaths[guilty] = job.deaths.get(guilty, 0) + 1
    how = f"killed by {signal.Signals(-status).name}" if status < 0 else f"ended with exit status {status}"
    log = _log_tail(job)
    attempts = job.restarts + 1
    out: list[Event] = [
        {
            "event": "died",
            "run_id": guilty,
            "how": how,
            "log": log,
            "attempt": job.deaths[guilty],
            "attempts": attempts,
        }
    ]
    if job.deaths[guilty] < attempts:
        _start(job)
        return out
    if not job.heard and not _begun(job, guilty):  # the trainer does not get as far as a run: none is to blame
        job.over, job.error = True, f"the trainer {how} before its first run, {attempts} times: see {job.log}"
        return out
    error = f"its process was {how}, {attempts} times" if status < 0 else f"its process {how}, {attempts} times"
    _record_failure(job, guilty, error + (f": {log[-1]}" if log else ""))
    job.left.pop(guilty)
    out.append({"event": "end", "run_id": guilty, "status": "failed", "error": error})
    if job.left:
        _start(job)
    else:
        job.over = True
    return out


def _begun(job: Job, name: str) -> bool:
    """Whether this child had taken the run in hand (it compiles before it speaks)."""
    record = job.store.read(name)
    return record is not None and job.child is not None and record.about.get("pid") == job.child.pid


def _record_failure(job: Job, name: str, error: str) -> None:
    config = job.left[name]
    known = job.store.read(name) or Record(
        run_id=name,
        config=config,
        status="failed",
        sweep=job.sweep,
        params=parameters(config.model),
        flops=run_flops(config),
    )
    job.store.write(dataclasses.replace(known, status="failed", about={**known.about, "error": error}))


def _log_tail(job: Job) -> list[str]:
    """The last lines this child left in the log."""
    with job.log.open("rb") as file:
        file.seek(max(job.log_start, os.fstat(file.fileno()).st_size - 8192))
        lines = file.read().decode("utf-8", "replace").splitlines()
    return [line for line in lines if line.strip()][-LOG_LINES:]


def _last_line(job: Job) -> str | None:
    tail = _log_tail(job)
    return tail[-1] if tail else None

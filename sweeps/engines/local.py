"""This machine: a child process for each share of its cores trains its runs in turn.

A small model's step leaves most of a second core idle: two children with a core each do twice the work of one with
both. Runs that share a trunk stay in one child, where each starts from what the one before it left. Runs that share
none, of one shape, are trained as packs where packs are asked for or pay.
"""

from __future__ import annotations

import contextlib
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

from scaling.config.run import RunConfig, dumps, run_id
from scaling.models.counts import parameters, run_flops
from scaling.store.files import write_atomic
from scaling.store.lease import Held
from scaling.store.record import Record, Store
from sweeps.planning.sharing import graph
from sweeps.planning.workers import divided, shares

TRAIN = (sys.executable, "-m", "scaling", "train")
ALONE = ("--place", "share=false")  # a run that starts from no other's checkpoint
RESTARTS = 2  # of one run, after its process died without a word
STOPPED = 75  # the trainer's exit status after a signal, everything saved
LOG_LINES = 5
Event = dict[str, Any]


@dataclass
class Worker:
    """One child process and the runs that are its own, started again as often as it must be."""

    names: frozenset[str]
    log: Path  # what the child says on its standard error
    cores: frozenset[int] | None = None  # None: all
    given: tuple[str, ...] = ()  # runs of this child
    packed: bool = False  # whether this child trains them in packs
    alone: bool = False  # a pack died: whose fault it was shows when its runs are trained in turn
    current: str | None = None
    child: subprocess.Popen[str] | None = None
    heard: bool = False  # whether this child has said anything
    moved: bool = False  # whether this child has done a step
    failed: bool = False  # whether this child has told of a run that failed
    log_start: int = 0
    over: bool = False


@dataclass
class Job:
    """Runs under way in child processes."""

    store: Store
    sweep: str
    command: tuple[str, ...]
    restarts: int
    keep_open: tuple[int, ...]
    left: dict[str, RunConfig]  # runs that have not ended, in order
    separate: bool = False  # a process for each run, none starting from another's checkpoint
    again: bool = True  # a child that stops unasked is started again
    pack: int = 0  # runs of a pack, at most; 0 or 1: none
    packs: frozenset[str] = frozenset()  # runs that are trained in one
    workers: list[Worker] = field(default_factory=list)
    deaths: dict[str, int] = field(default_factory=dict)
    events: queue.Queue[tuple[Worker, Event | None]] = field(default_factory=queue.Queue)
    cancelled: bool = False
    error: str | None = None  # why runs are left that will not go on by themselves

    @property
    def over(self) -> bool:
        """Whether nothing is left to happen."""
        return all(worker.over for worker in self.workers)


def submit(
    store: Store,
    sweep: str,
    configs: Sequence[RunConfig],
    *,
    command: Sequence[str] = TRAIN,
    restarts: int = RESTARTS,
    keep_open: Sequence[int] = (),
    separate: bool = False,
    workers: int = 1,
    log: Path | None = None,
    pack: int = 0,
    again: bool = True,
) -> Job:
    """Starts the children on these runs, each in this order. keep_open: file descriptors that they inherit.

    separate: a child for each run in turn, and nothing shared: what sharing saves is measured against it.
    workers: children at once, at most; the machine's cores are divided among them. pack: runs of one, at most.
    log: what the children say; by default STORE/sweeps/SWEEP.log. again: whether a child that saves and stops without
    our asking (exit 75) is started again, as long as it gets somewhere.
    """
    pack = 0 if separate else pack
    packed = graph(configs, pack).packs
    left = {run_id(config): config for config in configs}
    job = Job(
        store=store,
        sweep=sweep,
        command=tuple(command),
        restarts=restarts,
        keep_open=tuple(keep_open),
        left=left,
        separate=separate,
        again=again,
        pack=pack,
        packs=frozenset(name for names in packed for name in names),
    )
    for name, config in left.items():
        write_atomic(store.run_dir(name) / "config.json", dumps(config).encode())
    log = log or store.root / "sweeps" / f"{sweep}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    dealt = shares(configs, 1 if separate else workers, packed)
    for i, (names, cores) in enumerate(zip(dealt, divided(len(dealt)), strict=True)):
        job.workers.append(Worker(names, log.with_name(f"{log.stem}.{i}.log") if i else log, cores))
    for worker in job.workers:
        _start(job, worker)
    return job


def poll(job: Job, timeout: float = 0.2) -> list[Event]:
    """Events since the last call; waits up to `timeout` seconds for the first."""
    out: list[Event] = []
    wait = timeout
    while not job.over:
        try:
            worker, event = job.events.get(timeout=wait) if wait else job.events.get_nowait()
        except queue.Empty:
            break
        wait = 0
        out += _ended(job, worker) if event is None else _noted(job, worker, event)
    return out


def cancel(job: Job) -> None:
    """Asks the children to save and stop: SIGTERM the first time, SIGKILL the second."""
    for worker in job.workers:
        if worker.child is not None and worker.child.poll() is None:
            worker.child.send_signal(signal.SIGKILL if job.cancelled else signal.SIGTERM)
    job.cancelled = True


def _start(job: Job, worker: Worker) -> None:
    own = tuple(name for name in job.left if name in worker.names)
    in_turn = own if worker.alone else tuple(name for name in own if name not in job.packs)
    worker.packed = not in_turn
    worker.given = own[:1] if job.separate else in_turn or own  # first those that share trunks, then packs
    configs = [str(job.store.run_dir(name) / "config.json") for name in worker.given]
    command = [*job.command, *configs, "--store", job.store.address, "--sweep", job.sweep, "--events"]
    command += ["--retries", str(job.restarts), *(ALONE if job.separate else ())]
    command += ("--pack", str(job.pack)) if worker.packed else ()
    with worker.log.open("a") as log:
        worker.log_start = log.tell()
        worker.child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            encoding="utf-8",
            errors="replace",
            pass_fds=job.keep_open,
            env={**os.environ, "SCALING_MACHINE_SHARE": f"{1 / len(job.workers):.6g}"},
            start_new_session=True,  # a Ctrl-C reaches us alone, and we pass it on once
        )
    if worker.cores is not None:  # before it counts them
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(worker.child.pid, worker.cores)
    worker.heard = worker.moved = worker.failed = False
    worker.current = None
    threading.Thread(target=_read, args=(worker, worker.child, job.events), daemon=True).start()


def _read(worker: Worker, child: subprocess.Popen[str], events: queue.Queue[tuple[Worker, Event | None]]) -> None:
    """Puts each event of the child into the queue, then None; what is no event goes to the log."""
    assert child.stdout is not None
    with child.stdout:
        for line in child.stdout:
            try:
                event = json.loads(line)
            except json.JSONDecodeError:
                event = None
            if isinstance(event, dict) and "event" in event:
                events.put((worker, event))
            else:
                with worker.log.open("a") as file:
                    file.write(line)
    child.wait()
    events.put((worker, None))


def _noted(job: Job, worker: Worker, event: Event) -> list[Event]:
    worker.heard = True
    name = event.get("run_id")
    if event["event"] in ("start", "step"):
        worker.current = name
    worker.moved = worker.moved or event["event"] == "step"
    if event["event"] == "end":
        if worker.current == name:
            worker.current = None
        if event["status"] != "stopped":
            job.left.pop(str(name), None)
        if event["status"] == "failed":
            worker.failed = True
            _keep_log(job, worker, str(name))
    return [event]


def _ended(job: Job, worker: Worker) -> list[Event]:
    """What follows from a child's end: over, or another child for what is left."""
    assert worker.child is not None
    status = worker.child.returncode
    out = _from_store(job, worker, ("done", "diverged", "failed") if status in (0, 1) else ("done", "diverged"))
    stops = job.cancelled or (status == STOPPED and not (job.again and worker.moved))
    if stops or not any(name in job.left for name in worker.names):
        worker.over = True
    elif status == STOPPED:
        out.append({"event": "again", "why": "the trainer saved and stopped, asked by somebody else: started again"})
        _start(job, worker)
    elif not any(name in job.left for name in worker.given) or (worker.failed and status in (1, 2)):
        _start(job, worker)  # strictly in order (train --in-order) a run that fails ends its process, which it told
    elif status == 2:
        worker.over, job.error = True, _last_line(worker) or "the trainer refused its arguments"
    else:
        out += _died(job, worker, status)
    return out


def _from_store(job: Job, worker: Worker, statuses: tuple[str, ...]) -> list[Event]:
    """Ends that the child recorded but did not live to tell."""
    out = []
    for name in [name for name in job.left if name in worker.names]:
        record = job.store.read(name)
        if record is None or record.status not in statuses or (record.status == "failed" and name != worker.current):
            continue
        job.left.pop(name)
        event: Event = {"event": "end", "run_id": name, "status": record.status}
        if "loss" in record.final:
            event["loss"] = record.final["loss"]
        if "error" in record.about:
            event["error"] = record.about["error"]
        out.append(event)
    return out


def _died(job: Job, worker: Worker, status: int) -> list[Event]:
    """Blames the run that was under way, and starts again without it once it has had its attempts."""
    guilty = worker.current or next(name for name in job.left if name in worker.given)
    worker.alone = worker.alone or worker.packed
    job.deaths[guilty] = job.deaths.get(guilty, 0) + 1
    how = f"killed by {signal.Signals(-status).name}" if status < 0 else f"ended with exit status {status}"
    log = _log_tail(worker)
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
        _start(job, worker)
        return out
    if not worker.heard and not _begun(
        job, worker, guilty
    ):  # the trainer does not get as far as a run: none is to blame
        worker.over, job.error = True, f"the trainer {how} before its first run, {attempts} times: see {worker.log}"
        return out
    error = f"its process was {how}, {attempts} times" if status < 0 else f"its process {how}, {attempts} times"
    if not _record_failure(job, guilty, error, log):  # another launcher's trainer has it in hand, or has done it
        _start(job, worker)
        return out
    job.left.pop(guilty)
    out.append({"event": "end", "run_id": guilty, "status": "failed", "error": error})
    if any(name in job.left for name in worker.names):
        _start(job, worker)
    else:
        worker.over = True
    return out


def _begun(job: Job, worker: Worker, name: str) -> bool:
    """Whether this child had taken the run in hand (it compiles before it speaks)."""
    record = job.store.read(name)
    return record is not None and worker.child is not None and record.about.get("pid") == worker.child.pid


def _record_failure(job: Job, name: str, error: str, log: list[str]) -> bool:
    """That a run's process died too often, with the last lines it said; False where another process answers for it."""
    config = job.left[name]
    try:
        with job.store.lease(name):
            job.store.fetch_run(name)
            known = job.store.read(name) or Record(
                run_id=name, config=config, status="failed", sweep=job.sweep, params=parameters(config.model),
                flops=run_flops(config),
            )  # fmt: skip
            if known.status in ("done", "diverged"):
                return False
            error += "".join(f": {line}" for line in log[-1:])
            about = {**known.about, "error": error, **({"log": log} if log else {})}
            job.store.write(dataclasses.replace(known, status="failed", about=about))
    except Held:
        return False
    return True


def _keep_log(job: Job, worker: Worker, name: str) -> None:
    """The last lines of a run that failed, in its record: the process that said them goes on with others."""
    log = _log_tail(worker)
    with contextlib.suppress(Held), job.store.lease(name):
        record = job.store.read(name)
        if record is not None and record.status == "failed" and log:
            job.store.write(dataclasses.replace(record, about={**record.about, "log": log}))


def _log_tail(worker: Worker) -> list[str]:
    """The last lines this child left in the log."""
    with worker.log.open("rb") as file:
        file.seek(max(worker.log_start, os.fstat(file.fileno()).st_size - 8192))
        lines = file.read().decode("utf-8", "replace").splitlines()
    return [line for line in lines if line.strip()][-LOG_LINES:]


def _last_line(worker: Worker) -> str | None:
    tail = _log_tail(worker)
    return tail[-1] if tail else None

"""What an engine runs on a node of a cluster: the trainer, restarted until the runs of a task have ended.

A node trains the runs of a trunk in order, as the local engine does on this machine: a branch starts from the
checkpoint of the run before it, and each shape is compiled once. What happens is noted in the store, one JSON object
per line, for the launcher and for the node that takes over:

STORE/sweeps/SWEEP.tasks/KEY.jsonl     "began" (which node), "died" and "end" (as of the local engine), "left" (how)
                         KEY.log       standard error of the trainer
                         TOKEN.stop    made by a launcher whose tasks are to save and stop
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from scaling.config.run import load
from scaling.store.record import Store
from sweeps.engines import local
from sweeps.engines.submission import Submission
from sweeps.planning.plan import FINISHED_STATUSES

FINISHED, UNFINISHED = "ended", "again"  # how a node leaves a task: nothing is left of it, or it must run again
POLL_SECONDS = 0.5
SCONTROL_SECONDS = 60.0  # timeout of SLURM's commands
PORT_BASE, PORT_RANGE = 20_000, 10_000  # coordinator's ports of jobs, by the job's number
Note = dict[str, Any]


class TaskRefused(RuntimeError):
    """The task cannot be trained: to run it again is of no use."""


class StopRequest(NamedTuple):
    """Why the trainer must save and stop."""

    reason: str  # "time" (limit of the job), "ended" (the job is being stopped) or "launcher"
    delivered: bool = False  # whether the trainer has been sent the signal already


@dataclass(frozen=True, kw_only=True)
class NodeTask:
    """Runs of a store, whose configs lie there, for one node to train in this order."""

    store: str  # its folder
    sweep: str
    token: str  # of the launch
    index: int  # within the launch
    run_ids: tuple[str, ...]
    restarts: int  # largest number of restarts of a run after a crash
    command: tuple[str, ...] = ()  # that trains; empty: `python -m scaling train`

    @property
    def key(self) -> str:
        """Name of the task's files."""
        return f"{self.token}-{self.index}"

    @property
    def log(self) -> Path:
        """File of the trainer's standard error."""
        return tasks_folder(self.store, self.sweep) / f"{self.key}.log"

    @property
    def notes(self) -> Path:
        """File of the task's notes."""
        return tasks_folder(self.store, self.sweep) / f"{self.key}.jsonl"

    @property
    def stop(self) -> Path:
        """File that a launcher makes to have the task saved and stopped."""
        return stop_file(self.store, self.sweep, self.token)


def tasks_folder(store: str | Path, sweep: str) -> Path:
    """Returns the folder of the files that the launchers and nodes of a sweep exchange.

    Args:
        store: Folder of the store.
        sweep: Name of the sweep.
    """
    return Path(store) / "sweeps" / f"{sweep}.tasks"


def stop_file(store: str | Path, sweep: str, token: str) -> Path:
    """Returns the file that a launcher makes to have its tasks saved and stopped.

    Args:
        store: Folder of the store.
        sweep: Name of the sweep.
        token: Token of the launch.
    """
    return tasks_folder(store, sweep) / f"{token}.stop"


def append_note(task: NodeTask, note: Note) -> None:
    """Appends a line to a task's notes, on a new line also where a full disk left half a line.

    Args:
        task: The task.
        note: An event.
    """
    task.notes.parent.mkdir(parents=True, exist_ok=True)
    with task.notes.open("ab+") as file:
        file.seek(max(0, file.tell() - 1))
        separator = b"" if file.read() in (b"", b"\n") else b"\n"
        file.write(separator + json.dumps(note).encode() + b"\n")


def read_notes(task: NodeTask) -> list[Note]:
    """Returns the notes of every node that had the task, in order; lines that cannot be parsed are left out."""
    notes = []
    for line in task.notes.read_bytes().split(b"\n")[:-1] if task.notes.exists() else []:
        with contextlib.suppress(ValueError):
            notes.append(json.loads(line))
    return notes


def deaths(notes: list[Note]) -> dict[str, list[Note]]:
    """Returns the "died" notes of each run that died."""
    by_run: dict[str, list[Note]] = {}
    for note in notes:
        if note["event"] == "died":
            by_run.setdefault(note["run_id"], []).append(note)
    return by_run


def failures(notes: list[Note]) -> dict[str, str]:
    """Returns the error of each run that has failed for good since the task was submitted."""
    return {note["run_id"]: note["error"] for note in notes if note["event"] == "end" and note["status"] == "failed"}


def last_transition(notes: list[Note]) -> Note:
    """Returns the last note of a node that began or left the task, empty where none has begun it."""
    return next((note for note in reversed(notes) if note["event"] in ("began", "left")), {})


def unfinished_runs(task: NodeTask, notes: list[Note]) -> list[str]:
    """Returns the runs of a task that have neither ended nor failed, in order.

    Args:
        task: The task.
        notes: Its notes.
    """
    store, failed = Store(task.store), failures(notes)

    def is_over(name: str) -> bool:
        record = store.read(name)
        return name in failed or (record is not None and record.status in FINISHED_STATUSES)

    return [name for name in task.run_ids if not is_over(name)]


def run_task(task: NodeTask, stop_request: Callable[[], StopRequest | None] = lambda: None, node: str = "") -> str:
    """Trains the unfinished runs of a task; returns FINISHED, or UNFINISHED where the task must run again.

    Args:
        task: The task.
        stop_request: Called every POLL_SECONDS: why the trainer must save and stop, None: it continues.
        node: Name of the node, for the notes.

    Raises:
        TaskRefused: To run the task again is of no use.
    """
    append_note(task, {"event": "began", "node": node, "pid": os.getpid()})
    notes = read_notes(task)
    try:
        outcome = _train(task, notes, unfinished_runs(task, notes), stop_request)
    except TaskRefused as error:
        append_note(task, {"event": "left", "how": str(error)})
        raise
    append_note(task, {"event": "left", "how": outcome})
    return outcome


def _train(task: NodeTask, notes: list[Note], names: list[str], stop_request: Callable[[], StopRequest | None]) -> str:
    if not names:
        return FINISHED
    store = Store(task.store)
    configs = [load(store.run_dir(name) / "config.json") for name in names]
    job = local.submit(
        Submission(store=store, sweep=task.sweep, configs=configs, command=task.command),
        local.LocalOptions(restarts=task.restarts, log=task.log, restart_stopped=False),
    )
    job.deaths.update({name: len(lines) for name, lines in deaths(notes).items() if name in names})
    progressed, request = _follow(task, job, stop_request)
    if job.error is not None:
        raise TaskRefused(job.error)
    if job.remaining and not progressed and (request is None or request.reason == "time"):
        limit = "within its time limit: give it more with --option time=" if request else "before it stopped by itself"
        raise TaskRefused(f"the trainer did no step {limit}")
    return UNFINISHED if job.remaining else FINISHED


def _follow(
    task: NodeTask, job: local.Job, stop_request: Callable[[], StopRequest | None]
) -> tuple[bool, StopRequest | None]:
    """Polls until the job is over. Returns whether it did a step or ended a run, and why it had to stop."""
    progressed, request = False, None
    while not job.finished:
        for event in local.poll(job, POLL_SECONDS):
            progressed = progressed or event["event"] in ("step", "end")
            if event["event"] == "died" or (event["event"] == "end" and event["status"] != "stopped"):
                append_note(task, event)
        if request is None:
            request = stop_request() or (StopRequest("launcher") if task.stop.exists() else None)
            if request is not None and request.delivered:
                job.cancelled = True  # a second signal would end the trainer before it has saved
            elif request is not None:
                local.cancel(job)
    return progressed, request


class SlurmSignals:
    """Signals of SLURM to a job: SIGUSR2 before its time limit to this process, SIGTERM to all processes at its end."""

    def __init__(self) -> None:
        self.request: StopRequest | None = None
        signal.signal(signal.SIGUSR2, lambda *_: self._keep_first(StopRequest("time")))
        signal.signal(signal.SIGTERM, lambda *_: self._keep_first(StopRequest("ended", delivered=True)))

    def _keep_first(self, request: StopRequest) -> None:
        self.request = self.request or request


def run_slurm_task(task: NodeTask) -> str:
    """Runs a task as a job of SLURM; an unfinished one goes back into the queue.

    SLURM itself requeues a job that is preempted or whose node is lost, and does not requeue one that is cancelled.
    """
    signals, nodes = SlurmSignals(), os.environ.get("SLURM_JOB_NUM_NODES", "1")
    if nodes != "1":
        first_node = node_address(os.environ["SLURMD_NODENAME"])
        command = srun_command(int(nodes), first_node, os.environ["SLURM_JOB_ID"], task.command)
        task = dataclasses.replace(task, command=tuple(command))
    outcome = run_task(task, lambda: signals.request, node=os.environ.get("SLURMD_NODENAME", ""))
    stopped = task.stop.exists() or (signals.request is not None and signals.request.reason == "ended")
    if outcome == UNFINISHED and not stopped:
        requeue = ["scontrol", "requeue", os.environ["SLURM_JOB_ID"]]
        subprocess.run(requeue, check=True, timeout=SCONTROL_SECONDS)
    return outcome


def srun_command(nodes: int, first_node: str, job: str, command: Sequence[str] = ()) -> list[str]:
    """Returns the command that trains one run on several nodes of a job, a process on each.

    The runs are trained strictly in order: a run that fails on one node must not leave it at another run than the
    other nodes.

    Args:
        nodes: Number of nodes.
        first_node: Address of the first one (the others may not resolve its name).
        job: Number of the job, which decides the coordinator's port.
        command: Command that trains; empty: `python -m scaling train`.
    """
    port = str(PORT_BASE + int(job) % PORT_RANGE) if job.isdigit() else "PORT"
    script = f'exec "$0" "$@" --in-order --hosts {nodes} --host "$SLURM_PROCID" --coordinator {first_node}:{port}'
    srun = ["srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1", "--kill-on-bad-exit=0"]
    return [*srun, "bash", "-c", script, *(command or local.TRAIN)]


def node_address(node: str) -> str:
    """Returns the address by which SLURM reaches a node."""
    show = ["scontrol", "show", "node", node, "--oneliner"]
    output = subprocess.run(show, capture_output=True, text=True, check=True, timeout=SCONTROL_SECONDS).stdout
    return next(field.partition("=")[2] for field in output.split() if field.startswith("NodeAddr="))

"""Runs a task on a node of a cluster: starts the trainer and restarts it until the task's runs have ended.

A node trains the runs of a trunk in order with the local engine: a branch starts from the checkpoint of the previous
run, and each shape is compiled once. Notes for the launcher, and for a node that continues the task, are written to the
store, one JSON object per line:

STORE/sweeps/SWEEP.tasks/KEY.jsonl     "began" (node), "died" and "end" (as for the local engine), "left" (how)
                         KEY.log       standard error of the trainer
                         TOKEN.stop    created by a launcher to make its tasks save and stop
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

from scaling.config.os_errors import name_file
from scaling.config.run import load
from scaling.config.user_code.blocks import use_code
from scaling.store.record import Store
from sweeps.engines import local
from sweeps.engines.submission import TRAIN, Submission, code_sources
from sweeps.planning.plan import FINISHED_STATUSES

FINISHED, UNFINISHED = "ended", "again"  # outcome of a task on a node: all runs have ended, or it must run again
POLL_SECONDS = 0.5
SCONTROL_SECONDS = 60.0  # timeout of SLURM's commands
PORT_BASE, PORT_RANGE = 20_000, 10_000  # ports of coordinators, chosen by the number of the job
Note = dict[str, Any]
NOTE_FIELDS: dict[str, dict[str, type]] = {  # fields of each event that are read
    "died": {"run_id": str, "how": str, "log": list},
    "end": {"run_id": str, "status": str},
    "left": {"how": str},
}


class TaskRefused(RuntimeError):
    """The task cannot be trained, and running it again would not help."""


class StopRequest(NamedTuple):
    """Why the trainer must save and stop."""

    reason: str  # "time" (limit of the job), "ended" (the job is being stopped) or "launcher"
    delivered: bool = False  # whether the trainer has already received the signal


@dataclass(frozen=True, kw_only=True)
class NodeTask:
    """Runs that one node trains in order; their configs are in the store."""

    store: str  # folder of the store
    sweep: str
    token: str  # token of the launch
    index: int  # index of the task within the launch
    run_ids: tuple[str, ...]
    restarts: int  # largest number of restarts of a run after a crash
    command: tuple[str, ...] = ()  # command that trains; empty: `python -m scaling train`
    code: tuple[str, ...] = ()  # code of the user, as in Submission

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
        """File that a launcher creates to make the task save and stop."""
        return stop_file(self.store, self.sweep, self.token)


def tasks_folder(store: str | Path, sweep: str) -> Path:
    """Returns the folder of the files that the launchers and nodes of a sweep exchange.

    Args:
        store: Folder of the store.
        sweep: Name of the sweep.
    """
    return Path(store) / "sweeps" / f"{sweep}.tasks"


def stop_file(store: str | Path, sweep: str, token: str) -> Path:
    """Returns the file that a launcher creates to make its tasks save and stop.

    Args:
        store: Folder of the store.
        sweep: Name of the sweep.
        token: Token of the launch.
    """
    return tasks_folder(store, sweep) / f"{token}.stop"


def append_note(task: NodeTask, note: Note) -> None:
    """Appends a line to a task's notes; if the last line is incomplete, starts a new line first.

    Args:
        task: The task.
        note: An event.
    """
    task.notes.parent.mkdir(parents=True, exist_ok=True)
    with name_file(task.notes), task.notes.open("ab+") as file:
        file.seek(max(0, file.tell() - 1))
        separator = b"" if file.read() in (b"", b"\n") else b"\n"
        file.write(separator + json.dumps(note).encode() + b"\n")


def read_notes(task: NodeTask) -> list[Note]:
    """Returns the notes of all nodes that ran the task, in order, without lines that are not notes."""
    notes = []
    for line in task.notes.read_bytes().split(b"\n")[:-1] if task.notes.exists() else []:
        with contextlib.suppress(ValueError, RecursionError):
            note = json.loads(line)
            if is_note(note):
                notes.append(note)
    return notes


def is_note(value: Any) -> bool:
    """Returns whether parsed JSON is a note with the fields of its event."""
    if not isinstance(value, dict) or not isinstance(value.get("event"), str):
        return False
    return all(isinstance(value.get(name), kind) for name, kind in NOTE_FIELDS.get(value["event"], {}).items())


def deaths(notes: list[Note]) -> dict[str, list[Note]]:
    """Returns the "died" notes of each run that died."""
    by_run: dict[str, list[Note]] = {}
    for note in notes:
        if note["event"] == "died":
            by_run.setdefault(note["run_id"], []).append(note)
    return by_run


def failures(notes: list[Note]) -> dict[str, str]:
    """Returns the error of each run that has failed permanently since the task was submitted."""
    failed = [note for note in notes if note["event"] == "end" and note["status"] == "failed"]
    return {note["run_id"]: str(note.get("error", "no reason was recorded")) for note in failed}


def last_transition(notes: list[Note]) -> Note:
    """Returns the last "began" or "left" note, or an empty note if no node has started the task."""
    return next((note for note in reversed(notes) if note["event"] in ("began", "left")), {})


def unfinished_runs(task: NodeTask, notes: list[Note]) -> list[str]:
    """Returns the runs of a task that have neither ended nor failed, in order.

    Args:
        task: The task.
        notes: Its notes.
    """
    store, failed = Store(task.store), failures(notes)

    def is_over(name: str) -> bool:
        record = store.read_intact(name)
        return name in failed or (record is not None and record.status in FINISHED_STATUSES)

    return [name for name in task.run_ids if not is_over(name)]


def run_task(task: NodeTask, stop_request: Callable[[], StopRequest | None] = lambda: None, node: str = "") -> str:
    """Trains the unfinished runs of a task; returns FINISHED, or UNFINISHED if the task must run again.

    Args:
        task: The task.
        stop_request: Called every POLL_SECONDS; returns why the trainer must save and stop, or None to continue.
        node: Name of the node, for the notes.

    Raises:
        TaskRefused: The task cannot be trained, and running it again would not help.
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
    use_code(code_sources(task.code, task.store))  # the launcher's command named them; sizes of the runs need them
    configs = [load(store.run_dir(name) / "config.json") for name in names]
    job = local.submit(
        Submission(store=store, sweep=task.sweep, configs=configs, command=task.command, code=task.code),
        local.LocalOptions(restarts=task.restarts, log=task.log, restart_stopped=False),
    )
    job.deaths.update({name: len(lines) for name, lines in deaths(notes).items() if name in names})
    progressed, request = _follow(task, job, stop_request)
    if job.error is not None:
        raise TaskRefused(job.error)
    if job.remaining and not progressed and (request is None or request.reason == "time"):
        limit = "within its time limit: increase --option time=" if request else "before it stopped by itself"
        raise TaskRefused(f"the trainer did not finish a step {limit}")
    return UNFINISHED if job.remaining else FINISHED


def _follow(
    task: NodeTask, job: local.Job, stop_request: Callable[[], StopRequest | None]
) -> tuple[bool, StopRequest | None]:
    """Polls until the job is finished; returns whether it did a step or ended a run, and the stop request, if any."""
    progressed, request = False, None
    while not job.finished:
        for event in local.poll(job, POLL_SECONDS):
            progressed = progressed or event["event"] in ("step", "end")
            if event["event"] == "died" or (event["event"] == "end" and event["status"] != "stopped"):
                append_note(task, event)
        if request is None:
            request = stop_request() or (StopRequest("launcher") if task.stop.exists() else None)
            if request is not None and request.delivered:
                job.cancelled = True  # a second signal would kill the trainer before it has saved
            elif request is not None:
                local.cancel(job)
    return progressed, request


class SlurmSignals:
    """Handles SLURM's signals: SIGUSR2 to this process before the time limit, SIGTERM to all processes at the end."""

    def __init__(self) -> None:
        self.request: StopRequest | None = None
        signal.signal(signal.SIGUSR2, lambda *_: self._keep_first(StopRequest("time")))
        signal.signal(signal.SIGTERM, lambda *_: self._keep_first(StopRequest("ended", delivered=True)))

    def _keep_first(self, request: StopRequest) -> None:
        self.request = self.request or request


def run_slurm_task(task: NodeTask) -> str:
    """Runs a task as a SLURM job and requeues the job if the task is unfinished.

    SLURM itself requeues a job that was preempted or lost its node, but not a job that was cancelled.
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
    """Returns the command that trains one run on several nodes of a job, with one process per node.

    The runs are trained strictly in order, so that after a failure on one node all nodes continue with the same run.

    Args:
        nodes: Number of nodes.
        first_node: Address of the first node (other nodes may not resolve its name).
        job: Number of the job, which determines the coordinator's port.
        command: Command that trains; empty: `python -m scaling train`.
    """
    port = str(PORT_BASE + int(job) % PORT_RANGE) if job.isdigit() else "PORT"
    script = f'exec "$0" "$@" --in-order --hosts {nodes} --host "$SLURM_PROCID" --coordinator {first_node}:{port}'
    srun = ["srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1", "--kill-on-bad-exit=0"]
    return [*srun, "bash", "-c", script, *(command or TRAIN)]


def node_address(node: str) -> str:
    """Returns the network address of a node in SLURM."""
    show = ["scontrol", "show", "node", node, "--oneliner"]
    output = subprocess.run(show, capture_output=True, text=True, check=True, timeout=SCONTROL_SECONDS).stdout
    return next(field.partition("=")[2] for field in output.split() if field.startswith("NodeAddr="))

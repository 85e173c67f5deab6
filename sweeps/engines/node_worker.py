"""The part of an engine that runs on a node of a cluster: keeps the trainer at its runs until they have ended.

A node is given the runs of a trunk, in order, and trains them as this machine would (engines/local.py): a branch
starts from what the run before it left, and a shape is compiled once. What happened is noted in the store, a line of
JSON each, for the launcher and for the node that takes the work over:

STORE/sweeps/SWEEP.tasks/KEY.jsonl     "began" (which node), "died" and "end" (as of the local engine), "left" (how)
                         KEY.log       what the trainer said
                         TOKEN.stop    made by a launcher that wants what it gave out saved and stopped
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

ENDED, AGAIN = "ended", "again"  # how a node leaves its work: nothing is left of it, or it is to be taken up again
POLL = 0.5  # seconds
Note = dict[str, Any]


class Refused(RuntimeError):
    """To try again is of no use."""


class Asked(NamedTuple):
    """Why the trainer must save and stop, and whether it has been told already."""

    why: str
    told: bool = False


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a node is given: runs of a store, whose configs lie there, to train in this order."""

    store: str
    sweep: str
    token: str  # of the launch that gave it out
    index: int
    names: tuple[str, ...]
    restarts: int
    command: tuple[str, ...] = ()  # that trains; ours where empty

    @property
    def key(self) -> str:
        return f"{self.token}-{self.index}"

    @property
    def log(self) -> Path:
        return folder(self.store, self.sweep) / f"{self.key}.log"

    @property
    def notes(self) -> Path:
        return folder(self.store, self.sweep) / f"{self.key}.jsonl"

    @property
    def stop(self) -> Path:
        return stop_file(self.store, self.sweep, self.token)


def folder(store: str | Path, sweep: str) -> Path:
    """Where the launchers and nodes of a sweep keep what they tell each other."""
    return Path(store) / "sweeps" / f"{sweep}.tasks"


def stop_file(store: str | Path, sweep: str, token: str) -> Path:
    """What a launcher of that token makes that wants its work saved and stopped."""
    return folder(store, sweep) / f"{token}.stop"


def note(work: Work, line: Note) -> None:
    """Adds a line to the notes: one of its own, where a full disk left half a line."""
    work.notes.parent.mkdir(parents=True, exist_ok=True)
    with work.notes.open("ab+") as file:
        file.seek(max(0, file.tell() - 1))
        begin = b"" if file.read() in (b"", b"\n") else b"\n"
        file.write(begin + json.dumps(line).encode() + b"\n")


def notes(work: Work) -> list[Note]:
    """What every node that had the work noted, in order; what cannot be read, as half a line, is left out."""
    said = []
    for line in work.notes.read_bytes().split(b"\n")[:-1] if work.notes.exists() else []:
        with contextlib.suppress(ValueError):
            said.append(json.loads(line))
    return said


def deaths(said: list[Note]) -> dict[str, list[Note]]:
    """The deaths of each run that died."""
    out: dict[str, list[Note]] = {}
    for line in said:
        if line["event"] == "died":
            out.setdefault(line["run_id"], []).append(line)
    return out


def failures(said: list[Note]) -> dict[str, str]:
    """Why, by run that has failed for good since the work was given out."""
    return {line["run_id"]: line["error"] for line in said if line["event"] == "end" and line["status"] == "failed"}


def whereabouts(said: list[Note]) -> Note:
    """The newest word of a node on having the work, or on having left it; empty where none has had it."""
    return next((line for line in reversed(said) if line["event"] in ("began", "left")), {})


def left(work: Work, said: list[Note]) -> list[str]:
    """The runs that are not over, in order."""
    store, failed = Store(work.store), failures(said)

    def over(name: str) -> bool:
        record = store.read(name)
        return name in failed or (record is not None and record.status in ("done", "diverged"))

    return [name for name in work.names if not over(name)]


def keep(work: Work, asked: Callable[[], Asked | None] = lambda: None, node: str = "") -> str:
    """Trains what is left, and says how the work was left. Refused where to try again is of no use.

    asked: why the trainer must save and stop, if it must; asked twice a second.
    """
    note(work, {"event": "began", "node": node, "pid": os.getpid()})
    said = notes(work)
    try:
        how = _train(work, said, left(work, said), asked)
    except Refused as error:
        note(work, {"event": "left", "how": str(error)})
        raise
    note(work, {"event": "left", "how": how})
    return how


def _train(work: Work, said: list[Note], todo: list[str], asked: Callable[[], Asked | None]) -> str:
    if not todo:
        return ENDED
    store = Store(work.store)
    configs = [load(store.run_dir(name) / "config.json") for name in todo]
    command = work.command or local.TRAIN
    job = local.submit(store, work.sweep, configs, command=command, restarts=work.restarts, log=work.log, again=False)
    job.deaths.update({name: len(lines) for name, lines in deaths(said).items() if name in todo})
    moved, reason = _follow(work, job, asked)
    if job.error is not None:
        raise Refused(job.error)
    if job.left and not moved and (reason is None or reason.why == "time"):
        when = "within its time limit: give it more with --option time=" if reason else "before it stopped by itself"
        raise Refused(f"the trainer did no step {when}")
    return AGAIN if job.left else ENDED


def _follow(work: Work, job: local.Job, asked: Callable[[], Asked | None]) -> tuple[bool, Asked | None]:
    """Until the job is over: whether it did a step or ended a run, and why it had to stop."""
    moved, reason = False, None
    while not job.over:
        for event in local.poll(job, POLL):
            moved = moved or event["event"] in ("step", "end")
            if event["event"] == "died" or (event["event"] == "end" and event["status"] != "stopped"):
                note(work, event)
        if reason is None:
            reason = asked() or (Asked("launcher") if work.stop.exists() else None)
            if reason is not None and reason.told:
                job.cancelled = True  # told once more, it would end before it has saved
            elif reason is not None:
                local.cancel(job)
    return moved, reason


class Signals:
    """What SLURM says to a job: SIGUSR2 before its time limit to us alone, SIGTERM to every process at its end."""

    def __init__(self) -> None:
        self.heard: Asked | None = None
        signal.signal(signal.SIGUSR2, lambda *_: self._hear(Asked("time")))
        signal.signal(signal.SIGTERM, lambda *_: self._hear(Asked("ended", told=True)))

    def _hear(self, what: Asked) -> None:
        self.heard = self.heard or what


def keep_in_slurm(work: Work) -> str:
    """As a job of SLURM: what is left at its time limit, or by a trainer that asks for it, goes back into the queue.

    A job that is preempted, or whose node is lost, is put back by SLURM itself; one that is cancelled is not.
    """
    signals, nodes = Signals(), os.environ.get("SLURM_JOB_NUM_NODES", "1")
    if nodes != "1":
        command = spread(int(nodes), address(os.environ["SLURMD_NODENAME"]), os.environ["SLURM_JOB_ID"], work.command)
        work = dataclasses.replace(work, command=tuple(command))
    how = keep(work, lambda: signals.heard, node=os.environ.get("SLURMD_NODENAME", ""))
    by_us = work.stop.exists() or (signals.heard is not None and signals.heard.why == "ended")
    if how == AGAIN and not by_us:
        subprocess.run(["scontrol", "requeue", os.environ["SLURM_JOB_ID"]], check=True, timeout=60)
    return how


def spread(nodes: int, first: str, job: str, command: Sequence[str] = ()) -> list[str]:
    """A run's command over the nodes of a job: a process on each, which knows its number and the first one's address.

    first: an address, for a node's name need not be known to the others. job: its number, for a port of its own. In
    order: a run that fails on one of them must not leave it at another run than the others.
    """
    port = str(20_000 + int(job) % 10_000) if job.isdigit() else "PORT"
    script = f'exec "$0" "$@" --in-order --hosts {nodes} --host "$SLURM_PROCID" --coordinator {first}:{port}'
    srun = ["srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1", "--kill-on-bad-exit=0"]
    return [*srun, "bash", "-c", script, *(command or local.TRAIN)]


def address(node: str) -> str:
    """Where SLURM reaches a node."""
    said = subprocess.run(
        ["scontrol", "show", "node", node, "--oneliner"], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    return next(word.partition("=")[2] for word in said.split() if word.startswith("NodeAddr="))

"""What engines on a cluster of one's own have in common: the runs of a trunk are a task, which one node has at a time.

A branch needs what its trunk left and they share a compiled step, so they stay together, in order: as many tasks as
trunks, each as long as its runs; chained jobs would each wait in the queue and compile anew. What crashed is given out
again a stated number of times; what lost its node, was preempted or asks to be run again, as often as it must be.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from scaling.config.run import RunConfig, run_id
from scaling.store.files import write_json
from scaling.store.record import Store
from sweeps.engines import cluster_jobs
from sweeps.engines.cluster_jobs import State
from sweeps.engines.node_worker import Note, Work, deaths, failures, folder, left, note, notes
from sweeps.errors import SweepError
from sweeps.planning import workers

TRAIN = ("python", "-m", "scaling", "train")
WAITING, RUNNING, LOST, CRASHED, CANCELLED, REFUSED = "waiting", "running", "lost", "crashed", "cancelled", "refused"


class Outcome(NamedTuple):
    """A task as its cluster sees it: one of the phases above, and why."""

    phase: str
    why: str = ""


@dataclass
class Tasks:
    """The tasks of a launch, given out again as often as they must be."""

    store: Store
    sweep: str
    attempts: int
    works: list[Work]
    start: Callable[[list[Work]], None]  # gives these to the cluster; what it refuses is lost at the next look
    look: Callable[[], Mapping[str, Outcome]]  # by key, of all of them
    cancelled: bool = False
    over: set[str] = field(default_factory=set)  # keys of tasks that nothing is left of, or that are not tried again

    def states(self) -> dict[str, State]:
        """How each run stands, for engines/gang.py; what must be given out again is."""
        outcomes, out, again = self.look(), dict[str, State](), list[Work]()
        for work in self.works:
            said = notes(work)
            for name, why in failures(said).items():
                out[name] = State("failed", why, len(deaths(said).get(name, ())))
            todo = left(work, said)
            outcome = outcomes[work.key]
            if not todo or outcome.phase == CANCELLED or (self.cancelled and outcome.phase not in (WAITING, RUNNING)):
                continue
            if outcome.phase == REFUSED:
                out |= {name: State("failed", outcome.why) for name in todo}
                continue
            if outcome.phase == CRASHED:
                out |= self._blame(work, todo[0], said, outcome.why)
                said = notes(work)
                todo = left(work, said)
            if todo and outcome.phase in (CRASHED, LOST):
                again.append(work)
            out |= {name: _state(name, deaths(said), outcome.phase == RUNNING and name == todo[0]) for name in todo}
        if again:
            try:
                self.start(again)
            except SweepError:  # as of a limit on a user's jobs: once more at the next look, while others go on
                if not any(outcome.phase in (WAITING, RUNNING) for outcome in outcomes.values()):
                    raise
        return out

    def _blame(self, work: Work, name: str, said: list[Note], why: str) -> dict[str, State]:
        """Notes that the run under way took its node's process with it, for good once it has had its attempts."""
        count, lines = len(deaths(said).get(name, ())) + 1, tail(work.log)
        note(work, {"event": "died", "run_id": name, "how": why, "log": lines, "attempt": count,
                    "attempts": self.attempts})  # fmt: skip
        if count < self.attempts:
            return {}
        error = f"its job {why}, {count} times" + (f": {lines[-1]}" if lines else "")
        note(work, {"event": "end", "run_id": name, "status": "failed", "error": error})
        return {name: State("failed", error, count)}

    def log(self, name: str) -> list[str]:
        """The last lines that the trainer of a run said: before it died, where it did."""
        work = next(work for work in self.works if name in work.names)
        died = deaths(notes(work)).get(name)
        return died[-1]["log"] if died else tail(work.log)


def _state(name: str, dead: Mapping[str, Sequence[Note]], running: bool) -> State:
    mine = dead.get(name, ())
    return State("running" if running else "waiting", mine[-1]["how"] if mine else "", len(mine))


def tail(path: Path) -> list[str]:
    """The last lines of a log that say something; none where there is no log."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 8192))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return []
    return [line for line in lines if line.strip()][-cluster_jobs.LOG_LINES :]


def token() -> str:
    """A new name for what a launch gives out."""
    return secrets.token_hex(4)


def shared_out(
    store: Store, sweep: str, configs: Sequence[RunConfig], *, jobs: int, restarts: int, command: Sequence[str], of: str
) -> list[Work]:
    """The tasks: a trunk each, or at most `jobs` of several trunks. of: the token of the launch."""
    order = [run_id(config) for config in configs]
    dealt = workers.shares(configs, jobs or len(configs)) if configs else []
    return [
        Work(store=str(store.root.absolute()), sweep=sweep, token=of, index=i, restarts=restarts,
             names=tuple(name for name in order if name in names), command=tuple(command))
        for i, names in enumerate(dealt)
    ]  # fmt: skip


def train_words(store: Store, work: Work, command: Sequence[str] = TRAIN) -> list[str]:
    """The command that a node keeps at its work, where nothing has happened yet."""
    configs = [str(store.run_dir(name).absolute() / "config.json") for name in work.names]
    return [*command, *configs, "--store", work.store, "--sweep", work.sweep, "--events"]


def write_given(store: Store, sweep: str, name: str, works: Sequence[Work]) -> Path:
    """Keeps what is given to the cluster under a name, for the launch that follows it: written before it is given."""
    rows = [{"token": work.token, "index": work.index, "names": work.names, "restarts": work.restarts,
             "command": work.command} for work in works]  # fmt: skip
    path = folder(store.root, sweep) / f"{name}.json"
    write_json(path, rows)
    return path


def read_given(store: Store, sweep: str) -> dict[str, list[Work]]:
    """What was given to the cluster, by name."""
    return {
        path.stem: [
            Work(store=str(store.root.absolute()), sweep=sweep, token=row["token"], index=row["index"],
                 names=tuple(row["names"]), restarts=row["restarts"], command=tuple(row["command"]))
            for row in json.loads(path.read_text())
        ]
        for path in sorted(folder(store.root, sweep).glob("*.json"))
    }  # fmt: skip

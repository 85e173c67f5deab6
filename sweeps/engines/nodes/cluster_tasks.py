"""Tasks of a cluster whose nodes mount the store (SLURM, Ray); a task trains the runs of one or more trunks.

The runs of a trunk are in one task, in order, because a branch needs the checkpoint of its trunk and they share a
compiled step; chained jobs would each wait in the queue and compile again. A task that crashed is resubmitted at most
`restarts` times; a task that lost its node, was preempted or is unfinished, as often as needed.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from scaling.config.run import run_id
from scaling.store.files import DamagedFileError, read_json, write_json
from scaling.store.record import Store
from sweeps.engines.cluster_jobs import FAILED, RUNNING, WAITING, Job, JobState
from sweeps.engines.events import failure_event, log_tail, with_last_line
from sweeps.engines.nodes.node_worker import (
    NodeTask,
    Note,
    append_note,
    deaths,
    failures,
    read_notes,
    tasks_folder,
    unfinished_runs,
)
from sweeps.engines.submission import Submission, code_flags, write_configs
from sweeps.errors import SweepError
from sweeps.planning import workers

TASKS_REMEDY = "if its job is still in the queue, cancel it; then remove the file"
TRAIN = ("python", "-m", "scaling", "train")
# Phases of a task besides WAITING and RUNNING. LOST: its node was lost, or the task must run again; REFUSED: the task
# cannot be trained, and running it again would not help.
LOST, CRASHED, CANCELLED, REFUSED = "lost", "crashed", "cancelled", "refused"


class TaskState(NamedTuple):
    """State of a task in its cluster."""

    phase: str  # WAITING, RUNNING, LOST, CRASHED, CANCELLED or REFUSED
    reason: str = ""


class TaskCluster(Protocol):
    """A cluster that runs tasks."""

    def start(self, tasks: Sequence[NodeTask]) -> None:
        """Submits tasks; a task that the cluster rejects is LOST at the next poll."""

    def task_states(self, tasks: Sequence[NodeTask]) -> Mapping[str, TaskState]:
        """Returns the state of each task, by key."""

    def stop(self, tasks: Sequence[NodeTask]) -> None:
        """Makes the tasks save and stop; the second call kills them."""


@dataclass
class TaskQueue:
    """The tasks of a launch, which are resubmitted as often as necessary."""

    store: Store
    sweep: str
    max_attempts: int  # attempts of a run that crashes
    tasks: list[NodeTask]
    cluster: TaskCluster
    cancelled: bool = False

    def run_states(self) -> dict[str, JobState]:
        """Returns the state of each run (for `cluster_jobs.Job`) and resubmits the tasks that must run again."""
        task_states, states, resubmitted = self.cluster.task_states(self.tasks), dict[str, JobState](), list[NodeTask]()
        for task in self.tasks:
            notes = read_notes(task)
            for name, error in failures(notes).items():
                states[name] = JobState(FAILED, error, len(deaths(notes).get(name, ())))
            states |= self._unfinished_states(task, task_states[task.key], notes, resubmitted)
        if resubmitted:
            try:
                self.cluster.start(resubmitted)
            except SweepError:  # for example a limit on jobs: retried at the next poll, while other tasks continue
                if not any(state.phase in (WAITING, RUNNING) for state in task_states.values()):
                    raise
        return states

    def stop(self) -> None:
        """Makes all tasks save and stop, without resubmitting them; the second call kills them."""
        self.cancelled = True
        self.cluster.stop(self.tasks)

    def log_lines(self, name: str) -> list[str]:
        """Returns the last log lines of a run's trainer, or those before its last crash."""
        task = next(task for task in self.tasks if name in task.run_ids)
        crashes = deaths(read_notes(task)).get(name)
        return crashes[-1]["log"] if crashes else log_tail(task.log)

    def _unfinished_states(
        self, task: NodeTask, state: TaskState, notes: list[Note], resubmitted: list[NodeTask]
    ) -> dict[str, JobState]:
        """Returns the states of a task's unfinished runs; adds the task to `resubmitted` if it must run again."""
        names = unfinished_runs(task, notes)
        if not names or state.phase == CANCELLED or (self.cancelled and state.phase not in (WAITING, RUNNING)):
            return {}
        if state.phase == REFUSED:
            return {name: JobState(FAILED, state.reason) for name in names}
        states: dict[str, JobState] = {}
        if state.phase == CRASHED:
            states |= self._count_crash(task, names[0], notes, state.reason)
            notes = read_notes(task)
            names = unfinished_runs(task, notes)
        if names and state.phase in (CRASHED, LOST):
            resubmitted.append(task)
        crashes = deaths(notes)
        for i, name in enumerate(names):
            states[name] = _run_state(crashes.get(name, ()), running=state.phase == RUNNING and i == 0)
        return states

    def _count_crash(self, task: NodeTask, name: str, notes: list[Note], reason: str) -> dict[str, JobState]:
        """Adds a note that a run crashed with its node's process, and a note of its failure after the last attempt."""
        count, lines = len(deaths(notes).get(name, ())) + 1, log_tail(task.log)
        append_note(task, {"event": "died", "run_id": name, "how": reason, "log": lines, "attempt": count,
                           "attempts": self.max_attempts})  # fmt: skip
        if count < self.max_attempts:
            return {}
        error = with_last_line(f"its job {reason}, {count} times", lines)
        append_note(task, failure_event(name, error))
        return {name: JobState(FAILED, error, count)}


def _run_state(crashes: Sequence[Note], running: bool) -> JobState:
    return JobState(RUNNING if running else WAITING, crashes[-1]["how"] if crashes else "", len(crashes))


def new_token() -> str:
    """Returns a new random token for the tasks of a launch."""
    return secrets.token_hex(4)


def divide_runs(submission: Submission, token: str, *, jobs: int, restarts: int) -> list[NodeTask]:
    """Returns the tasks of a launch.

    Args:
        submission: The runs.
        token: Token of the launch.
        jobs: Largest number of tasks, each with several trunks; 0: one task per trunk.
        restarts: Largest number of restarts of a run after a crash.
    """
    configs, store = submission.configs, submission.store
    order = [run_id(config) for config in configs]
    shares = workers.assign_runs(configs, jobs or len(configs), starts=submission.starts) if configs else []
    return [
        NodeTask(store=str(store.root.absolute()), sweep=submission.sweep, token=token, index=i, restarts=restarts,
                 run_ids=tuple(name for name in order if name in names), command=tuple(submission.command),
                 code=tuple(submission.code))
        for i, names in enumerate(shares)
    ]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class FollowOptions:
    """How a launcher follows its tasks.

    Attributes:
        restarts: Largest number of restarts of a run after a crash.
        poll_seconds: Seconds between queries of the cluster.
        stop_command: Shell command that stops the tasks, for messages.
    """

    restarts: int
    poll_seconds: float
    stop_command: str


def submit_tasks(
    submission: Submission,
    cluster: TaskCluster,
    tasks: list[NodeTask],
    following: FollowOptions,
    active: Sequence[NodeTask] = (),
) -> Job:
    """Submits tasks to a cluster.

    Args:
        submission: The runs.
        cluster: The cluster.
        tasks: The tasks to submit.
        following: How the launcher follows the tasks.
        active: Active tasks of earlier launches, which are followed as well.
    """
    remaining = write_configs(submission)
    queue = TaskQueue(submission.store, submission.sweep, following.restarts + 1, [*active, *tasks], cluster)
    cluster.start(tasks)
    return Job(
        store=submission.store, sweep=submission.sweep, remaining=remaining, max_attempts=following.restarts + 1,
        run_states=queue.run_states, delete_jobs=queue.stop, delete_command=following.stop_command,
        log_lines=queue.log_lines, poll_seconds=following.poll_seconds,
    )  # fmt: skip


def node_command(store: Store, task: NodeTask, command: Sequence[str] = TRAIN) -> list[str]:
    """Returns the command that a node runs for a new task and restarts on failure.

    Args:
        store: The sweep's store.
        task: The task.
        command: Command that trains.
    """
    configs = [str(store.run_dir(name).absolute() / "config.json") for name in task.run_ids]
    return [
        *command,
        *configs,
        "--store",
        task.store,
        "--sweep",
        task.sweep,
        "--events",
        *code_flags(task.code, task.store),
    ]


def write_tasks(store: Store, sweep: str, name: str, tasks: Sequence[NodeTask]) -> Path:
    """Writes the tasks of a job to the store before it is submitted, so that a later launch can follow it.

    Args:
        store: The sweep's store.
        sweep: Name of the sweep.
        name: Name of the job.
        tasks: Its tasks, in order.
    """
    rows = [{"token": task.token, "index": task.index, "names": task.run_ids, "restarts": task.restarts,
             "command": task.command, "code": task.code} for task in tasks]  # fmt: skip
    path = tasks_folder(store.root, sweep) / f"{name}.json"
    write_json(path, rows)
    return path


def read_tasks(store: Store, sweep: str) -> dict[str, list[NodeTask]]:
    """Returns the tasks of each job of a sweep, by the job's name; a damaged file is added to `store.damaged`.

    Args:
        store: The sweep's store.
        sweep: Name of the sweep.
    """
    tasks = {}
    for path in sorted(tasks_folder(store.root, sweep).glob("*.json")):
        try:
            tasks[path.stem] = _read_task_file(store, sweep, path)
        except DamagedFileError as error:
            store.note_damaged(error)
    return tasks


def _read_task_file(store: Store, sweep: str, path: Path) -> list[NodeTask]:
    rows = read_json(path, TASKS_REMEDY)
    try:
        tasks = [
            NodeTask(store=str(store.root.absolute()), sweep=sweep, token=row["token"], index=row["index"],
                     run_ids=tuple(row["names"]), restarts=row["restarts"], command=tuple(row["command"]),
                     code=tuple(row.get("code", ())))
            for row in rows
        ]  # fmt: skip
    except (KeyError, TypeError, AttributeError):
        raise DamagedFileError(path, "not a list of tasks", TASKS_REMEDY) from None
    for task in tasks:
        texts = (task.token, *task.run_ids, *task.command, *task.code)
        if not all(isinstance(text, str) for text in texts) or not re.fullmatch(r"\w+", task.token):
            raise DamagedFileError(path, "a task has values of other types", TASKS_REMEDY)
        if type(task.index) is not int or type(task.restarts) is not int:
            raise DamagedFileError(path, "a task has values of other types", TASKS_REMEDY)
    return tasks

"""Engine for a Ray cluster: each trunk of a sweep is a task, which moves to another node if its node is lost.

    python -m sweeps launch NAME --store DIR --engine ray --option address=HOST:6379 --option gpus=1 [--dry-run]

DIR and this Python environment must exist on every node. The tasks end with the launcher: they save and stop, and
resume at the next launch. Source: Ray's documentation (tasks, fault tolerance of tasks, scheduling).
"""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sweeps.engines import cluster_jobs
from sweeps.engines.cluster_jobs import RUNNING, WAITING, Job
from sweeps.engines.nodes import cluster_tasks
from sweeps.engines.nodes.cluster_tasks import CANCELLED, CRASHED, LOST, REFUSED, FollowOptions, TaskState
from sweeps.engines.nodes.node_worker import NodeTask, last_transition, read_notes, run_task, stop_file
from sweeps.engines.submission import RESTARTS, DryRun, JobFile, Submission
from sweeps.errors import SweepError

PHASES = {"NodeDiedError": LOST, "TaskCancelledError": CANCELLED}  # by Ray's exception; any other one is a crash
POLL_SECONDS = 2  # between queries, which are cheap


@dataclass(frozen=True, kw_only=True)
class RayOptions:
    """Options of the ray engine: address of the cluster, and resources of a task."""

    address: str = "auto"  # address of the cluster; auto: the cluster of which this machine is a node
    cpus: int = 1  # per task
    gpus: int = 0  # per task
    resources: str = ""  # per task, by the cluster's names, such as TPU=4,big=1
    jobs: int = 0  # largest number of tasks, each with several trunks; 0: one task per trunk
    restarts: int = RESTARTS  # largest number of restarts of a run after a crash
    every: int = POLL_SECONDS  # seconds between queries

    def __post_init__(self) -> None:
        task_resources(self)


poll = cluster_jobs.poll
cancel = cluster_jobs.cancel


def submit(submission: Submission, options: RayOptions) -> Job:
    """Submits a task for each trunk.

    Args:
        submission: The runs.
        options: The engine's options.
    """
    cluster = Cluster(options)
    token = cluster_tasks.new_token()
    tasks = cluster_tasks.divide_runs(submission, token, jobs=options.jobs, restarts=options.restarts)
    following = FollowOptions(
        restarts=options.restarts, poll_seconds=float(options.every), stop_command=_stop_command(submission, token)
    )
    return cluster_tasks.submit_tasks(submission, cluster, tasks, following)


def dry_run(submission: Submission, options: RayOptions) -> DryRun:
    """Returns the tasks of `submit`; nothing is written or queried.

    Args:
        submission: The runs.
        options: The engine's options.
    """
    files = []
    for task in cluster_tasks.divide_runs(submission, "TOKEN", jobs=options.jobs, restarts=options.restarts):
        command = shlex.join(cluster_tasks.node_command(submission.store, task))
        title = f"# task {task.key} runs this, and restarts it on failure:"
        files.append(JobFile(f"{task.key}.sh", command, title=title, runs=[task.run_ids]))
    head = [f"# ray.init(address={options.address!r}), then tasks with {task_resources(options)}", ""]
    return DryRun(files, ["# stopped by", _stop_command(submission, "TOKEN")], head)


def task_resources(options: RayOptions) -> dict[str, Any]:
    """Returns Ray's options of a task; raises SweepError for malformed resources.

    Ray's own retries are disabled, because Ray cannot distinguish a crash from a lost node.
    """
    named: dict[str, float] = {}
    for part in filter(None, options.resources.split(",")):
        name, _, count = part.partition("=")
        if not name or not count.isdecimal():
            raise SweepError(f"--option resources={options.resources}: must be NAME=NUMBER,... such as TPU=4")
        named[name] = float(count)
    resources = {"resources": named} if named else {}
    return {
        "num_cpus": options.cpus, "num_gpus": options.gpus, "max_retries": 0, "scheduling_strategy": "SPREAD",
        **resources,
    }  # fmt: skip


def _stop_command(submission: Submission, token: str) -> str:
    return shlex.join(["touch", str(stop_file(submission.store.root.absolute(), submission.sweep, token))])


class Cluster:
    """A Ray cluster and the tasks of this launch."""

    def __init__(self, options: RayOptions) -> None:
        self.ray, self.options = _connect(options.address), options
        self.refs: dict[str, Any] = {}  # Ray's object references, by key of the task
        self.stopped = False

    def start(self, tasks: Sequence[NodeTask]) -> None:
        """Submits tasks."""
        remote = self.ray.remote(run_ray_task).options(**task_resources(self.options))
        for task in tasks:
            self.refs[task.key] = remote.remote(task)

    def task_states(self, tasks: Sequence[NodeTask]) -> dict[str, TaskState]:
        """Returns the state of each task, by key."""
        refs = list(self.refs.values())
        ready, _ = self.ray.wait(refs, num_returns=len(refs), timeout=0) if refs else ([], [])
        completed = set(ready)
        return {task.key: self._task_state(task, self.refs[task.key] in completed) for task in tasks}

    def _task_state(self, task: NodeTask, completed: bool) -> TaskState:
        if not completed:
            return TaskState(RUNNING if "node" in last_transition(read_notes(task)) else WAITING)
        try:
            self.ray.get(self.refs[task.key])
        except self.ray.exceptions.RayTaskError:  # an exception of run_ray_task
            reason = last_transition(read_notes(task)).get("how")
            return TaskState(REFUSED, reason or "the node could not start the task")
        except self.ray.exceptions.RayError as error:
            name = type(error).__name__
            return TaskState(PHASES.get(name, CRASHED), f"ended by Ray as {name}")
        return TaskState(LOST)

    def stop(self, tasks: Sequence[NodeTask]) -> None:
        """Asks the tasks to save and stop; the second call kills them."""
        if self.stopped:
            for ref in self.refs.values():
                self.ray.cancel(ref, force=True)
        self.stopped = True
        for task in tasks:
            task.stop.parent.mkdir(parents=True, exist_ok=True)
            task.stop.touch()


def run_ray_task(task: NodeTask) -> str:
    """Runs a task on a node of Ray."""
    import ray

    with without_ray_environment():
        return run_task(task, node=ray.get_runtime_context().get_node_id())


@contextlib.contextmanager
def without_ray_environment() -> Iterator[None]:
    """Context without OMP_NUM_THREADS, which Ray sets for its workers and which would limit the trainer."""
    threads = os.environ.pop("OMP_NUM_THREADS", None)
    try:
        yield
    finally:
        if threads is not None:
            os.environ["OMP_NUM_THREADS"] = threads


def _connect(address: str) -> Any:
    try:
        import ray
    except ImportError:
        raise SweepError("engine ray needs Ray: pip install 'scaling[ray]'") from None
    if not ray.is_initialized():
        try:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        except (ConnectionError, RuntimeError, ValueError) as error:
            message = (str(error).splitlines() or ["no answer"])[0]
            raise SweepError(f"--option address={address}: no Ray cluster found ({message[:200]})") from None
    return ray

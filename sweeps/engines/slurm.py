"""Engine for a SLURM cluster, with submitit: each trunk of a sweep is an array task, requeued when preempted.

    python -m sweeps launch NAME --store DIR --engine slurm --option partition=gpu --option gpus=1 --option time=8:00:00
        [--dry-run]

DIR and this Python environment must exist on every node. Active jobs of an earlier launch are not submitted again.
Sources: SLURM's manual (sbatch --signal, --requeue; squeue's states) and submitit's executor.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scaling.config.run import run_id
from scaling.store.record import Store
from sweeps.engines import cluster_jobs
from sweeps.engines.cluster_jobs import RUNNING, WAITING, Job
from sweeps.engines.job_names import sweep_label
from sweeps.engines.nodes import cluster_tasks
from sweeps.engines.nodes.cluster_tasks import CANCELLED, CRASHED, LOST, REFUSED, TRAIN, FollowOptions, TaskState
from sweeps.engines.nodes.node_worker import (
    FINISHED,
    UNFINISHED,
    NodeTask,
    last_transition,
    read_notes,
    run_slurm_task,
    srun_command,
    tasks_folder,
)
from sweeps.engines.submission import RESTARTS, DryRun, JobFile, Submission
from sweeps.errors import SweepError

ARRAY_SIZE = 1000  # elements of an array; SLURM's default limit (MaxArraySize) is 1001
SQUEUE = ("squeue", "--me", "--states=all", "--array", "--noheader", "--format=%j|%K|%i|%T")
CANCEL_COMMAND = "scancel JOB_ID ..."
TIME_PATTERN = re.compile(r"\d+(:\d\d){0,2}|\d+-\d\d?(:\d\d){0,2}")
WAITING_STATES = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD")
RUNNING_STATES = ("RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING")
LOST_STATES = ("PREEMPTED", "NODE_FAIL", "BOOT_FAIL", "REVOKED")  # ends that a run does not cause


@dataclass(frozen=True, kw_only=True)
class SlurmOptions:
    """Options of the slurm engine; an empty or zero value selects the cluster's default."""

    partition: str = ""  # partition of the cluster
    account: str = ""  # account that pays for the jobs
    qos: str = ""  # quality of service
    time: str = "24:00:00"  # time limit of a job in the format of sbatch; a job that reaches it is requeued
    warn: int = 120  # seconds before the time limit at which the trainer saves
    nodes: int = 1  # nodes that train one run
    cpus: int = 0  # per node
    gpus: int = 0  # per node
    gres: str = ""  # generic resources
    mem: str = ""  # per node, such as 64G
    parallel: int = 0  # largest number of jobs that run at the same time
    jobs: int = 0  # largest number of jobs, each with several trunks; 0: one job per trunk
    setup: str = ""  # shell commands to run before Python starts
    python: str = shlex.quote(sys.executable)  # Python of the nodes
    sbatch: str = ""  # further flags of sbatch, such as "--constraint=a100 --exclude=n7"
    restarts: int = RESTARTS  # largest number of restarts of a run after a crash
    every: int = 15  # seconds between queries of the queue

    def __post_init__(self) -> None:
        if not TIME_PATTERN.fullmatch(self.time):
            allowed = "must be in the format of sbatch: 90 (minutes), 8:00:00 or 2-12:00:00"
            raise SweepError(f"--option time={self.time}: {allowed}")
        if self.nodes < 1:
            raise SweepError(f"--option nodes={self.nodes}: must be 1 or more")
        sbatch_flags(self.sbatch)


poll = cluster_jobs.poll
cancel = cluster_jobs.cancel


def submit(submission: Submission, options: SlurmOptions) -> Job:
    """Submits job arrays that train the runs, except those in active jobs of an earlier launch.

    Args:
        submission: The runs.
        options: The engine's options.
    """
    cluster = Cluster(submission.store, submission.sweep, options)
    active = cluster.active_tasks()
    active_runs = {name for task in active for name in task.run_ids}
    new_configs = [config for config in submission.configs if run_id(config) not in active_runs]
    new_runs = dataclasses.replace(submission, configs=new_configs, starts=None)
    token = cluster_tasks.new_token()
    tasks = cluster_tasks.divide_runs(new_runs, token, jobs=options.jobs, restarts=options.restarts)
    following = FollowOptions(restarts=options.restarts, poll_seconds=float(options.every), stop_command=CANCEL_COMMAND)
    return cluster_tasks.submit_tasks(submission, cluster, tasks, following, active)


def sbatch_flags(text: str) -> dict[str, Any]:
    """Returns sbatch's flags by name from text such as "--exclusive --constraint=a100".

    Raises:
        SweepError: The text is not a sequence of --flag or --flag=value.
    """
    flags: dict[str, Any] = {}
    try:
        parts = shlex.split(text)
    except ValueError as error:
        allowed = "must be --flag or --flag=value, quoted as for a shell"
        raise SweepError(f"--option sbatch={text!r}: {str(error).lower()}: {allowed}") from None
    for part in parts:
        name, equals, value = part.removeprefix("--").partition("=")
        if not part.startswith("--") or not name:
            raise SweepError(f"--option sbatch={text!r}: {part!r} must be --flag or --flag=value")
        flags[name.replace("-", "_")] = value if equals else True
    return flags


def submitit_parameters(name: str, options: SlurmOptions) -> dict[str, Any]:
    """Returns submitit's parameters of a job array.

    Args:
        name: Name of the array.
        options: The engine's options.
    """
    resources: dict[str, Any] = {
        field: value
        for field in ("partition", "account", "qos", "gres", "mem")
        if (value := getattr(options, field))
    }  # fmt: skip
    resources |= {"cpus_per_task": options.cpus} if options.cpus else {}
    resources |= {"gpus_per_node": options.gpus} if options.gpus else {}
    resources |= {"setup": [options.setup]} if options.setup else {}
    additional = {
        "time": options.time,
        "requeue": True,
        # B: signal only the batch script (Python), which signals the trainer and requeues the job
        "signal": f"B:USR2@{options.warn}",
        **sbatch_flags(options.sbatch),
    }
    return {
        "job_name": name, "nodes": options.nodes, "ntasks_per_node": 1, "use_srun": False, "stderr_to_stdout": True,
        "array_parallelism": options.parallel or ARRAY_SIZE, "additional_parameters": additional, **resources,
    }  # fmt: skip


def dry_run(submission: Submission, options: SlurmOptions) -> DryRun:
    """Returns the files and commands of `submit`, `poll` and `cancel`; nothing is written or queried.

    Args:
        submission: The runs.
        options: The engine's options.
    """
    store, sweep = submission.store, submission.sweep
    tasks = cluster_tasks.divide_runs(submission, "TOKEN", jobs=options.jobs, restarts=options.restarts)
    train = srun_command(options.nodes, "FIRST_NODE", "JOB_ID", TRAIN) if options.nodes > 1 else TRAIN
    files = []
    for i, array in enumerate(job_arrays(tasks)):
        name = f"{sweep_label(sweep)}-TOKEN{i}"
        script = batch_script(tasks_folder(store.root.absolute(), sweep), name, options, len(array))
        details = []
        for index, task in enumerate(array):
            command = shlex.join(cluster_tasks.node_command(store, task, train))
            details += [f"# array task {index} runs this, and restarts it on failure:", command]
        files.append(
            JobFile(f"{name}.sh", script, [f"sbatch {name}.sh"], details, runs=[task.run_ids for task in array])
        )
    return DryRun(files, ["# queried by", shlex.join(SQUEUE), "# stopped by", CANCEL_COMMAND])


def batch_script(folder: Path, name: str, options: SlurmOptions, count: int) -> str:
    """Returns the script that submitit passes to sbatch; raises SweepError if submitit is not installed.

    Args:
        folder: Folder of the sweep's tasks.
        name: Name of the job array.
        options: The engine's options.
        count: Tasks of the array.
    """
    slurm = _import_submitit().slurm.slurm
    parameters = {**submitit_parameters(name, options), **({"map_count": count} if count > 1 else {})}
    command = f"exec {options.python} -u -m submitit.core._submit {shlex.quote(str(folder))}"
    return slurm._make_sbatch_string(command=command, folder=folder, **parameters)


def job_arrays(tasks: Sequence[NodeTask]) -> list[list[NodeTask]]:
    """Splits the tasks into job arrays of at most ARRAY_SIZE tasks."""
    return [list(tasks[i : i + ARRAY_SIZE]) for i in range(0, len(tasks), ARRAY_SIZE)]


class Cluster:
    """The cluster's queue and the jobs of a sweep in it."""

    def __init__(self, store: Store, sweep: str, options: SlurmOptions) -> None:
        self.store, self.sweep, self.options = store, sweep, options
        self.jobs: dict[str, tuple[str, int]] = {}  # name and index in the array, by key of the task
        self.stops = 0  # calls of `stop`

    def active_tasks(self) -> list[NodeTask]:
        """Returns the tasks of earlier launches whose jobs are waiting or running."""
        queue = read_queue(cluster_jobs.run_command(SQUEUE))
        tasks = []
        for name, array in cluster_tasks.read_tasks(self.store, self.sweep).items():
            for index, task in enumerate(array):
                if job_phase(queue.get((name, index), ("", ""))[1]) in (WAITING, RUNNING):
                    self.jobs[task.key] = (name, index)
                    tasks.append(task)
        return tasks

    def start(self, tasks: Sequence[NodeTask]) -> None:
        """Submits tasks in arrays; a task that sbatch rejects has no job until it is submitted again."""
        for task in tasks:
            self.jobs.pop(task.key, None)
        for array in job_arrays(tasks):
            name = f"{sweep_label(self.sweep)}-{cluster_tasks.new_token()}"
            path = cluster_tasks.write_tasks(self.store, self.sweep, name, array)
            try:
                _submit_array(tasks_folder(self.store.root.absolute(), self.sweep), name, self.options, array)
            except SweepError:
                path.unlink()
                raise
            self.jobs |= {task.key: (name, index) for index, task in enumerate(array)}

    def task_states(self, tasks: Sequence[NodeTask]) -> dict[str, TaskState]:
        """Returns the state of each task by key; a task that sbatch rejected is LOST."""
        states = read_queue(cluster_jobs.run_command(SQUEUE))
        return {
            task.key: task_state(task, states.get(self.jobs[task.key], ("", ""))[1])
            if task.key in self.jobs else TaskState(LOST)
            for task in tasks
        }  # fmt: skip

    def stop(self, tasks: Sequence[NodeTask]) -> None:
        """Cancels the jobs: their processes receive SIGTERM and save; the second call sends SIGKILL."""
        states = read_queue(cluster_jobs.run_command(SQUEUE))
        numbers = [states[job][0] for job in self.jobs.values() if job in states and job_phase(states[job][1]) != LOST]
        if numbers:
            cluster_jobs.run_command(["scancel", *(["--full", "--signal=KILL"] if self.stops else []), *numbers])
        self.stops += 1


def read_queue(output: str) -> dict[tuple[str, int], tuple[str, str]]:
    """Parses the output of squeue: job number and state by name of the array and index in it.

    Raises:
        SweepError: The output cannot be parsed.
    """
    jobs = {}
    for line in output.splitlines():
        parts = line.strip().rsplit("|", 3)
        if len(parts) != 4:
            raise SweepError(f"squeue: expected four fields per line, got {line[:80]!r}")
        name, index, number, state = parts
        jobs[name, int(index) if index.isdigit() else 0] = (number, state)
    return jobs


def job_phase(state: str) -> str:
    """Returns the phase of a SLURM state: WAITING, RUNNING, or LOST for all other states."""
    return WAITING if state in WAITING_STATES else RUNNING if state in RUNNING_STATES else LOST


def task_state(task: NodeTask, state: str) -> TaskState:
    """Returns the state of a task.

    Args:
        task: The task.
        state: State of its job in SLURM; empty if the job is no longer in the queue.
    """
    if state in WAITING_STATES or state in RUNNING_STATES:
        return TaskState(job_phase(state))
    if state == "CANCELLED":
        return TaskState(CANCELLED)
    if state in LOST_STATES:
        return TaskState(LOST)
    outcome = last_transition(read_notes(task)).get("how")
    if outcome in (FINISHED, UNFINISHED) and state in ("COMPLETED", ""):
        return TaskState(LOST)
    if outcome is not None and outcome not in (FINISHED, UNFINISHED):
        return TaskState(REFUSED, outcome)
    return TaskState(CRASHED, f"ended as {state}" if state else "is no longer in the queue")


def _submit_array(folder: Path, name: str, options: SlurmOptions, tasks: Sequence[NodeTask]) -> None:
    submitit = _import_submitit()
    try:
        executor = submitit.SlurmExecutor(folder, python=f"exec {options.python}")
        executor.update_parameters(**submitit_parameters(name, options))
        executor.map_array(run_slurm_task, list(tasks))
    except RuntimeError as error:  # raised by submitit: srun is missing, or sbatch failed
        raise SweepError(f"sbatch: {' '.join(str(error).split())[-300:]}") from None


def _import_submitit() -> Any:
    try:
        import submitit
    except ImportError:
        raise SweepError("engine slurm needs submitit: pip install 'scaling[slurm]'") from None
    return submitit

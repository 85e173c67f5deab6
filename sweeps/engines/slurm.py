"""A SLURM cluster, through submitit: each trunk of a sweep an element of a job array, put back when preempted.

    python -m sweeps launch NAME --store DIR --engine slurm --option partition=gpu --option gpus=1 --option time=8:00:00
        [--dry-run]

DIR and this environment must be there on every node. A job that is under way is followed, not submitted again.
Sources: SLURM's manual (sbatch --signal, --requeue; squeue's states) and submitit's executor.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scaling.config.run import RunConfig, run_id
from scaling.store.record import Store
from sweeps.engines import cluster_jobs, cluster_tasks
from sweeps.engines.cluster_jobs import Job
from sweeps.engines.cluster_tasks import Outcome, Tasks
from sweeps.engines.node_worker import AGAIN, ENDED, Work, folder, keep_in_slurm, notes, spread, whereabouts
from sweeps.errors import SweepError

ARRAY = 1000  # elements of an array; SLURM's own limit (MaxArraySize) is 1001 unless a cluster says otherwise
SQUEUE = ("squeue", "--me", "--states=all", "--array", "--noheader", "--format=%j|%K|%i|%T")
BY_HAND = "scancel JOB_ID ..."
TIME = re.compile(r"\d+(:\d\d){0,2}|\d+-\d\d?(:\d\d){0,2}")
WAITING = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD")
RUNNING = ("RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING")
LOST = ("PREEMPTED", "NODE_FAIL", "BOOT_FAIL", "REVOKED")  # no fault of a run's


@dataclass(frozen=True, kw_only=True)
class Options:
    """What sbatch must be told; what is empty or 0 is left to the cluster."""

    partition: str = ""
    account: str = ""
    qos: str = ""
    time: str = "24:00:00"  # of one job, as sbatch takes it; a job that reaches it goes on after another wait
    warn: int = 120  # seconds before it at which the trainer saves
    nodes: int = 1  # that one run is spread over
    cpus: int = 0  # a node
    gpus: int = 0  # a node
    gres: str = ""
    mem: str = ""  # a node, as 64G
    parallel: int = 0  # jobs that may run at once
    jobs: int = 0  # at most so many, each with several trunks; 0: a trunk each
    setup: str = ""  # shell, before Python starts
    python: str = shlex.quote(sys.executable)
    sbatch: str = ""  # more of its flags, as "--constraint=a100 --exclude=n7"
    restarts: int = cluster_jobs.RESTARTS
    every: int = 15  # seconds between two looks at the queue


poll = cluster_jobs.poll
cancel = cluster_jobs.cancel


def submit(
    store: Store,
    sweep: str,
    configs: Sequence[RunConfig],
    *,
    options: Mapping[str, str],
    command: Sequence[str] = (),
    keep_open: Sequence[int] = (),
) -> Job:
    """Submits arrays of what is left, but for the runs that a job has in hand."""
    chosen = given(options)
    cluster = Cluster(store, sweep, chosen)
    followed = cluster.under_way()
    in_hand = {name for work in followed for name in work.names}
    left = cluster_jobs.write_configs(store, configs)
    fresh = [config for config in configs if run_id(config) not in in_hand]
    works = cluster_tasks.shared_out(
        store, sweep, fresh, jobs=chosen.jobs, restarts=chosen.restarts, command=command,
        of=cluster_tasks.token(),
    )  # fmt: skip
    of = Tasks(store, sweep, chosen.restarts + 1, followed + works, start=cluster.start, look=lambda: cluster.look(of))
    cluster.start(works)
    return Job(
        store=store, sweep=sweep, left=left, attempts=chosen.restarts + 1, states=of.states,
        delete=lambda: cluster.end(of), by_hand=BY_HAND, log=of.log, every=float(chosen.every),
    )  # fmt: skip


def given(options: Mapping[str, str]) -> Options:
    """The options from text; SweepError where one is wrong."""
    chosen = cluster_jobs.given(Options, options)
    if not TIME.fullmatch(chosen.time):
        raise SweepError(
            f"--option time={chosen.time}: must be as sbatch takes it: 90 (minutes), 8:00:00 or 2-12:00:00"
        )
    if chosen.nodes < 1:
        raise SweepError(f"--option nodes={chosen.nodes}: must be 1 or more")
    flags(chosen.sbatch)
    return chosen


def flags(text: str) -> dict[str, Any]:
    """sbatch's flags from text such as "--exclusive --constraint=a100"; SweepError where one is none."""
    out: dict[str, Any] = {}
    try:
        words = shlex.split(text)
    except ValueError as error:
        how = "must be --flag or --flag=value, quoted as for a shell"
        raise SweepError(f"--option sbatch={text!r}: {str(error).lower()}: {how}") from None
    for word in words:
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or not name:
            raise SweepError(f"--option sbatch={text!r}: {word!r} must be --flag or --flag=value")
        out[name.replace("-", "_")] = value if equals else True
    return out


def parameters(name: str, chosen: Options) -> dict[str, Any]:
    """submitit's parameters of an array of that name."""
    plain: dict[str, Any] = {
        name: value
        for name in ("partition", "account", "qos", "gres", "mem")
        if (value := getattr(chosen, name))
    }  # fmt: skip
    plain |= {"cpus_per_task": chosen.cpus} if chosen.cpus else {}
    plain |= {"gpus_per_node": chosen.gpus} if chosen.gpus else {}
    plain |= {"setup": [chosen.setup]} if chosen.setup else {}
    more = {
        "time": chosen.time,
        "requeue": True,
        # B: to the batch script alone, which is Python: it tells the trainer, and puts the job back
        "signal": f"B:USR2@{chosen.warn}",
        **flags(chosen.sbatch),
    }
    return {
        "job_name": name, "nodes": chosen.nodes, "ntasks_per_node": 1, "use_srun": False, "stderr_to_stdout": True,
        "array_parallelism": chosen.parallel or ARRAY, "additional_parameters": more, **plain,
    }  # fmt: skip


def dry_run(store: Store, sweep: str, configs: Sequence[RunConfig], *, options: Mapping[str, str]) -> str:
    """The files and commands of `submit`, `poll` and `cancel`, as text; nothing is written or asked."""
    chosen = given(options)
    works = cluster_tasks.shared_out(
        store, sweep, configs, jobs=chosen.jobs, restarts=chosen.restarts, command=(), of="TOKEN"
    )
    lines = []
    for i, some in enumerate(arrays(works)):
        name = f"{cluster_jobs.label(sweep)}-TOKEN{i}"
        lines += [f"# {name}.sh", script(store, sweep, name, chosen, len(some)), f"sbatch {name}.sh", ""]
        for index, work in enumerate(some):
            words = (
                spread(chosen.nodes, "FIRST_NODE", "JOB_ID", cluster_tasks.TRAIN)
                if chosen.nodes > 1
                else cluster_tasks.TRAIN
            )
            lines += [
                f"# element {index} keeps this at its work:",
                shlex.join(cluster_tasks.train_words(store, work, words)),
            ]
        lines.append("")
    lines += ["# followed with", shlex.join(SQUEUE), "# stopped with", BY_HAND]
    return "\n".join(lines)


def script(store: Store, sweep: str, name: str, chosen: Options, count: int) -> str:
    """What submitit gives to sbatch for so many tasks; SweepError where there is no submitit."""
    slurm = _submitit().slurm.slurm
    of = {**parameters(name, chosen), **({"map_count": count} if count > 1 else {})}
    where = folder(store.root.absolute(), sweep)
    command = f"exec {chosen.python} -u -m submitit.core._submit {shlex.quote(str(where))}"
    return slurm._make_sbatch_string(command=command, folder=where, **of)


def arrays(works: Sequence[Work]) -> list[list[Work]]:
    """The tasks in parts that an array can hold."""
    return [list(works[i : i + ARRAY]) for i in range(0, len(works), ARRAY)]


class Cluster:
    """The cluster's queue, and which of its jobs are ours."""

    def __init__(self, store: Store, sweep: str, chosen: Options) -> None:
        self.store, self.sweep, self.chosen = store, sweep, chosen
        self.jobs: dict[str, tuple[str, int]] = {}  # name and index in the array, by key of work
        self.ended = 0

    def under_way(self) -> list[Work]:
        """What a job of an earlier launch still has in hand."""
        queue = read_queue(cluster_jobs.call(SQUEUE))
        out = []
        for name, works in cluster_tasks.read_given(self.store, self.sweep).items():
            for index, work in enumerate(works):
                if phase(queue.get((name, index), ("", ""))[1]) in (cluster_tasks.WAITING, cluster_tasks.RUNNING):
                    self.jobs[work.key] = (name, index)
                    out.append(work)
        return out

    def start(self, works: Sequence[Work]) -> None:
        """Submits these, in arrays; what sbatch refuses is no job's until it is submitted again."""
        for work in works:
            self.jobs.pop(work.key, None)
        for some in arrays(works):
            name = f"{cluster_jobs.label(self.sweep)}-{cluster_tasks.token()}"
            given = cluster_tasks.write_given(self.store, self.sweep, name, some)
            try:
                _sbatch(self.store, self.sweep, name, self.chosen, some)
            except SweepError:
                given.unlink()
                raise
            self.jobs |= {work.key: (name, index) for index, work in enumerate(some)}

    def look(self, of: Tasks) -> dict[str, Outcome]:
        """How each task stands; one that sbatch refused is lost, which is nobody's fault."""
        queue = read_queue(cluster_jobs.call(SQUEUE))
        return {
            work.key: outcome(work, queue.get(self.jobs[work.key], ("", ""))[1])
            if work.key in self.jobs else Outcome(cluster_tasks.LOST)
            for work in of.works
        }  # fmt: skip

    def end(self, of: Tasks) -> None:
        """Cancels the jobs: each process gets SIGTERM and may save; SIGKILL where it is asked for once more."""
        of.cancelled = True
        queue = read_queue(cluster_jobs.call(SQUEUE))
        ids = [
            queue[job][0] for job in self.jobs.values() if job in queue and phase(queue[job][1]) != cluster_tasks.LOST
        ]
        if ids:
            cluster_jobs.call(["scancel", *(["--full", "--signal=KILL"] if self.ended else []), *ids])
        self.ended += 1


def read_queue(said: str) -> dict[tuple[str, int], tuple[str, str]]:
    """Job id and state by job name and index in its array; SweepError where the answer is none."""
    out = {}
    for line in said.splitlines():
        parts = line.strip().rsplit("|", 3)
        if len(parts) != 4:
            raise SweepError(f"squeue: no line of four fields but {line[:80]!r}")
        name, index, job, state = parts
        out[name, int(index) if index.isdigit() else 0] = (job, state)
    return out


def phase(state: str) -> str:
    """Whether SLURM has a job in hand: waiting or running; lost where it has not."""
    return (
        cluster_tasks.WAITING if state in WAITING else cluster_tasks.RUNNING if state in RUNNING else cluster_tasks.LOST
    )


def outcome(work: Work, state: str) -> Outcome:
    """How a task stands whose job is in that state; empty: SLURM knows of none any more."""
    if state in WAITING or state in RUNNING:
        return Outcome(phase(state))
    if state == "CANCELLED":
        return Outcome(cluster_tasks.CANCELLED)
    if state in LOST:
        return Outcome(cluster_tasks.LOST)
    how = whereabouts(notes(work)).get("how")
    if how in (ENDED, AGAIN) and state in ("COMPLETED", ""):
        return Outcome(cluster_tasks.LOST)
    if how is not None and how not in (ENDED, AGAIN):
        return Outcome(cluster_tasks.REFUSED, how)
    return Outcome(cluster_tasks.CRASHED, f"ended as {state}" if state else "is gone from the queue")


def _sbatch(store: Store, sweep: str, name: str, chosen: Options, works: Sequence[Work]) -> None:
    module = _submitit()
    try:
        executor = module.SlurmExecutor(folder(store.root.absolute(), sweep), python=f"exec {chosen.python}")
        executor.update_parameters(**parameters(name, chosen))
        executor.map_array(keep_in_slurm, list(works))
    except RuntimeError as error:  # submitit's own for no srun, and for what sbatch refused
        raise SweepError(f"sbatch: {' '.join(str(error).split())[-300:]}") from None


def _submitit() -> Any:
    try:
        import submitit
    except ImportError:
        raise SweepError("engine slurm needs submitit: pip install 'scaling[slurm]'") from None
    return submitit

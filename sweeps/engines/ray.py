"""A Ray cluster: each trunk of a sweep a task, on any node that has what it needs; on another when that one is lost.

    python -m sweeps launch NAME --store DIR --engine ray --option address=HOST:6379 --option gpus=1 [--dry-run]

DIR and this environment must be there on every node. The tasks live as long as the launcher: without it they save,
stop, and go on at the next launch. Source: Ray's documentation (tasks, fault tolerance of tasks, scheduling).
"""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scaling.config.run import RunConfig
from scaling.store.record import Store
from sweeps.engines import cluster_jobs, cluster_tasks
from sweeps.engines.cluster_jobs import Job
from sweeps.engines.cluster_tasks import Outcome, Tasks
from sweeps.engines.node_worker import Work, keep, notes, stop_file, whereabouts
from sweeps.errors import SweepError

PHASES = {
    "NodeDiedError": cluster_tasks.LOST,
    "TaskCancelledError": cluster_tasks.CANCELLED,
}  # by Ray's exception; else crashed


@dataclass(frozen=True, kw_only=True)
class Options:
    """What Ray must be told: where the cluster is, and what a task holds of a node while it runs."""

    address: str = "auto"  # of the cluster; auto: the one that this machine is a node of
    cpus: int = 1
    gpus: int = 0
    resources: str = ""  # of its own names, as TPU=4,big=1
    jobs: int = 0  # at most so many, each with several trunks; 0: a trunk each
    restarts: int = cluster_jobs.RESTARTS
    every: int = 2  # seconds between two looks


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
    """Gives out a task a trunk."""
    chosen = given(options)
    cluster = Cluster(chosen)
    left = cluster_jobs.write_configs(store, configs)
    token = cluster_tasks.token()
    works = _works(store, sweep, configs, chosen, command, token)
    of = Tasks(store, sweep, chosen.restarts + 1, works, start=cluster.start, look=lambda: cluster.look(of))
    cluster.start(works)
    return Job(
        store=store, sweep=sweep, left=left, attempts=chosen.restarts + 1, states=of.states,
        delete=lambda: cluster.end(of), by_hand=_by_hand(store, sweep, token), log=of.log, every=float(chosen.every),
    )  # fmt: skip


def dry_run(store: Store, sweep: str, configs: Sequence[RunConfig], *, options: Mapping[str, str]) -> str:
    """The tasks of `submit`, as text; nothing is written or asked."""
    chosen = given(options)
    lines = [f"# ray.init(address={chosen.address!r}), then each a task with {requirements(chosen)}", ""]
    for work in _works(store, sweep, configs, chosen, (), "TOKEN"):
        lines += [f"# {work.key} keeps this at its work:", shlex.join(cluster_tasks.train_words(store, work)), ""]
    lines += ["# stopped with", _by_hand(store, sweep, "TOKEN")]
    return "\n".join(lines)


def given(options: Mapping[str, str]) -> Options:
    """The options from text; SweepError where one is wrong."""
    chosen = cluster_jobs.given(Options, options)
    requirements(chosen)
    return chosen


def requirements(chosen: Options) -> dict[str, Any]:
    """What Ray must find free for a task, and that we try again ourselves: it cannot tell a crash from a lost node."""
    named: dict[str, float] = {}
    for part in filter(None, chosen.resources.split(",")):
        name, _, count = part.partition("=")
        if not name or not count.isdecimal():
            raise SweepError(f"--option resources={chosen.resources}: must be NAME=NUMBER,... as TPU=4")
        named[name] = float(count)
    more = {"resources": named} if named else {}
    return {
        "num_cpus": chosen.cpus, "num_gpus": chosen.gpus, "max_retries": 0, "scheduling_strategy": "SPREAD", **more,
    }  # fmt: skip


def _by_hand(store: Store, sweep: str, of: str) -> str:
    return shlex.join(["touch", str(stop_file(store.root.absolute(), sweep, of))])


def _works(
    store: Store, sweep: str, configs: Sequence[RunConfig], chosen: Options, command: Sequence[str], of: str
) -> list[Work]:
    return cluster_tasks.shared_out(
        store, sweep, configs, jobs=chosen.jobs, restarts=chosen.restarts, command=command, of=of
    )  # fmt: skip


class Cluster:
    """The cluster, and which of its tasks are ours."""

    def __init__(self, chosen: Options) -> None:
        self.ray, self.chosen = _connected(chosen.address), chosen
        self.refs: dict[str, Any] = {}  # by key of work

    def start(self, works: Sequence[Work]) -> None:
        """Gives these out."""
        remote = self.ray.remote(keep_in_ray).options(**requirements(self.chosen))
        for work in works:
            self.refs[work.key] = remote.remote(work)

    def look(self, of: Tasks) -> dict[str, Outcome]:
        """How each task stands; where nothing is left to happen, we leave the cluster."""
        refs = list(self.refs.values())
        ready, _ = self.ray.wait(refs, num_returns=len(refs), timeout=0) if refs else ([], [])
        done = set(ready)
        return {work.key: self._outcome(work, self.refs[work.key] in done) for work in of.works}

    def _outcome(self, work: Work, done: bool) -> Outcome:
        if not done:
            return Outcome(cluster_tasks.RUNNING if "node" in whereabouts(notes(work)) else cluster_tasks.WAITING)
        try:
            self.ray.get(self.refs[work.key])
        except self.ray.exceptions.RayTaskError:  # ours, from the node
            return Outcome(
                cluster_tasks.REFUSED, whereabouts(notes(work)).get("how") or "the node could not begin its work"
            )
        except self.ray.exceptions.RayError as error:
            why = type(error).__name__
            return Outcome(PHASES.get(why, cluster_tasks.CRASHED), f"ended by Ray as {why}")
        return Outcome(cluster_tasks.LOST)

    def end(self, of: Tasks) -> None:
        """Has the nodes save and stop; asked for once more, kills what they run."""
        if of.cancelled:
            for ref in self.refs.values():
                self.ray.cancel(ref, force=True)
        of.cancelled = True
        for work in of.works:
            work.stop.parent.mkdir(parents=True, exist_ok=True)
            work.stop.touch()


def keep_in_ray(work: Work) -> str:
    """As a task of Ray."""
    import ray

    with alone():
        return keep(work, node=ray.get_runtime_context().get_node_id())


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Takes away what Ray sets for its own workers and a trainer would otherwise run by."""
    threads = os.environ.pop("OMP_NUM_THREADS", None)
    try:
        yield
    finally:
        if threads is not None:
            os.environ["OMP_NUM_THREADS"] = threads


def _connected(address: str) -> Any:
    try:
        import ray
    except ImportError:
        raise SweepError("engine ray needs Ray: pip install 'scaling[ray]'") from None
    if not ray.is_initialized():
        try:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        except (ConnectionError, RuntimeError, ValueError) as error:
            line = (str(error).splitlines() or ["no answer"])[0]
            raise SweepError(f"--option address={address}: no Ray cluster there ({line[:200]})") from None
    return ray

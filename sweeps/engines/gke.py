"""TPU slices in a GKE cluster that xpk made: each trunk of a sweep a JobSet, queued by Kueue.

    python -m sweeps launch NAME --store DIR --engine gke --option topology=v5e-16 --option image=IMAGE
        --option bucket=gs://BUCKET [--dry-run]

DIR is the bucket, mounted here; kubectl must point at the cluster. A JobSet that is there already goes on.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scaling.config.run import RunConfig
from scaling.store.record import Store
from sweeps.engines import cluster_jobs
from sweeps.engines.cluster_jobs import Job, State
from sweeps.engines.gke_manifest import CONTAINER, MARK_LABEL, RUN_LABEL, RUNS, SWEEP_LABEL, TRUNK_LABEL, manifest
from sweeps.engines.trunks import RUNNING, WAITING, Given, Trunks, grouped
from sweeps.errors import SweepError
from sweeps.planning.tpu_slices import slice_of


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a cluster must be told; the defaults are those of a cluster that xpk made."""

    topology: str
    image: str
    bucket: str
    queue: str = "multislice-queue"
    priority: str = "medium"
    account: str = "default"  # Kubernetes' service account that may write to the bucket
    namespace: str = "default"
    spot: bool = True
    restarts: int = cluster_jobs.RESTARTS


poll = cluster_jobs.poll
cancel = cluster_jobs.cancel


def submit(
    store: Store,
    sweep: str,
    configs: Sequence[RunConfig],
    *,
    options: Mapping[str, str],
    keep_open: Sequence[int] = (),
) -> Job:
    """Applies a JobSet a trunk, but for those that are under way."""
    cluster = Cluster(store, sweep, cluster_jobs.given(Options, options))
    left = cluster_jobs.write_configs(store, configs)
    of = Trunks(grouped(configs), cluster.under_way(), cluster.give, cluster.look, cluster.tail)
    chosen = cluster.chosen
    job = Job(
        store=store, sweep=sweep, left=left, attempts=chosen.restarts + 1, states=lambda: of.states(job),
        delete=cluster.delete, by_hand=shlex.join(_delete(chosen, sweep)), log=of.log,
    )  # fmt: skip
    of.begin(job)
    return job


def dry_run(store: Store, sweep: str, configs: Sequence[RunConfig], *, options: Mapping[str, str]) -> str:
    """The files and commands of `submit`, `poll` and `cancel`, as text; nothing is written or asked."""
    cluster = Cluster(store, sweep, cluster_jobs.given(Options, options))
    lines = []
    for trunk, runs in grouped(configs).items():
        text = cluster.manifest(trunk, runs)
        file = f"{text['metadata']['name']}.json"
        lines += [f"# {file}", json.dumps(text, indent=1), shlex.join(_apply(file)), ""]
    lines += ["# followed with", shlex.join(_get(cluster.chosen, sweep))]
    lines += ["# stopped with", shlex.join(_delete(cluster.chosen, sweep))]
    return "\n".join(lines)


class Cluster:
    """The JobSets of a sweep in their cluster."""

    def __init__(self, store: Store, sweep: str, chosen: Options) -> None:
        self.store, self.sweep, self.chosen = store, sweep, chosen
        self.slice, self.bucket = slice_of(chosen.topology), cluster_jobs.bucket(chosen.bucket)
        self.known: set[str] = set()  # names of those that there were when we last looked

    def manifest(self, trunk: str, runs: Sequence[str]) -> dict[str, Any]:
        """The JobSet of a trunk's runs."""
        chosen, mark = self.chosen, cluster_jobs.mark(self.chosen.bucket, self.sweep)
        return manifest(
            name=cluster_jobs.job_name(self.sweep, mark, runs[0]), trunk=trunk, runs=runs,
            sweep=cluster_jobs.label(self.sweep),
            mark=mark, of=self.slice, bucket=self.bucket, words=cluster_jobs.train_words(self.store, runs, self.sweep),
            image=chosen.image, queue=chosen.queue, priority=chosen.priority, account=chosen.account,
            namespace=chosen.namespace, spot=chosen.spot, restarts=chosen.restarts,
        )  # fmt: skip

    def under_way(self) -> dict[str, Given]:
        """By trunk, the JobSets of an earlier launch that wait or run."""
        return {
            item["metadata"]["labels"][TRUNK_LABEL]: Given(name, item["metadata"]["annotations"][RUNS].split())
            for name, item in self._items().items()
            if state_of(item).phase in (WAITING, RUNNING)
        }

    def look(self) -> dict[str, State]:
        """How each JobSet stands."""
        return {name: state_of(item) for name, item in self._items().items()}

    def give(self, trunk: str, runs: Sequence[str]) -> str:
        """Applies a JobSet of these runs, in the place of one of its name that has ended."""
        text = self.manifest(trunk, runs)
        name: str = text["metadata"]["name"]
        if name in self.known:
            cluster_jobs.call(_delete_one(self.chosen.namespace, name))
        cluster_jobs.call(_apply("-"), json.dumps(text))
        return name

    def delete(self) -> None:
        """Deletes them all; the pods get SIGTERM."""
        cluster_jobs.call(_delete(self.chosen, self.sweep))

    def tail(self, given: Given) -> list[str]:
        """The newest lines of a JobSet's pods."""
        return cluster_jobs.tail(_logs(self.chosen, self.sweep, given.runs[0]))

    def _items(self) -> dict[str, dict[str, Any]]:
        """The JobSets by name; SweepError where the answer is none."""
        said = cluster_jobs.call(_get(self.chosen, self.sweep))
        try:
            items = {item["metadata"]["name"]: item for item in json.loads(said)["items"]}
        except (json.JSONDecodeError, KeyError):
            raise SweepError(f"kubectl get jobsets: no JSON list but {said[:80]!r}") from None
        self.known = set(items)
        return items


def _apply(file: str) -> list[str]:
    return ["kubectl", "apply", "--filename", file]


def _selected(chosen: Options, sweep: str, *more: str) -> list[str]:
    labels = [
        f"{SWEEP_LABEL}={cluster_jobs.label(sweep)}",
        f"{MARK_LABEL}={cluster_jobs.mark(chosen.bucket, sweep)}",
        *more,
    ]
    return ["--namespace", chosen.namespace, "--selector", ",".join(labels)]


def _get(chosen: Options, sweep: str) -> list[str]:
    return ["kubectl", "get", "jobsets.jobset.x-k8s.io", *_selected(chosen, sweep), "--output", "json"]


def _delete(chosen: Options, sweep: str) -> list[str]:
    return ["kubectl", "delete", "jobsets.jobset.x-k8s.io", *_selected(chosen, sweep), "--wait=false"]


def _delete_one(namespace: str, name: str) -> list[str]:
    return ["kubectl", "delete", "jobsets.jobset.x-k8s.io", name, "--namespace", namespace, "--ignore-not-found"]


def _logs(chosen: Options, sweep: str, run: str) -> list[str]:
    of = [*_selected(chosen, sweep, f"{RUN_LABEL}={run[:63]}"), "--container", CONTAINER]
    return ["kubectl", "logs", *of, "--tail", str(cluster_jobs.LOG_LINES)]


def state_of(item: Mapping[str, Any]) -> State:
    """A JobSet's own account of itself."""
    status = item.get("status", {})
    crashes = status.get("restartsCountTowardsMax", 0)
    conditions = {c["type"]: c for c in status.get("conditions", []) if c["status"] == "True"}
    if "Failed" in conditions:
        told = conditions["Failed"]
        return State("failed", f"its JobSet failed: {told.get('reason', '')}: {told.get('message', '')}", crashes)
    if "Completed" in conditions:
        return State("succeeded", "", crashes)
    if item.get("spec", {}).get("suspend") or "Suspended" in conditions:
        return State("waiting", "", crashes)
    return State("running", "", crashes)

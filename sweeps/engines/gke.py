"""TPU slices in a GKE cluster that xpk made: each run a JobSet, queued by Kueue.

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

from scaling.config import RunConfig, run_id
from scaling.record import Store
from sweeps.corpus import SweepError
from sweeps.engines import gang
from sweeps.engines.gang import Job, State
from sweeps.engines.gke_manifest import CONTAINER, MARK_LABEL, RUN_LABEL, SWEEP_LABEL, manifest
from sweeps.engines.slices import slice_of


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
    restarts: int = gang.RESTARTS


poll = gang.poll
cancel = gang.cancel


def submit(
    store: Store,
    sweep: str,
    configs: Sequence[RunConfig],
    *,
    options: Mapping[str, str],
    keep_open: Sequence[int] = (),
) -> Job:
    """Applies a JobSet a run, but for those that are under way; one that has ended is made anew."""
    chosen = gang.given(Options, options)
    made = _manifests(store, sweep, configs, chosen)
    left = gang.write_configs(store, configs)
    known = _states(chosen, sweep, left)
    for name, text in made.items():
        state = known.get(name)
        if state is not None and state.phase in ("waiting", "running"):
            continue
        if state is not None:
            gang.call(_delete_one(chosen.namespace, text["metadata"]["name"]))
        gang.call(_apply("-"), json.dumps(text))
    return Job(
        store=store, sweep=sweep, left=left, attempts=chosen.restarts + 1,
        states=lambda: _states(chosen, sweep, left),
        delete=lambda: _gone(chosen, sweep), by_hand=shlex.join(_delete(chosen, sweep)),
        log=lambda name: gang.tail(_logs(chosen, sweep, name)),
    )  # fmt: skip


def dry_run(store: Store, sweep: str, configs: Sequence[RunConfig], *, options: Mapping[str, str]) -> str:
    """The files and commands of `submit`, `poll` and `cancel`, as text; nothing is written or asked."""
    chosen = gang.given(Options, options)
    lines = []
    for text in _manifests(store, sweep, configs, chosen).values():
        file = f"{text['metadata']['name']}.json"
        lines += [f"# {file}", json.dumps(text, indent=1), shlex.join(_apply(file)), ""]
    lines += ["# followed with", shlex.join(_get(chosen, sweep))]
    lines += ["# stopped with", shlex.join(_delete(chosen, sweep))]
    return "\n".join(lines)


def _manifests(store: Store, sweep: str, configs: Sequence[RunConfig], chosen: Options) -> dict[str, dict[str, Any]]:
    of, bucket, mark = slice_of(chosen.topology), gang.bucket(chosen.bucket), gang.mark(chosen.bucket, sweep)
    return {
        name: manifest(
            name=gang.job_name(sweep, mark, name), run=name, sweep=gang.label(sweep), mark=mark, of=of, bucket=bucket,
            words=gang.train_words(store, name, sweep), image=chosen.image, queue=chosen.queue,
            priority=chosen.priority, account=chosen.account, namespace=chosen.namespace, spot=chosen.spot,
            restarts=chosen.restarts,
        )
        for name in map(run_id, configs)
    }  # fmt: skip


def _apply(file: str) -> list[str]:
    return ["kubectl", "apply", "--filename", file]


def _selected(chosen: Options, sweep: str, *more: str) -> list[str]:
    labels = [f"{SWEEP_LABEL}={gang.label(sweep)}", f"{MARK_LABEL}={gang.mark(chosen.bucket, sweep)}", *more]
    return ["--namespace", chosen.namespace, "--selector", ",".join(labels)]


def _get(chosen: Options, sweep: str) -> list[str]:
    return ["kubectl", "get", "jobsets.jobset.x-k8s.io", *_selected(chosen, sweep), "--output", "json"]


def _delete(chosen: Options, sweep: str) -> list[str]:
    return ["kubectl", "delete", "jobsets.jobset.x-k8s.io", *_selected(chosen, sweep), "--wait=false"]


def _delete_one(namespace: str, name: str) -> list[str]:
    return ["kubectl", "delete", "jobsets.jobset.x-k8s.io", name, "--namespace", namespace, "--ignore-not-found"]


def _logs(chosen: Options, sweep: str, run: str) -> list[str]:
    of = [*_selected(chosen, sweep, f"{RUN_LABEL}={run[:63]}"), "--container", CONTAINER]
    return ["kubectl", "logs", *of, "--tail", str(gang.LOG_LINES)]


def _gone(chosen: Options, sweep: str) -> None:
    gang.call(_delete(chosen, sweep))


def _states(chosen: Options, sweep: str, left: Mapping[str, RunConfig]) -> dict[str, State]:
    """The JobSets of a sweep by run; SweepError where the answer is none."""
    said = gang.call(_get(chosen, sweep))
    try:
        items = json.loads(said)["items"]
    except (json.JSONDecodeError, KeyError):
        raise SweepError(f"kubectl get jobsets: no JSON list but {said[:80]!r}") from None
    found = {item["metadata"]["labels"][RUN_LABEL]: state_of(item) for item in items}
    return {name: found[name[:63]] for name in left if name[:63] in found}


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

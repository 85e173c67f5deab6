"""Engine for TPU slices in a GKE cluster created by xpk: each trunk of a sweep is a JobSet, queued by Kueue.

    python -m sweeps launch NAME --store DIR --engine gke --option topology=v5e-16 --option image=IMAGE
        --option bucket=gs://BUCKET [--dry-run]

DIR is the mounted bucket; kubectl must be configured for the cluster. Active JobSets of an earlier launch are not
submitted again.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from sweeps.engines import cluster_jobs
from sweeps.engines.cluster_jobs import FAILED, RUNNING, SUCCEEDED, WAITING, Job, JobState
from sweeps.engines.events import LOG_LINES
from sweeps.engines.gke_manifest import (
    CONTAINER,
    HASH_LABEL,
    LABEL_LENGTH,
    RUN_LABEL,
    RUNS_ANNOTATION,
    SWEEP_LABEL,
    TRUNK_LABEL,
    GkeOptions,
    jobset,
)
from sweeps.engines.job_names import sweep_hash, sweep_label
from sweeps.engines.submission import DryRun, JobFile, Submission
from sweeps.engines.trunks import TrunkJob, runs_by_trunk, submit_trunks, trunk_spec
from sweeps.errors import SweepError

RESOURCE = "jobsets.jobset.x-k8s.io"

poll = cluster_jobs.poll
cancel = cluster_jobs.cancel


def submit(submission: Submission, options: GkeOptions) -> Job:
    """Applies a JobSet for each trunk without an active JobSet.

    Args:
        submission: The runs.
        options: The engine's options.
    """
    return submit_trunks(
        submission,
        Cluster(submission, options),
        restarts=options.restarts,
        delete_command=shlex.join(_delete_command(options, submission.sweep)),
    )


def dry_run(submission: Submission, options: GkeOptions) -> DryRun:
    """Returns the files and commands of `submit`, `poll` and `cancel`; nothing is written or queried.

    Args:
        submission: The runs.
        options: The engine's options.
    """
    cluster = Cluster(submission, options)
    files = []
    for trunk, runs in runs_by_trunk(submission.configs).items():
        manifest = cluster.manifest(trunk, runs)
        file = f"{manifest['metadata']['name']}.json"
        files.append(JobFile(file, json.dumps(manifest, indent=1), [shlex.join(_apply_command(file))], runs=[runs]))
    notes = ["# queried by", shlex.join(_get_command(options, submission.sweep))]
    return DryRun(files, [*notes, "# stopped by", shlex.join(_delete_command(options, submission.sweep))])


class Cluster:
    """The JobSets of a sweep in the cluster."""

    def __init__(self, submission: Submission, options: GkeOptions) -> None:
        self.submission, self.options = submission, options
        self.store, self.sweep = submission.store, submission.sweep
        self.existing: set[str] = set()  # names of the JobSets at the last query

    def manifest(self, trunk: str, run_ids: Sequence[str]) -> dict[str, Any]:
        """Returns the manifest of the JobSet that trains runs of a trunk.

        Args:
            trunk: Label of the trunk.
            run_ids: Its runs, in order.
        """
        return jobset(trunk_spec(self.submission, self.options.bucket, trunk, run_ids), self.options)

    def active_jobs(self) -> dict[str, TrunkJob]:
        """Returns the waiting and running JobSets of an earlier launch, by trunk."""
        return {
            item["metadata"]["labels"][TRUNK_LABEL]: TrunkJob(
                name, item["metadata"]["annotations"][RUNS_ANNOTATION].split()
            )
            for name, item in self._items().items()
            if jobset_state(item).phase in (WAITING, RUNNING)
        }

    def job_states(self) -> dict[str, JobState]:
        """Returns the state of each JobSet, by name."""
        return {name: jobset_state(item) for name, item in self._items().items()}

    def submit(self, trunk: str, run_ids: Sequence[str]) -> str:
        """Deletes an ended JobSet of the same name, then applies the JobSet; returns its name.

        Args:
            trunk: Label of the trunk.
            run_ids: Its runs, in order.
        """
        manifest = self.manifest(trunk, run_ids)
        name: str = manifest["metadata"]["name"]
        if name in self.existing:
            cluster_jobs.run_command(_delete_one_command(self.options.namespace, name))
        cluster_jobs.run_command(_apply_command("-"), json.dumps(manifest))
        return name

    def delete(self) -> None:
        """Deletes all JobSets of the sweep; their pods receive SIGTERM."""
        cluster_jobs.run_command(_delete_command(self.options, self.sweep))

    def log_tail(self, job: TrunkJob) -> list[str]:
        """Returns the last log lines of a JobSet's pods."""
        return cluster_jobs.output_tail(_logs_command(self.options, self.sweep, job.run_ids[0]))

    def _items(self) -> dict[str, dict[str, Any]]:
        """Returns the JobSets by name; raises SweepError if kubectl does not print a JSON list."""
        output = cluster_jobs.run_command(_get_command(self.options, self.sweep))
        try:
            items = {item["metadata"]["name"]: item for item in json.loads(output)["items"]}
        except (ValueError, KeyError, TypeError, RecursionError):
            raise SweepError(f"kubectl get jobsets: expected a JSON list, got {output[:80]!r}") from None
        self.existing = set(items)
        return items


def _apply_command(file: str) -> list[str]:
    return ["kubectl", "apply", "--filename", file]


def _selection(options: GkeOptions, sweep: str, *labels: str) -> list[str]:
    selector = [f"{SWEEP_LABEL}={sweep_label(sweep)}", f"{HASH_LABEL}={sweep_hash(options.bucket, sweep)}", *labels]
    return ["--namespace", options.namespace, "--selector", ",".join(selector)]


def _get_command(options: GkeOptions, sweep: str) -> list[str]:
    return ["kubectl", "get", RESOURCE, *_selection(options, sweep), "--output", "json"]


def _delete_command(options: GkeOptions, sweep: str) -> list[str]:
    return ["kubectl", "delete", RESOURCE, *_selection(options, sweep), "--wait=false"]


def _delete_one_command(namespace: str, name: str) -> list[str]:
    return ["kubectl", "delete", RESOURCE, name, "--namespace", namespace, "--ignore-not-found"]


def _logs_command(options: GkeOptions, sweep: str, run_id: str) -> list[str]:
    selection = _selection(options, sweep, f"{RUN_LABEL}={run_id[:LABEL_LENGTH]}")
    return ["kubectl", "logs", *selection, "--container", CONTAINER, "--tail", str(LOG_LINES)]


def jobset_state(item: Mapping[str, Any]) -> JobState:
    """Returns the state of a JobSet from its status, as kubectl prints it."""
    status = item.get("status", {})
    crashes = status.get("restartsCountTowardsMax", 0)
    conditions = {c["type"]: c for c in status.get("conditions", []) if c["status"] == "True"}
    if "Failed" in conditions:
        failed = conditions["Failed"]
        reason = f"its JobSet failed: {failed.get('reason', '')}: {failed.get('message', '')}"
        return JobState(FAILED, reason, crashes)
    if "Completed" in conditions:
        return JobState(SUCCEEDED, "", crashes)
    if item.get("spec", {}).get("suspend") or "Suspended" in conditions:
        return JobState(WAITING, "", crashes)
    return JobState(RUNNING, "", crashes)

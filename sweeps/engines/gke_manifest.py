"""The JobSet of a trunk's runs on a TPU slice: a gang of pods, started and started again together.

Three ends of a pod are told apart by the Job's rules, and the JobSet acts on the rule that matched:
    disrupted (preempted, drained) or exit 75   all again, not counted
    exit 2 (the trainer refused its input)      never again
    any other                                   all again, at most `restarts` times
Sources: Kubernetes' documentation (pod failure policy), JobSet's (failure policy; messages are matched since 0.10,
which xpk installs), Kueue's (running JobSets), GKE's (TPUs in GKE, spot VMs, Cloud Storage FUSE).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sweeps.engines.cluster_jobs import MOUNT
from sweeps.planning.tpu_slices import Slice

AGAIN, REFUSED = 75, 2  # the trainer's exit statuses
CONTAINER = "trainer"
SWEEP_LABEL, MARK_LABEL, TRUNK_LABEL = "scaling/sweep", "scaling/mark", "scaling/trunk"  # a mark: see gang.py
RUN_LABEL, RUNS = "scaling/run", "scaling/runs"  # the run that a job is named by; an annotation: all of them, in order
GRACE = 25  # seconds from SIGTERM to SIGKILL; a spot machine gives no more
KEPT = 7 * 24 * 3600  # seconds that a JobSet that has ended can still be asked after


def manifest(
    *,
    name: str,
    trunk: str,
    runs: Sequence[str],
    sweep: str,
    mark: str,
    of: Slice,
    words: list[str],
    image: str,
    bucket: str,
    queue: str,
    priority: str,
    account: str,
    namespace: str,
    spot: bool,
    restarts: int,
) -> dict[str, Any]:
    """The JobSet, ready for JSON."""
    labels = {RUN_LABEL: runs[0][:63], TRUNK_LABEL: trunk, SWEEP_LABEL: sweep, MARK_LABEL: mark}
    many = ["--hosts", "auto"] if of.hosts > 1 else []
    pod = _pod(of, [*words, *many], image=image, bucket=bucket, priority=priority, account=account, spot=spot)
    job = {
        "parallelism": of.hosts,
        "completions": of.hosts,
        "completionMode": "Indexed",
        "backoffLimit": 0,
        "podFailurePolicy": {"rules": _pod_rules()},
        "template": {"metadata": {"labels": labels, "annotations": {"gke-gcsfuse/volumes": "true"}}, "spec": pod},
    }
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"kueue.x-k8s.io/queue-name": queue, **labels},
            "annotations": {
                "alpha.jobset.sigs.k8s.io/exclusive-topology": "cloud.google.com/gke-nodepool",
                RUNS: " ".join(runs),
            },
        },
        "spec": {
            "ttlSecondsAfterFinished": KEPT,
            "failurePolicy": {"maxRestarts": restarts, "rules": _gang_rules()},
            "replicatedJobs": [{"name": "slice", "replicas": 1, "template": {"spec": job}}],
        },
    }


def _pod_rules() -> list[dict[str, Any]]:
    """Ends of a pod that fail the Job by a rule; the place in the list is what the JobSet reads."""

    def code(number: int) -> dict[str, Any]:
        return {"containerName": CONTAINER, "operator": "In", "values": [number]}

    return [
        {"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "FailJob", "onExitCodes": code(AGAIN)},
        {"action": "FailJob", "onExitCodes": code(REFUSED)},
    ]


def _gang_rules() -> list[dict[str, Any]]:
    """What follows for the whole gang; where none matches, a restart that counts."""

    def rule(name: str, action: str, places: str) -> dict[str, Any]:
        pattern = f"matching FailJob rule at index {places}$"
        return {
            "name": name,
            "action": action,
            "onJobFailureReasons": ["PodFailurePolicy"],
            "onJobFailureMessagePatterns": [pattern],
        }

    return [rule("again", "RestartJobSetAndIgnoreMaxRestarts", "[01]"), rule("refused", "FailJobSet", "2")]


def _pod(
    of: Slice, command: list[str], *, image: str, bucket: str, priority: str, account: str, spot: bool
) -> dict[str, Any]:
    selector = {"cloud.google.com/gke-tpu-accelerator": of.node, "cloud.google.com/gke-tpu-topology": of.topology}
    tolerations = [{"key": "google.com/tpu", "operator": "Exists", "effect": "NoSchedule"}]
    if spot:
        selector["cloud.google.com/gke-spot"] = "true"
        tolerations.append({"key": "cloud.google.com/gke-spot", "operator": "Exists", "effect": "NoSchedule"})
    chips = {"google.com/tpu": str(of.chips_a_host)}
    store = {"bucketName": bucket, "mountOptions": "implicit-dirs,metadata-cache:ttl-secs:0"}
    return {
        "restartPolicy": "Never",
        "hostNetwork": True,
        "dnsPolicy": "ClusterFirstWithHostNet",
        "serviceAccountName": account,
        "priorityClassName": priority,
        "terminationGracePeriodSeconds": GRACE,
        "nodeSelector": selector,
        "tolerations": tolerations,
        "containers": [
            {
                "name": CONTAINER,
                "image": image,
                "command": command,
                "resources": {"requests": chips, "limits": dict(chips)},
                "securityContext": {"privileged": True},
                "volumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}, {"name": "store", "mountPath": MOUNT}],
            }
        ],
        "volumes": [
            {"name": "shm", "emptyDir": {"medium": "Memory"}},
            {"name": "store", "csi": {"driver": "gcsfuse.csi.storage.gke.io", "volumeAttributes": store}},
        ],
    }

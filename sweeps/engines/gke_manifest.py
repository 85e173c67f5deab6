"""Manifest of the JobSet that trains a trunk on a TPU slice; its pods are started and restarted together.

The rules of the Job distinguish how a pod ended, and the JobSet acts on the rule that matched:
    disruption (preemption, drain) or exit 75   restart all pods, not counted
    exit 2 (the trainer rejected its input)     no restart
    any other end                               restart all pods, at most `restarts` times
Sources: Kubernetes' documentation (pod failure policy), JobSet's (failure policy; messages are matched since 0.10,
which xpk installs), Kueue's (running JobSets), GKE's (TPUs in GKE, spot VMs, Cloud Storage FUSE).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scaling.config import exit_status
from scaling.counting.tpu import TpuSlice, tpu_slice
from sweeps.engines.job_names import bucket_name
from sweeps.engines.submission import RESTARTS
from sweeps.engines.trunks import STORE_MOUNT, TrunkSpec

CONTAINER = "trainer"
SWEEP_LABEL, HASH_LABEL, TRUNK_LABEL = "scaling/sweep", "scaling/mark", "scaling/trunk"  # hash: see job_names.py
RUN_LABEL, RUNS_ANNOTATION = "scaling/run", "scaling/runs"  # the first run of a job; all of them, in order
LABEL_LENGTH = 63  # characters that Kubernetes allows in the value of a label
GRACE_SECONDS = 25  # from SIGTERM to SIGKILL; a spot machine gives no more
TTL_SECONDS = 7 * 24 * 3600  # time for which an ended JobSet is kept


@dataclass(frozen=True, kw_only=True)
class GkeOptions:
    """Options of the gke engine; the defaults match a cluster created by xpk."""

    topology: str  # TPU slice of each job, such as v5e-16
    image: str  # container image with this package
    bucket: str  # bucket of the store, such as gs://my-runs
    queue: str = "multislice-queue"  # Kueue's local queue
    priority: str = "medium"  # Kubernetes' priority class
    account: str = "default"  # Kubernetes service account with write access to the bucket
    namespace: str = "default"  # Kubernetes namespace
    spot: bool = True  # spot machines, which can be taken away
    restarts: int = RESTARTS  # largest number of restarts of a job after a crash

    def __post_init__(self) -> None:
        tpu_slice(self.topology)
        bucket_name(self.bucket)

    @property
    def slice(self) -> TpuSlice:
        """The TPU slice of each job."""
        return tpu_slice(self.topology)


def jobset(spec: TrunkSpec, options: GkeOptions) -> dict[str, Any]:
    """Returns the manifest of the JobSet that trains a trunk's runs.

    Args:
        spec: The runs and their command.
        options: The engine's options.
    """
    hosts = options.slice.hosts
    labels = {
        RUN_LABEL: spec.run_ids[0][:LABEL_LENGTH],
        TRUNK_LABEL: spec.trunk,
        SWEEP_LABEL: spec.sweep,
        HASH_LABEL: spec.digest,
    }
    job = {
        "parallelism": hosts,
        "completions": hosts,
        "completionMode": "Indexed",
        "backoffLimit": 0,
        "podFailurePolicy": {"rules": _pod_rules()},
        "template": {
            "metadata": {"labels": labels, "annotations": {"gke-gcsfuse/volumes": "true"}},
            "spec": _pod(spec, options),
        },
    }
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": {
            "name": spec.name,
            "namespace": options.namespace,
            "labels": {"kueue.x-k8s.io/queue-name": options.queue, **labels},
            "annotations": {
                "alpha.jobset.sigs.k8s.io/exclusive-topology": "cloud.google.com/gke-nodepool",
                RUNS_ANNOTATION: " ".join(spec.run_ids),
            },
        },
        "spec": {
            "ttlSecondsAfterFinished": TTL_SECONDS,
            "failurePolicy": {"maxRestarts": options.restarts, "rules": _jobset_rules()},
            "replicatedJobs": [{"name": "slice", "replicas": 1, "template": {"spec": job}}],
        },
    }


def _pod_rules() -> list[dict[str, Any]]:
    """Returns the rules by which the end of a pod fails the Job; the JobSet refers to them by index."""

    def exit_code(status: int) -> dict[str, Any]:
        return {"containerName": CONTAINER, "operator": "In", "values": [status]}

    return [
        {"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "FailJob", "onExitCodes": exit_code(exit_status.STOPPED)},
        {"action": "FailJob", "onExitCodes": exit_code(exit_status.BAD_INPUT)},
    ]


def _jobset_rules() -> list[dict[str, Any]]:
    """Returns the rules for restarting all pods; if no rule matches, a restart is counted."""

    def rule(name: str, action: str, indices: str) -> dict[str, Any]:
        pattern = f"matching FailJob rule at index {indices}$"
        return {
            "name": name,
            "action": action,
            "onJobFailureReasons": ["PodFailurePolicy"],
            "onJobFailureMessagePatterns": [pattern],
        }

    return [rule("again", "RestartJobSetAndIgnoreMaxRestarts", "[01]"), rule("refused", "FailJobSet", "2")]


def _pod(spec: TrunkSpec, options: GkeOptions) -> dict[str, Any]:
    tpu = options.slice
    selector = {
        "cloud.google.com/gke-tpu-accelerator": tpu.generation.gke_node,
        "cloud.google.com/gke-tpu-topology": tpu.shape,
    }
    tolerations = [{"key": "google.com/tpu", "operator": "Exists", "effect": "NoSchedule"}]
    if options.spot:
        selector["cloud.google.com/gke-spot"] = "true"
        tolerations.append({"key": "cloud.google.com/gke-spot", "operator": "Exists", "effect": "NoSchedule"})
    chips = {"google.com/tpu": str(tpu.chips_per_host)}
    store = {"bucketName": spec.bucket, "mountOptions": "implicit-dirs,metadata-cache:ttl-secs:0"}
    return {
        "restartPolicy": "Never",
        "hostNetwork": True,
        "dnsPolicy": "ClusterFirstWithHostNet",
        "serviceAccountName": options.account,
        "priorityClassName": options.priority,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "nodeSelector": selector,
        "tolerations": tolerations,
        "containers": [
            {
                "name": CONTAINER,
                "image": options.image,
                "command": [*spec.command, *(["--hosts", "auto"] if tpu.hosts > 1 else [])],
                "resources": {"requests": chips, "limits": dict(chips)},
                "securityContext": {"privileged": True},
                "volumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}, {"name": "store", "mountPath": STORE_MOUNT}],
            }
        ],
        "volumes": [
            {"name": "shm", "emptyDir": {"medium": "Memory"}},
            {"name": "store", "csi": {"driver": "gcsfuse.csi.storage.gke.io", "volumeAttributes": store}},
        ],
    }

"""GKE: the JobSet against its schema, the Job strictly, and field by field against what xpk writes."""

from pathlib import Path
from typing import Any

import pytest

from scaling.config.run import RunConfig
from scaling.counting.tpu import tpu_slice
from tests.support.clusters import cloud
from tests.support.clusters.gke import dry_run_jobset, job_spec

ROUND_TRIP = """
import json, sys
from kubeflow_trainer_api.models import JobsetV1alpha2JobSet as JobSet
print(json.dumps(JobSet.from_dict(json.load(sys.stdin)).to_dict()))
"""
STRICT = """
import json, sys
import kubernetes_validate as k
job = json.load(sys.stdin)
try:
    k.validate(job, k.latest_version(), strict=True)
    print(json.dumps(""))
except k.ValidationError as error:
    print(json.dumps(str(error.message)))
"""
READ = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(json.load(sys.stdin)))))"
SLICES = ("v5e-16", "v5p-32", "v6e-16", "v4-16", "v5e-8")


@pytest.mark.slow
@pytest.mark.parametrize("name", SLICES)
def test_the_jobset_has_no_field_its_schema_lacks(tmp_path: Path, tiny: RunConfig, name: str) -> None:
    own_values = dry_run_jobset(tmp_path, tiny, topology=name)
    assert cloud.asked(ROUND_TRIP, own_values, tmp_path) == own_values


@pytest.mark.slow
def test_the_round_trip_tells_an_unknown_field(tmp_path: Path, tiny: RunConfig) -> None:
    own_values = dry_run_jobset(tmp_path, tiny)
    own_values["spec"]["failurePolicy"]["maxRestart"] = 1
    assert cloud.asked(ROUND_TRIP, own_values, tmp_path) != own_values


@pytest.mark.slow
@pytest.mark.parametrize("name", SLICES)
def test_the_job_is_valid_strictly(tmp_path: Path, tiny: RunConfig, name: str) -> None:
    inner = job_spec(dry_run_jobset(tmp_path, tiny, topology=name))
    whole = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "a"}, "spec": inner}
    assert cloud.asked(STRICT, whole, tmp_path) == ""
    inner["template"]["spec"]["nodeSelecter"] = {}
    assert "nodeSelecter" in cloud.asked(STRICT, whole, tmp_path)


DIFFERENCES = {  # a field's path, up to here: why it is not xpk's
    "metadata.namespace": "said, so that the files work whatever kubectl's context has",
    "metadata.labels": "ours select a sweep, a trunk and a run; the queue's is the same (tested below)",
    "metadata.annotations.scaling/runs": "what the launch that follows the job must know of it",
    "spec.ttlSecondsAfterFinished": "a week: a launch on Monday must still see what failed on Friday",
    "spec.failurePolicy": "xpk fails at the first failure and leaves rules unnamed; ours tell three ends apart",
    "job.completionMode": "Indexed: what JobSet would default to, said",
    "job.podFailurePolicy": "xpk fails on exits 0 to 126 but 42, with a null list; ours say 75, 2 and disruption",
    "pod.imagePullSecrets": "xpk writes a secret named None",
    "pod.schedulerName": "the default",
    "pod.serviceAccountName": "xpk leaves null: the namespace's default; ours says which, for the bucket",
    "pod.terminationGracePeriodSeconds": "25 s: what a spot machine gives",
    "pod.nodeSelector.cloud.google.com/gke-spot": "xpk leaves spot to the node pool; ours asks for it",
    "pod.tolerations": "ours tolerates spot, and the TPU's taint by its effect",
    "pod.volumes": "the bucket beside xpk's shared memory, under names of our own",
    "template.metadata": "labels of ours, and the annotation that lets the bucket be mounted",
    "container.name": "ours",
    "container.command": "the trainer itself: it takes SIGTERM as process 1, no shell between",
    "container.env": "xpk writes null",
    "container.resources.requests": "equal to the limits: what Kubernetes would default to, said",
    "container.resources.limits": "the same number, as text (tested below)",
    "container.volumeMounts": "the bucket, and names of volumes",
    "replicated.name": "ours",
}


def flat(value: Any, path: str) -> dict[str, Any]:
    """Leaves by path; a list is a leaf."""
    if not isinstance(value, dict):
        return {path: value}
    out: dict[str, Any] = {}
    for key, inner in value.items():
        out |= flat(inner, f"{path}.{key}")
    return out or {path: value}


def fields(jobset: dict[str, Any]) -> dict[str, Any]:
    """A JobSet's fields by path, the job, pod and container each at a root of its own."""
    (replicated,) = jobset["spec"]["replicatedJobs"]
    inner = replicated["template"]["spec"]
    pod = inner["template"]["spec"]
    (container,) = pod["containers"]
    cut = {
        "metadata": jobset["metadata"],
        "spec": {k: v for k, v in jobset["spec"].items() if k != "replicatedJobs"},
        "replicated": {k: v for k, v in replicated.items() if k != "template"},
        "job": {k: v for k, v in inner.items() if k != "template"},
        "template.metadata": inner["template"]["metadata"],
        "pod": {k: v for k, v in pod.items() if k != "containers"},
        "container": container,
    }
    out: dict[str, Any] = {"apiVersion": jobset["apiVersion"], "kind": jobset["kind"]}
    for root, value in cut.items():
        out |= flat(value, root)
    return out


def xpk(name: str, tmp_path: Path) -> dict[str, Any]:
    """What xpk would apply for a slice."""
    file = tmp_path / "xpk.yaml"
    cloud.run(
        [cloud.tool("xpk"), "workload", "create", "--dry-run", "--skip-validation", "--cluster", "c", "--project", "p",
         "--zone", "us-central1-a", "--workload", "run",
         "--tpu-type", tpu_slice(name).cloud_name, "--docker-image", "i:1",
         "--command", "true", "--output-manifest-file", str(file)], tmp_path,
    )  # fmt: skip
    read: dict[str, Any] = cloud.asked(READ, str(file), tmp_path)
    return read


@pytest.mark.slow
@pytest.mark.parametrize("name", SLICES)
def test_the_jobset_is_xpks_but_for_reasoned_differences(tmp_path: Path, tiny: RunConfig, name: str) -> None:
    theirs_whole, ours_whole = xpk(name, tmp_path), dry_run_jobset(tmp_path, tiny, topology=name, image="i:1")
    published_values, own_values = fields(theirs_whole), fields(ours_whole)
    published_values["metadata.name"] = own_values["metadata.name"]
    absent = object()
    differ = {
        key
        for key in {*published_values, *own_values}
        if published_values.get(key, absent) != own_values.get(key, absent)
    }
    unexplained = {k for k in differ if not any(k == known or k.startswith(f"{known}.") for known in DIFFERENCES)}
    assert not unexplained, {key: (published_values.get(key), own_values.get(key)) for key in unexplained}
    idle = [known for known in DIFFERENCES if not any(k == known or k.startswith(f"{known}.") for k in differ)]
    assert not idle, f"no longer differ: {idle}"
    queue = "metadata.labels.kueue.x-k8s.io/queue-name"
    assert published_values[queue] == own_values[queue]
    chips = "container.resources.limits.google.com/tpu"
    assert str(published_values[chips]) == own_values[chips]
    for key in ("cloud.google.com/gke-tpu-accelerator", "cloud.google.com/gke-tpu-topology"):
        assert published_values[f"pod.nodeSelector.{key}"] == own_values[f"pod.nodeSelector.{key}"]

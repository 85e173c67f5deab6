"""GKE: the JobSet of a trunk, against its schema and xpk's; how a gang that ends is understood."""

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from scaling.config.run import RunConfig, prefix_id, run_id
from scaling.config.validation import ConfigError
from scaling.counting.tpu import GENERATIONS, tpu_slice
from scaling.store.record import Record, Store
from sweeps.engines import cluster_jobs, gke, job_names
from sweeps.errors import SweepError
from sweeps.launching.progress import SweepProgress
from sweeps.planning.budget import step_flops
from tests.support.clusters.gke import OPTIONS, dry_run_jobset, job_spec
from tests.support.commands import command
from tests.support.sweeps import dry_run_text, submit_runs


@pytest.mark.parametrize("name", [f"{g}-{n}" for g, facts in GENERATIONS.items() for n in facts.slices])
def test_hosts_of_a_slice_have_all_its_chips(name: str) -> None:
    for largest_host in (4, 8):
        result = tpu_slice(name, largest_host=largest_host)
        assert result.hosts * result.chips_per_host == math.prod(map(int, result.shape.split("x")))
        assert result.libtpu_name == f"{name.partition('-')[0]}:{result.shape}"


def test_an_unknown_slice_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"v5e-17.*must be one of.*v5e-16"):
        tpu_slice("v5e-17")


def test_a_slice_is_one_gang_of_its_hosts(tmp_path: Path, tiny: RunConfig) -> None:
    for name, hosts, chips, topo in (
        ("v5e-16", 4, "4", "4x4"),
        ("v5p-32", 4, "4", "2x2x4"),
        ("v6e-8", 2, "4", "2x4"),
        ("v6e-4", 1, "4", "2x2"),
    ):
        inner = job_spec(dry_run_jobset(tmp_path, tiny, topology=name))
        pod = inner["template"]["spec"]
        assert inner["parallelism"] == inner["completions"] == hosts
        assert inner["backoffLimit"] == 0 and pod["restartPolicy"] == "Never"
        assert pod["containers"][0]["resources"]["limits"] == {"google.com/tpu": chips}
        assert pod["nodeSelector"]["cloud.google.com/gke-tpu-topology"] == topo
        assert (pod["containers"][0]["command"][-2:] == ["--hosts", "auto"]) == (hosts > 1)


@pytest.mark.parametrize(
    ("finished", "action"),
    [
        ("disrupted", "RestartJobSetAndIgnoreMaxRestarts"),
        (75, "RestartJobSetAndIgnoreMaxRestarts"),
        (2, "FailJobSet"),
        (1, "counted"),
        (137, "counted"),
    ],
)
def test_preemption_and_75_go_on_uncounted_and_2_never(
    tmp_path: Path, tiny: RunConfig, finished: str | int, action: str
) -> None:
    jobset = dry_run_jobset(tmp_path, tiny)
    reason, message = "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    for place, rule in enumerate(job_spec(jobset)["podFailurePolicy"]["rules"]):
        codes = rule.get("onExitCodes", {}).get("values", [])
        conditions = [c["type"] for c in rule.get("onPodConditions", [])]
        if finished in codes or (finished == "disrupted" and "DisruptionTarget" in conditions):
            text = f"Container trainer failed with {finished} matching {rule['action']} rule at index {place}"
            reason, message = "PodFailurePolicy", text
            break
    for rule in jobset["spec"]["failurePolicy"]["rules"]:
        patterns = rule["onJobFailureMessagePatterns"]
        if reason in rule["onJobFailureReasons"] and any(re.search(p, message) for p in patterns):
            assert rule["action"] == action
            return
    assert action == "counted"


def test_options_that_are_wrong_are_said(tmp_path: Path, tiny: RunConfig) -> None:
    for options, message in (
        ({"topolgy": "v5e-16"}, "topolgy.*must be one of topology, image"),
        ({"topology": "v5e-16"}, "needs --option image=... --option bucket=..."),
        ({**OPTIONS, "spot": "maybe"}, "spot=maybe: must be yes or no"),
        ({**OPTIONS, "restarts": "-1"}, "restarts=-1: must be a whole number"),
        ({**OPTIONS, "bucket": "gs://a/b"}, "bucket=gs://a/b: must be the name of a bucket"),
    ):
        with pytest.raises(SweepError, match=message):
            dry_run_text("gke", Store(tmp_path / "s"), "s", [tiny], options)


def test_names_fit_what_a_cluster_allows() -> None:
    for sweep in ("a" * 200, "Über_sweep.2", "7b", "--"):
        name = job_names.job_name(sweep, job_names.sweep_hash("gs://my-runs", sweep), "f" * 64)
        assert re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", name) and len(f"{name}-slice-0-255-xxxxx") <= 63
        assert (
            re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", job_names.sweep_label(sweep))
            and len(job_names.sweep_label(sweep)) <= 63
        )


def test_what_is_asked_after_and_deleted_is_of_this_sweep_and_this_bucket(
    store: Store, tiny: RunConfig, cluster: Path
) -> None:
    known, names = set(), set()
    for sweep, bucket in (("a_b", "gs://my-runs"), ("a_b", "my-runs/"), ("a_b", "gs://yours"), ("a-b", "gs://my-runs")):
        job = submit_runs("gke", store, sweep, [tiny], {**OPTIONS, "bucket": bucket})
        gke.cancel(job)
        question = [line.split() for line in (cluster / "asked").read_text().splitlines()]
        (cluster / "asked").unlink()
        (selector,) = {words[words.index("--selector") + 1] for words in question if words[0] in ("get", "delete")}
        result = json.loads((cluster / "applied.json").read_text())["metadata"]
        assert all(result["labels"][key] == value for key, value in (part.split("=") for part in selector.split(",")))
        known.add(selector)
        names.add(result["name"])
    assert len(known) == len(names) == 3


def answer(cluster: Path, config: RunConfig, **status: Any) -> None:
    """What kubectl will say of the run's JobSet."""
    name = job_names.job_name("s", job_names.sweep_hash(OPTIONS["bucket"], "s"), run_id(config))
    labels, runs = {"scaling/trunk": prefix_id(config, 0)[:32]}, {"scaling/runs": run_id(config)}
    item = {"metadata": {"name": name, "labels": labels, "annotations": runs}, "spec": {}, "status": status}
    (cluster / "list.json").write_text(json.dumps({"items": [item]}))


def submitted(store: Store, tiny: RunConfig) -> cluster_jobs.Job:
    job = submit_runs("gke", store, "s", [tiny], OPTIONS)
    job.poll_seconds = job.record_delay = 0.0
    return job


def test_a_run_done_in_the_store_has_ended(store: Store, tiny: RunConfig, cluster: Path) -> None:
    job = submitted(store, tiny)
    assert json.loads((cluster / "applied.json").read_text())["kind"] == "JobSet"
    answer(cluster, tiny)
    assert gke.poll(job) == [] and not job.finished
    store.write(Record(run_id=run_id(tiny), config=tiny, status="done", final={"loss": 2.0}))
    assert gke.poll(job) == [{"event": "end", "run_id": run_id(tiny), "status": "done", "loss": 2.0}]
    assert job.finished and not job.stopped


def test_a_gang_that_crashed_too_often_is_a_failed_record(store: Store, tiny: RunConfig, cluster: Path) -> None:
    job = submitted(store, tiny)
    answer(cluster, tiny, restarts=5, restartsCountTowardsMax=1)
    (died,) = gke.poll(job)
    assert (died["event"], died["attempt"], died["attempts"]) == ("died", 1, 3)
    assert died["log"] == ["step 3", "out of memory"]
    failed = {"type": "Failed", "status": "True", "reason": "ReachedMaxRestarts", "message": "jobset failed"}
    answer(cluster, tiny, conditions=[failed])
    (end,) = gke.poll(job)
    record = store.read(run_id(tiny))
    assert record is not None and record.status == end["status"] == "failed"
    assert "ReachedMaxRestarts" in record.about["error"] and record.about["error"].endswith(": out of memory")


def test_a_success_without_a_record_is_waited_for_then_failed(store: Store, tiny: RunConfig, cluster: Path) -> None:
    job = submitted(store, tiny)
    job.record_delay = cluster_jobs.RECORD_DELAY_SECONDS
    answer(cluster, tiny, conditions=[{"type": "Completed", "status": "True"}])
    assert gke.poll(job) == []
    job.record_delay = 0.0
    (end,) = gke.poll(job)
    assert end["status"] == "failed" and "check that --store is the bucket" in end["error"]


def test_a_refused_run_keeps_the_trainers_own_words(store: Store, tiny: RunConfig, cluster: Path) -> None:
    job = submitted(store, tiny)
    answer(cluster, tiny, conditions=[{"type": "Completed", "status": "True"}])
    store.write(Record(run_id=run_id(tiny), config=tiny, status="failed", about={"error": "no such token file"}))
    (end,) = gke.poll(job)
    assert end["status"] == "failed" and end["error"] == "no such token file" and job.finished


def test_an_earlier_launchs_failure_is_not_this_ones_reason(store: Store, tiny: RunConfig, cluster: Path) -> None:
    store.write(Record(run_id=run_id(tiny), config=tiny, status="failed", about={"error": "no such token file"}))
    job = submitted(store, tiny)
    answer(cluster, tiny, conditions=[{"type": "Failed", "status": "True", "reason": "ImageGone"}])
    (end,) = gke.poll(job)
    assert "ImageGone" in end["error"] and "token file" not in end["error"]


def test_cancelled_runs_are_left_for_the_next_launch(store: Store, tiny: RunConfig, cluster: Path) -> None:
    job = submitted(store, tiny)
    answer(cluster, tiny)
    gke.poll(job)
    gke.cancel(job)
    gke.poll(job)
    assert job.finished and job.stopped and list(job.remaining) == [run_id(tiny)]


def test_jobs_that_cannot_be_deleted_now_are_at_a_later_look(store: Store, tiny: RunConfig, cluster: Path) -> None:
    job = submitted(store, tiny)
    answer(cluster, tiny)
    (cluster / "stuck").touch()
    gke.cancel(job)
    assert gke.poll(job) == [] and not job.finished
    (cluster / "stuck").unlink()
    assert gke.poll(job) == [] and job.finished and job.stopped and job.error is None


def test_jobs_that_cannot_be_deleted_at_all_are_said_with_what_deletes_them(
    store: Store, tiny: RunConfig, cluster: Path
) -> None:
    job = submitted(store, tiny)
    answer(cluster, tiny)
    (cluster / "stuck").touch()
    gke.cancel(job)
    for _ in range(cluster_jobs.MAX_FAILED_POLLS):
        assert not job.finished and gke.poll(job) == []
    assert job.finished and job.error is not None
    assert "TLS handshake timeout (40 times); running jobs continue: stop them with: kubectl delete" in job.error


def test_a_jobset_under_way_is_not_applied_twice(store: Store, tiny: RunConfig, cluster: Path) -> None:
    answer(cluster, tiny)
    submitted(store, tiny)
    assert not (cluster / "applied.json").exists()
    answer(cluster, tiny, conditions=[{"type": "Failed", "status": "True"}])
    submitted(store, tiny)
    assert "delete" in (cluster / "asked").read_text() and (cluster / "applied.json").exists()


def test_a_cluster_out_of_reach_is_no_failed_run(store: Store, tiny: RunConfig, cluster: Path) -> None:
    job = submitted(store, tiny)
    (cluster / "deaf").touch()
    assert gke.poll(job) == [] and not job.finished
    for _ in range(cluster_jobs.MAX_FAILED_POLLS):
        gke.poll(job)
    assert job.finished and job.error is not None and "no route to host" in job.error
    assert store.read(run_id(tiny)) is None


def stands(store: Store, tiny: RunConfig, status: str, steps: int, first: int | None = None, pid: int = 1) -> None:
    """A run as its trainer left it in the store: the process of that number, from `first`, at the last of its steps."""
    began = {} if first is None else {"started_from": {"step": first}}
    store.write(
        Record(
            run_id=run_id(tiny),
            config=tiny,
            status=status,
            about={"started": "2026-11-30T12:00:00+00:00", "pid": pid, **began},
        )
    )
    store.reset_curve(run_id(tiny), [{"step": step, "loss": 5.0} for step in range(1, steps + 1)])


def test_what_an_earlier_launch_trained_is_not_counted_again(store: Store, tiny: RunConfig, cluster: Path) -> None:
    stands(store, tiny, "stopped", 12)
    job = submitted(store, tiny)
    answer(cluster, tiny)
    assert gke.poll(job) == []
    stands(store, tiny, "running", 12, pid=2)  # taken in hand: it compiles
    assert gke.poll(job) == []
    stands(store, tiny, "running", 10, first=9, pid=2)
    started, step = gke.poll(job)
    assert (started["event"], started["from"], step["step"]) == ("start", 9, 10)
    progress = SweepProgress({run_id(tiny): tiny}, {run_id(tiny): 9})  # what a cap is held against
    progress.note(started)
    progress.note(step)
    assert progress.done == step_flops(tiny)


def test_a_run_that_begins_and_ends_between_two_looks_is_counted(store: Store, tiny: RunConfig, cluster: Path) -> None:
    job = submitted(store, tiny)
    answer(cluster, tiny)
    stands(store, tiny, "done", 0, first=16)
    progress = SweepProgress({run_id(tiny): tiny}, {run_id(tiny): 0})  # what a cap is held against
    for event in gke.poll(job):
        progress.note(event)
    assert job.finished and progress.done == 4 * step_flops(tiny)


def test_a_run_under_way_counts_from_where_it_is_found(store: Store, tiny: RunConfig, cluster: Path) -> None:
    stands(store, tiny, "running", 12, first=0)
    job = submitted(store, tiny)
    answer(cluster, tiny)
    assert gke.poll(job) == []
    stands(store, tiny, "running", 15, first=0)
    assert [event.get("from", event.get("step")) for event in gke.poll(job)] == [12, 15]


def test_dry_run_prints_files_and_commands_and_starts_nothing(store: Store, cluster: Path) -> None:
    flags = [argument for name, value in OPTIONS.items() for argument in ("--option", f"{name}={value}")]
    corpus = "markov:order=1,vocab=8,tokens=200000,seed=0"
    done = command(
        "sweeps", "launch", "markov", "--corpus", corpus, "--store", store.root, "--engine", "gke", "--dry-run", *flags
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('"kind": "JobSet"') == done.stdout.count("kubectl apply") == 5
    assert not (cluster / "asked").exists() and not (store.root / "runs").exists()

"""A trunk is a job: its runs in one process, and what becomes of them when the job does not end well."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from scaling.config.run import RunConfig, override, prefix_id, run_id
from scaling.store.record import Record, Store
from sweeps.engines import cluster_jobs, gke, job_names, trunks
from sweeps.engines.submission import Submission, write_configs
from sweeps.launching.launch import launch
from sweeps.launching.options import LaunchOptions
from tests.support.clusters.gke import OPTIONS
from tests.support.commands import ROOT, command, outcomes
from tests.support.sweeps import curves, dry_run_text, eight_times_longer, stored_corpus, submit_runs, trained_grid

FAILED = {"type": "Failed", "status": "True", "reason": "ReachedMaxRestarts", "message": "restarts: 2"}


@pytest.fixture
def trunk(tiny: RunConfig) -> list[RunConfig]:
    """Three runs of a trunk, in order of execution."""
    return [override(tiny, [f"steps={steps}"]) for steps in (20, 40, 60)]


def names(configs: list[RunConfig]) -> list[str]:
    return [run_id(config) for config in configs]


def submitted(store: Store, configs: list[RunConfig]) -> cluster_jobs.Job:
    job = submit_runs("gke", store, "s", configs, OPTIONS)
    job.poll_seconds = job.record_delay = 0.0
    return job


def applied(cluster: Path) -> list[str]:
    """The runs of the JobSet that was applied since the last call; none where none was."""
    path = cluster / "applied.json"
    result = json.loads(path.read_text()) if path.exists() else {"metadata": {"annotations": {"scaling/runs": ""}}}
    path.unlink(missing_ok=True)
    return result["metadata"]["annotations"]["scaling/runs"].split()


def answers(cluster: Path, *jobs: tuple[list[RunConfig], dict[str, Any]]) -> None:
    """What kubectl will say of the JobSets of these runs."""
    items = []
    for configs, status in jobs:
        name = job_names.job_name("s", job_names.sweep_hash(OPTIONS["bucket"], "s"), run_id(configs[0]))
        labels = {"scaling/trunk": prefix_id(configs[0], 0)[:32]}
        runs = {"scaling/runs": " ".join(names(configs))}
        metadata = {"name": name, "labels": labels, "annotations": runs}
        items.append({"metadata": metadata, "spec": {}, "status": status})
    (cluster / "list.json").write_text(json.dumps({"items": items}))


def write(store: Store, config: RunConfig, status: str, **about: Any) -> None:
    store.write(Record(run_id=run_id(config), config=config, status=status, about=about))


def statuses(store: Store, configs: list[RunConfig]) -> list[str | None]:
    return [record.status if (record := store.read(name)) else None for name in names(configs)]


def test_a_trunk_is_one_job_that_trains_its_runs_in_order(tmp_path: Path, trunk: list[RunConfig]) -> None:
    other = override(trunk[0], ["seed=1"])
    for engine, kind in (("gke", "kubectl apply"), ("skypilot", "sky jobs launch")):
        options = {name: OPTIONS[name] for name in ("topology", "bucket")} if engine == "skypilot" else OPTIONS
        text = dry_run_text(engine, Store(tmp_path), "s", [*trunk, other], options)
        assert text.count(kind) == 2, text
        order = [text.index(f"/store/runs/{name}/config.json") for name in names([*trunk, other])]
        assert order == sorted(order)


def test_a_run_that_takes_its_job_with_it_fails_alone_and_the_rest_of_the_trunk_goes_on(
    store: Store, trunk: list[RunConfig], cluster: Path
) -> None:
    job = submitted(store, trunk)
    assert applied(cluster) == names(trunk)
    write(store, trunk[0], "done")
    write(store, trunk[1], "running", started="2026-11-30T12:00:00+00:00")
    answers(cluster, (trunk, {"conditions": [FAILED]}))
    finished = {event["run_id"]: event["status"] for event in gke.poll(job)}
    assert finished == {run_id(trunk[0]): "done", run_id(trunk[1]): "failed"} and not job.finished
    record = store.read(run_id(trunk[1]))
    assert record is not None and record.about["error"].endswith("ReachedMaxRestarts: restarts: 2: out of memory")
    assert record.about["log"] == ["step 3", "out of memory"]
    assert applied(cluster) == names(trunk[2:])
    answers(cluster, (trunk, {"conditions": [FAILED]}), (trunk[2:], {}))  # the old one stays a week
    assert gke.poll(job) == [] and applied(cluster) == [] and not job.finished
    write(store, trunk[2], "done")
    assert [event["status"] for event in gke.poll(job)] == ["done"] and job.finished and not job.stopped


def test_a_record_may_take_its_time_to_the_launcher_before_a_run_is_blamed(
    store: Store, trunk: list[RunConfig], cluster: Path
) -> None:
    job = submitted(store, trunk)
    job.record_delay = cluster_jobs.RECORD_DELAY_SECONDS
    applied(cluster)
    write(store, trunk[0], "running", started="2026-11-30T12:00:00+00:00")  # as it was a minute ago
    answers(cluster, (trunk, {"conditions": [FAILED]}))
    assert gke.poll(job) == [] and applied(cluster) == [] and not job.finished
    write(store, trunk[0], "done")
    write(store, trunk[1], "running", started="one")
    job.record_delay = 0.0
    assert [event["status"] for event in gke.poll(job)] == ["done", "failed"] and applied(cluster) == names(trunk[2:])


def test_a_run_that_says_why_it_failed_is_the_one_whatever_an_earlier_launch_left(
    store: Store, trunk: list[RunConfig], cluster: Path
) -> None:
    write(store, trunk[1], "running", started="last week")
    job = submitted(store, trunk)
    applied(cluster)
    write(store, trunk[0], "failed", error="loss of the batch is no number", started="2026-11-30T12:00:00+00:00")
    answers(cluster, (trunk, {"conditions": [FAILED]}))
    (end,) = gke.poll(job)
    assert end["error"] == "loss of the batch is no number" and applied(cluster) == names(trunk[1:])


def test_a_job_that_never_came_to_a_run_fails_with_all_of_them(
    store: Store, trunk: list[RunConfig], cluster: Path
) -> None:
    job = submitted(store, trunk)
    applied(cluster)
    answers(cluster, (trunk, {"conditions": [{**FAILED, "reason": "FailJobSetFailurePolicyAction"}]}))
    assert {event["status"] for event in gke.poll(job)} == {"failed"} and job.finished
    assert statuses(store, trunk) == ["failed"] * 3 and applied(cluster) == []


@pytest.mark.parametrize("beside", [False, True])
def test_what_cannot_be_submitted_now_is_at_a_later_look_and_no_other_run_is_blamed(
    store: Store, trunk: list[RunConfig], cluster: Path, beside: bool
) -> None:
    other = [override(trunk[0], ["seed=1"])] if beside else []
    job = submitted(store, [*trunk, *other])
    applied(cluster)
    write(store, trunk[0], "running", started="2026-11-30T12:00:00+00:00")
    answers(cluster, (trunk, {"conditions": [FAILED]}), *([(other, {})] if other else []))
    (cluster / "full").touch()
    events = [event["run_id"] for _ in range(3) for event in gke.poll(job)]
    assert events == (names(trunk[:1]) if beside else []) and not job.finished  # others' news do not wait for it
    (cluster / "full").unlink()
    assert events + [event["run_id"] for event in gke.poll(job)] == names(trunk[:1])
    assert applied(cluster) == names(trunk[1:]) and statuses(store, trunk) == ["failed", None, None]


def test_a_crash_is_told_of_the_run_that_was_under_way_and_once(
    store: Store, trunk: list[RunConfig], cluster: Path
) -> None:
    job = submitted(store, trunk)
    write(store, trunk[0], "done")
    write(store, trunk[1], "running", started="2026-11-30T12:00:00+00:00")
    answers(cluster, (trunk, {"restartsCountTowardsMax": 1}))
    events = [event for _ in range(3) for event in gke.poll(job)]
    assert [(event["event"], event["run_id"]) for event in events] == [
        ("end", run_id(trunk[0])), ("died", run_id(trunk[1]))
    ]  # fmt: skip
    assert (events[1]["attempt"], events[1]["attempts"]) == (1, 3)


def test_a_trunks_job_is_followed_whatever_it_is_named_by_and_what_it_has_not_comes_after_it(
    store: Store, trunk: list[RunConfig], cluster: Path
) -> None:
    answers(cluster, (trunk[:2], {}))  # an earlier launch's, whose first run is done by now
    write(store, trunk[0], "done")
    job = submitted(store, trunk[1:])
    assert gke.poll(job) == [] and applied(cluster) == []
    write(store, trunk[1], "done")
    answers(cluster, (trunk[:2], {"conditions": [{"type": "Completed", "status": "True"}]}))
    assert [event["run_id"] for event in gke.poll(job)] == names(trunk[1:2])
    assert gke.poll(job) == [] and applied(cluster) == names(trunk[2:]) and not job.finished


def test_a_stopped_launch_submits_nothing_more(store: Store, trunk: list[RunConfig], cluster: Path) -> None:
    job = submitted(store, trunk)
    applied(cluster)
    write(store, trunk[0], "running", started="2026-11-30T12:00:00+00:00")
    gke.cancel(job)
    answers(cluster, (trunk, {"conditions": [FAILED]}))
    assert [event["run_id"] for event in gke.poll(job)] == names(trunk[:1])
    assert job.finished and job.stopped and applied(cluster) == [] and list(job.remaining) == names(trunk[1:])


def words(store: Store, configs: list[RunConfig]) -> list[str]:
    """The command of a job, on this machine."""
    write_configs(Submission(store=store, sweep="s", configs=configs))
    arguments = trunks.job_command(Submission(store=store, sweep="s", configs=configs), names(configs))
    assert arguments[:2] == ["python", "-m"]
    return [argument.replace(trunks.STORE_MOUNT, str(store.root)) for argument in arguments[2:]]


@pytest.mark.slow
def test_what_is_planned_as_shared_is_shared_and_a_preemption_costs_no_step(
    noise_store: Store, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A JobSet's command runs here for real; the records are bit for bit those of the local engine."""
    corpus, folder, other = (
        stored_corpus(noise_store),
        tmp_path_factory.mktemp("here"),
        Store(tmp_path_factory.mktemp("other")),
    )
    (other.root / "tokens").symlink_to(noise_store.token_files)
    runs = eight_times_longer(trained_grid(corpus))
    with monkeypatch.context() as patch:
        patch.setenv("XLA_FLAGS", "")
        assert launch(other, "small", runs, corpus, LaunchOptions(workers=1)) == 0
    (folder / "kubectl").write_text(
        f'#!/bin/sh\nexec {sys.executable} {ROOT}/tests/support/clusters/kubectl_here.py "$@"\n'
    )
    (folder / "kubectl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("CLUSTER", str(folder))
    monkeypatch.setenv("STORE", str(noise_store.root))

    def preempt() -> None:
        """Tells the first trainer that has come to a step to save and stop."""
        while not (pids := [r.about["pid"] for r in noise_store.records() if noise_store.last_row(r.run_id)]):
            time.sleep(0.05)
        os.kill(pids[0], signal.SIGTERM)

    threading.Thread(target=preempt, daemon=True).start()
    options = {**OPTIONS, "topology": "v5e-4"}
    assert launch(noise_store, "small", runs, corpus, LaunchOptions(engine="gke", engine_options=options)) == 0
    records = [[store.read(run_id(config)) for config in runs] for store in (noise_store, other)]
    computed = [[record.about["steps_computed"] for record in subset if record] for subset in records]
    assert computed[0] == computed[1] and sum(computed[0]) < sum(config.steps for config in runs)
    assert any(record is not None and record.about.get("before") for record in records[0])  # it was preempted
    assert curves(noise_store, runs) == curves(other, runs)
    assert len(list(folder.glob("*.json"))) == 2


@pytest.mark.slow
@pytest.mark.parametrize("hosts", [1, 2])
def test_a_job_trains_a_branch_from_what_its_trunk_left_on_however_many_hosts(
    store: Store, trunk: list[RunConfig], hosts: int
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{free.getsockname()[1]}"
    line = [sys.executable, "-m", *words(store, trunk[:2])]
    lines = [[*line, "--hosts", "2", "--host", str(i), "--coordinator", where] for i in range(2)]
    env = {**os.environ, "XLA_FLAGS": ""}
    jobs = [
        subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=env)
        for words in (lines if hosts == 2 else [line])
    ]
    assert [status for status, _, _ in outcomes(jobs)] == [0] * hosts
    first, second = (store.read(name) for name in names(trunk[:2]))
    assert first is not None and first.about["hosts"] == hosts and "started_from" not in first.about
    assert second is not None and second.about["started_from"] == {"step": 16, "shared": True}


@pytest.mark.slow
def test_a_branch_waits_for_a_trunk_that_a_process_elsewhere_was_killed_at(
    store: Store, trunk: list[RunConfig]
) -> None:
    lease = store.root / "leases" / run_id(trunk[0]) / "00000001.json"
    lease.parent.mkdir(parents=True)
    lease.write_text(json.dumps({"owner": {"host": "gone", "pid": 1, "machine": "another"}, "beats": 3}))
    done = command(*words(store, trunk[:2]), SCALING_LEASE_SECONDS=3)
    assert done.returncode == 0 and "skipped for now" in done.stderr, done.stderr
    second = store.read(run_id(trunk[1]))
    assert second is not None and second.about["started_from"] == {"step": 16, "shared": True}


@pytest.mark.slow
def test_a_job_ends_at_the_run_that_fails_with_its_status(store: Store, trunk: list[RunConfig]) -> None:
    runs = [trunk[0], override(trunk[1], [f"data.tokens={'ab' * 32}"]), trunk[2]]
    done = command(*words(store, runs))
    assert done.returncode == 2, done.stderr
    assert statuses(store, runs) == ["done", "failed", None]

"""SkyPilot: a trunk's task against its own parser; each host's part; how the queue is understood."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from scaling.config.run import RunConfig, override, run_id
from scaling.counting.tpu import tpu_slice
from scaling.store.record import Record, Store
from sweeps.engines import cluster_jobs, job_names, skypilot
from sweeps.errors import SweepError
from tests.support.clusters import cloud
from tests.support.sweeps import dry_run_text, submit_runs

OPTIONS = {"topology": "v5e-16", "bucket": "gs://my-runs"}


def dry_run_task(tmp_path: Path, tiny: RunConfig, **options: str) -> dict[str, Any]:
    """The one task of a dry run."""
    text = dry_run_text("skypilot", Store(tmp_path / "s"), "sweep", [tiny], {**OPTIONS, **options})
    return json.loads(text[text.index("{") : text.rindex("\n}") + 2])


PYTHON = """#!/bin/sh
echo "$@" > "$SAID"
exit $STATUS
"""


def host(tmp_path: Path, name: str, rank: int, status: int) -> tuple[int, str]:
    """Exit status of the script on one host and the arguments it gave the trainer, which ends with `status`."""
    (tmp_path / "python").write_text(PYTHON)
    (tmp_path / "python").chmod(0o755)
    env = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}", "SAID": str(tmp_path / "said"), "STATUS": str(status),
        "SKYPILOT_NODE_IPS": "10.0.0.1\n10.0.0.2\n10.0.0.3\n10.0.0.4", "SKYPILOT_NODE_RANK": str(rank),
    }  # fmt: skip
    script = skypilot.host_script(
        tpu_slice(name, largest_host=skypilot.ONE_VM_CHIPS), ["python", "-m", "scaling", "train", "/store/a b.json"]
    )
    done = subprocess.run(["bash", "-ec", script], env=env, capture_output=True, text=True, check=False)
    return done.returncode, (tmp_path / "said").read_text().strip()


def test_each_host_knows_its_number_and_the_first_ones_address(tmp_path: Path) -> None:
    _, text = host(tmp_path, "v5e-16", 2, 0)
    assert text == "-m scaling train /store/a b.json --hosts 4 --host 2 --coordinator 10.0.0.1:8482"
    assert "--hosts" not in host(tmp_path, "v5e-8", 0, 0)[1]


@pytest.mark.parametrize(("status", "seen"), [(0, 0), (75, 75), (1, 1), (137, 137), (2, 0)])
def test_refused_input_is_not_run_again_and_the_rest_is_said_as_it_is(tmp_path: Path, status: int, seen: int) -> None:
    assert host(tmp_path, "v5p-32", 0, status)[0] == seen


def test_75_is_recovered_uncounted_and_crashes_a_stated_number_of_times(tmp_path: Path, tiny: RunConfig) -> None:
    resources = dry_run_task(tmp_path, tiny, restarts="5")["resources"]
    assert resources["job_recovery"]["recover_on_exit_codes"] == [75]
    assert resources["job_recovery"]["max_restarts_on_errors"] == 5
    assert resources["use_spot"] is True and not dry_run_task(tmp_path, tiny, spot="no")["resources"]["use_spot"]


def rows(*jobs: tuple[str, int, str]) -> str:
    return json.dumps([{"job_name": name, "job_id": number, "status": status} for name, number, status in jobs])


def test_the_queue_is_read_by_the_newest_job_of_a_name_of_ours() -> None:
    text = rows(("s-a", 3, "FAILED"), ("s-a", 7, "RECOVERING"), ("s-b", 4, "CANCELLED"), ("x-a", 9, "RUNNING"))
    assert skypilot.newest_jobs(text, "s-") == {"s-a": (7, "RECOVERING"), "s-b": (4, "CANCELLED")}
    with pytest.raises(SweepError, match="expected a JSON list"):
        skypilot.newest_jobs("No jobs", "s-")


SKY = """#!/bin/sh
echo "$@" >> "$CLOUD/asked"
case "$2" in queue) cat "$CLOUD/queue.json" ;; esac
"""


@pytest.fixture
def sky(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sky whose queue is a file."""
    folder = tmp_path / "cloud"
    folder.mkdir()
    (folder / "sky").write_text(SKY)
    (folder / "sky").chmod(0o755)
    (folder / "queue.json").write_text("[]")
    (folder / "asked").touch()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("CLOUD", str(folder))
    return folder


def launches(sky: Path) -> int:
    return (sky / "asked").read_text().count("jobs launch")


def submitted(store: Store, *configs: RunConfig) -> cluster_jobs.Job:
    job = submit_runs("skypilot", store, "s", list(configs), OPTIONS)
    job.poll_seconds = 0.0
    return job


def name_of(config: RunConfig) -> str:
    return job_names.job_name("s", job_names.sweep_hash("my-runs", "s"), run_id(config))


def test_a_job_that_the_queue_does_not_have_yet_is_waited_for(store: Store, tiny: RunConfig, sky: Path) -> None:
    (sky / "queue.json").write_text(rows((name_of(tiny), 12, "FAILED")))  # of last week
    job = submitted(store, tiny)
    assert launches(sky) == 1
    assert skypilot.poll(job) == [] and not job.finished
    skypilot.cancel(job)
    assert skypilot.poll(job) == [] and not job.finished and "cancel" not in (sky / "asked").read_text()
    (sky / "queue.json").write_text(rows((name_of(tiny), 12, "FAILED"), (name_of(tiny), 13, "STARTING")))
    assert skypilot.poll(job) == [] and "jobs cancel --yes 13" in (sky / "asked").read_text()
    (sky / "queue.json").write_text(rows((name_of(tiny), 13, "CANCELLED")))
    assert skypilot.poll(job) == [] and job.finished and job.stopped and store.read(run_id(tiny)) is None


def test_a_trunk_is_one_job_and_a_launch_of_more_of_it_follows_that(store: Store, tiny: RunConfig, sky: Path) -> None:
    longer = override(tiny, ["steps=40"])
    job = submitted(store, tiny, longer)
    assert launches(sky) == 1
    store.write(Record(run_id=run_id(tiny), config=tiny, status="done"))
    (sky / "queue.json").write_text(rows((name_of(tiny), 12, "RUNNING")))
    longest = override(tiny, ["steps=60"])
    job = submitted(store, longer, longest)  # the first run has ended: the job is another's by name
    assert skypilot.poll(job) == [] and launches(sky) == 1
    store.write(Record(run_id=run_id(longer), config=longer, status="done"))
    (sky / "queue.json").write_text(rows((name_of(tiny), 12, "SUCCEEDED")))
    assert [event["run_id"] for event in skypilot.poll(job)] == [run_id(longer)] and launches(sky) == 1
    assert skypilot.poll(job) == [] and launches(sky) == 2 and not job.finished
    assert (store.root / "sweeps" / f"{name_of(longest)}.yaml").exists()


def test_a_job_under_way_whose_file_is_gone_is_not_launched_twice(store: Store, tiny: RunConfig, sky: Path) -> None:
    (sky / "queue.json").write_text(rows((name_of(tiny), 12, "RUNNING")))
    with pytest.raises(SweepError, match=r"is active, but .*yaml does not name its runs: cancel the job first"):
        submitted(store, tiny)
    assert launches(sky) == 0


def test_a_sweep_is_launched_followed_and_cancelled(store: Store, tiny: RunConfig, sky: Path) -> None:
    queue, name = sky / "queue.json", name_of(tiny)
    job = submitted(store, tiny)
    written = json.loads((store.root / "sweeps" / f"{name}.yaml").read_text())
    assert written["name"] == name and (store.run_dir(run_id(tiny)) / "config.json").exists()
    queue.write_text(rows((name, 12, "RUNNING")))
    assert skypilot.poll(job) == [] and not job.finished
    skypilot.cancel(job)
    assert "jobs cancel --yes 12" in (sky / "asked").read_text()
    store.write(Record(run_id=run_id(tiny), config=tiny, status="done", final={"loss": 2.0}))
    (end,) = skypilot.poll(job)
    assert end["status"] == "done" and job.finished and not job.stopped


PARSE = """
import json, sys, tempfile
import sky
given = json.load(sys.stdin)
file = tempfile.NamedTemporaryFile("w", suffix=".yaml", delete=False)
file.write(json.dumps(given)); file.close()
try:
    task = sky.Task.from_yaml(file.name)
except Exception as error:
    print(json.dumps({"error": " ".join(str(error).split())}))
    sys.exit()
(r,) = task.resources
print(json.dumps({
    "name": task.name, "nodes": task.num_nodes, "accelerators": r.accelerators, "spot": r.use_spot,
    "recovery": r.job_recovery, "cloud": str(r.cloud), "run": task.run, "setup": task.setup,
    "mounts": {where: storage.source for where, storage in task.storage_mounts.items()},
}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["v5e-16", "v5p-32", "v6e-16", "v4-16"])
def test_skypilots_parser_reads_what_was_meant(tmp_path: Path, tiny: RunConfig, name: str) -> None:
    own_values = dry_run_task(tmp_path, tiny, topology=name)
    read = cloud.script_output(PARSE, own_values, tmp_path)
    assert "error" not in read, read
    assert (read["name"], read["nodes"], read["spot"]) == (own_values["name"], 1, True)
    assert read["accelerators"] == {f"tpu-{tpu_slice(name).cloud_name}": 1}
    assert read["cloud"].lower() == "gcp" and (read["run"], read["setup"]) == (own_values["run"], own_values["setup"])
    assert read["mounts"] == {"/store": "gs://my-runs"}
    assert read["recovery"]["recover_on_exit_codes"] == [75] and read["recovery"]["max_restarts_on_errors"] == 2


@pytest.mark.slow
def test_skypilots_parser_tells_an_unknown_field(tmp_path: Path, tiny: RunConfig) -> None:
    own_values = dry_run_task(tmp_path, tiny)
    own_values["resources"]["use_spots"] = True
    assert "use_spots" in cloud.script_output(PARSE, own_values, tmp_path)["error"]

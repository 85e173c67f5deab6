"""SLURM: arguments of sbatch, and reading of the queue. Jobs on a real cluster: test_slurm_cluster.py."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scaling.store.record import Store
from sweeps.engines import cluster_jobs, slurm
from sweeps.engines.nodes import cluster_tasks
from sweeps.engines.nodes.node_worker import NodeTask, append_note, srun_command
from sweeps.errors import SweepError
from tests.support.sweeps import SMALL_GRID_IDS, dry_run_text, small_grid, submit_runs


def dry(tmp_path: Path, **options: str) -> str:
    return dry_run_text("slurm", Store(tmp_path), "my_sweep", small_grid(), options)


def test_a_dry_run_prints_the_script_and_what_each_element_trains_and_writes_nothing(tmp_path: Path) -> None:
    text = dry(tmp_path / "s", partition="gpu", gpus="4", cpus="8", mem="64G", time="8:00:00", account="lab",
               parallel="1", setup="module load cuda", sbatch="--constraint=a100 --exclusive")  # fmt: skip
    for line in (
        "--partition=gpu", "--gpus-per-node=4", "--cpus-per-task=8", "--mem=64G", "--time=8:00:00", "--account=lab",
        "--array=0-1%1", "--requeue", "--signal=B:USR2@120", "--constraint=a100", "--exclusive", "--nodes=1",
        "--job-name=my-sweep-TOKEN0",
    ):  # fmt: skip
        assert f"#SBATCH {line}\n" in text, line
    assert "\nmodule load cuda\n" in text and "\nsbatch my-sweep-TOKEN0.sh\n" in text
    assert f"exec {sys.executable} -u -m submitit.core._submit {tmp_path}/s/sweeps/" in text
    configs = [re.findall(r"runs/(\w+)/config.json", line) for line in text.splitlines() if "scaling train" in line]
    assert configs == [SMALL_GRID_IDS[:2], SMALL_GRID_IDS[2:]]
    assert not (tmp_path / "s").exists()


SBATCH = """#!/bin/sh
cp "$1" "$SAID"
echo "Submitted batch job 7"
"""


def test_what_is_submitted_is_what_the_dry_run_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {"sbatch": SBATCH, "srun": "#!/bin/sh\n", "squeue": "#!/bin/sh\n"}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("SAID", str(tmp_path / "said"))
    store = Store(tmp_path / "s")
    job = submit_runs("slurm", store, "my_sweep", small_grid(), {"time": "30", "gres": "gpu:1"})
    (name,) = cluster_tasks.read_tasks(store, "my_sweep")
    values = (tmp_path / "said").read_text()
    script = dry_run_text("slurm", store, "my_sweep", small_grid(), {"time": "30", "gres": "gpu:1"})
    assert values.strip() in script.replace("my-sweep-TOKEN0", name) and "#SBATCH --gres=gpu:1\n" in values
    assert list(job.remaining) == SMALL_GRID_IDS and not job.finished


FULL = """#!/bin/sh
if [ -e "$CLUSTER/full" ]; then echo "error: QOSMaxSubmitJobPerUserLimit" >&2; exit 1; fi
echo "Submitted batch job 7"
"""


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An sbatch that refuses while there is a file `full`, and a squeue whose answer is a file."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    for name, text in {"sbatch": FULL, "srun": "#!/bin/sh\n", "squeue": '#!/bin/sh\ncat "$CLUSTER/queue"\n'}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    (folder / "queue").touch()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("CLUSTER", str(folder))
    return folder


@pytest.mark.parametrize(("state", "deaths"), [("NODE_FAIL", 0), ("OUT_OF_MEMORY", 1)])
def test_a_refused_resubmission_is_tried_again_and_blames_nobody(
    tmp_path: Path, cluster: Path, state: str, deaths: int
) -> None:
    store = Store(tmp_path / "s")
    job = submit_runs("slurm", store, "grid", small_grid(), {"every": "0"})
    (name,) = cluster_tasks.read_tasks(store, "grid")
    (cluster / "queue").write_text(f"{name}|0|7_0|{state}\n{name}|1|7_1|RUNNING\n")
    (cluster / "full").touch()
    events = [event for _ in range(5) for event in slurm.poll(job)]
    assert [event["event"] for event in events] == ["died"] * deaths and list(job.remaining) == SMALL_GRID_IDS
    assert list(cluster_tasks.read_tasks(store, "grid")) == [name]
    (cluster / "full").unlink()
    assert slurm.poll(job) == []
    (second,) = set(cluster_tasks.read_tasks(store, "grid")) - {name}
    assert [work.run_ids for work in cluster_tasks.read_tasks(store, "grid")[second]] == [tuple(SMALL_GRID_IDS[:2])]
    (cluster / "queue").write_text(f"{second}|0|8|PENDING\n{name}|1|7_1|RUNNING\n")
    assert slurm.poll(job) == [] and len(cluster_tasks.read_tasks(store, "grid")) == 2  # once


def test_a_cluster_that_takes_nothing_any_more_ends_the_launch_and_fails_no_run(tmp_path: Path, cluster: Path) -> None:
    store = Store(tmp_path / "s")
    job = submit_runs("slurm", store, "grid", small_grid(), {"every": "0"})
    (name,) = cluster_tasks.read_tasks(store, "grid")
    (cluster / "queue").write_text(f"{name}|0|7_0|NODE_FAIL\n{name}|1|7_1|NODE_FAIL\n")
    (cluster / "full").touch()
    for _ in range(cluster_jobs.MAX_FAILED_POLLS):
        assert not job.finished and slurm.poll(job) == []
    assert (
        job.finished
        and job.error is not None
        and "QOSMaxSubmitJobPerUserLimit" in job.error
        and list(job.remaining) == SMALL_GRID_IDS
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"time": "tomorrow"}, "--option time=tomorrow: must be in the format of sbatch: 90"),
        ({"nodes": "0"}, "--option nodes=0: must be 1 or more"),
        ({"sbatch": "-C a100"}, "'-C' must be --flag or --flag=value"),
        ({"sbatch": "--comment='x"}, "no closing quotation: must be --flag or --flag=value, quoted as for a shell"),
        ({"partitions": "x"}, "must be one of partition, account"),
        ({"gpus": "two"}, "--option gpus=two: must be a whole number"),
    ],
)
def test_a_wrong_option_is_one_line(tmp_path: Path, options: dict[str, str], message: str) -> None:
    with pytest.raises(SweepError, match=re.escape(message)):
        dry(tmp_path, **options)


def test_a_cluster_that_is_not_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SweepError, match="squeue: command not found"):
        submit_runs("slurm", Store(tmp_path), "grid", small_grid(), {})


def test_the_queue_is_read_by_the_names_of_its_arrays(tmp_path: Path) -> None:
    text = "grid-a|0|7_0|RUNNING\ngrid-a|1|7_1|PENDING\nb|x|N/A|9|COMPLETED\n"
    assert slurm.read_queue(text) == {
        ("grid-a", 0): ("7_0", "RUNNING"), ("grid-a", 1): ("7_1", "PENDING"), ("b|x", 0): ("9", "COMPLETED")
    }  # fmt: skip
    with pytest.raises(SweepError, match="expected four fields per line, got 'nonsense'"):
        slurm.read_queue("nonsense\n")


@pytest.mark.parametrize(
    ("sampling", "state", "phase"),
    [
        (None, "PENDING", "waiting"), (None, "COMPLETING", "running"), ("again", "NODE_FAIL", "lost"),
        ("again", "COMPLETED", "lost"), ("again", "", "lost"), (None, "COMPLETED", "crashed"), (None, "", "crashed"),
        (None, "OUT_OF_MEMORY", "crashed"), (None, "TIMEOUT", "crashed"), ("again", "FAILED", "crashed"),
        ("no such flag", "FAILED", "refused"), (None, "PREEMPTED", "lost"), ("again", "CANCELLED", "cancelled"),
    ],
)  # fmt: skip
def test_how_a_job_ended_is_told_by_its_state_and_by_the_nodes_last_word(
    tmp_path: Path, sampling: str | None, state: str, phase: str
) -> None:
    work = NodeTask(store=str(tmp_path), sweep="s", token="t", index=0, run_ids=(), restarts=2)
    append_note(work, {"event": "left", "how": "ended"})  # of an earlier node
    append_note(work, {"event": "began", "node": "n"})
    if sampling is not None:
        append_note(work, {"event": "left", "how": sampling})
    assert slurm.task_state(work, state).phase == phase


def test_over_several_nodes_each_process_knows_its_number_and_the_first_ones_address(tmp_path: Path) -> None:
    words = srun_command(2, "10.0.0.7", "31", ("printf", "%s ", "train"))
    assert words[:4] == ["srun", "--nodes=2", "--ntasks=2", "--ntasks-per-node=1"]
    shell = words[words.index("bash") :]
    env = {**os.environ, "SLURM_PROCID": "1"}
    done = subprocess.run([*shell, "a b.json"], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "train a b.json --in-order --hosts 2 --host 1 --coordinator 10.0.0.7:20031 "
    assert "--hosts 2" in dry(tmp_path, nodes="2")

"""SLURM: arguments of sbatch, and reading of the queue. Jobs on a real cluster: test_slurm_cluster.py."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scaling.store.record import Store
from sweeps.engines import cluster_jobs, cluster_tasks, engine, slurm
from sweeps.engines.node_worker import Work, note, spread
from sweeps.errors import SweepError
from tests.sweeps.launching.test_launch import IDS, grid


def dry(tmp_path: Path, **options: str) -> str:
    return slurm.dry_run(Store(tmp_path), "my_sweep", grid(), options=options)


def test_a_dry_run_prints_the_script_and_what_each_element_trains_and_writes_nothing(tmp_path: Path) -> None:
    said = dry(tmp_path / "s", partition="gpu", gpus="4", cpus="8", mem="64G", time="8:00:00", account="lab",
               parallel="1", setup="module load cuda", sbatch="--constraint=a100 --exclusive")  # fmt: skip
    for line in (
        "--partition=gpu", "--gpus-per-node=4", "--cpus-per-task=8", "--mem=64G", "--time=8:00:00", "--account=lab",
        "--array=0-1%1", "--requeue", "--signal=B:USR2@120", "--constraint=a100", "--exclusive", "--nodes=1",
        "--job-name=my-sweep-TOKEN0",
    ):  # fmt: skip
        assert f"#SBATCH {line}\n" in said, line
    assert "\nmodule load cuda\n" in said and "\nsbatch my-sweep-TOKEN0.sh\n" in said
    assert f"exec {sys.executable} -u -m submitit.core._submit {tmp_path}/s/sweeps/" in said
    configs = [re.findall(r"runs/(\w+)/config.json", line) for line in said.splitlines() if "scaling train" in line]
    assert configs == [IDS[:2], IDS[2:]]
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
    of = engine("slurm").submit(store, "my_sweep", grid(), options={"time": "30", "gres": "gpu:1"})
    (name,) = cluster_tasks.read_given(store, "my_sweep")
    told = (tmp_path / "said").read_text()
    said = slurm.dry_run(store, "my_sweep", grid(), options={"time": "30", "gres": "gpu:1"})
    assert told.strip() in said.replace("my-sweep-TOKEN0", name) and "#SBATCH --gres=gpu:1\n" in told
    assert list(of.left) == IDS and not of.over


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
    of = engine("slurm").submit(store, "grid", grid(), options={"every": "0"})
    (name,) = cluster_tasks.read_given(store, "grid")
    (cluster / "queue").write_text(f"{name}|0|7_0|{state}\n{name}|1|7_1|RUNNING\n")
    (cluster / "full").touch()
    events = [event for _ in range(5) for event in slurm.poll(of)]
    assert [event["event"] for event in events] == ["died"] * deaths and list(of.left) == IDS
    assert list(cluster_tasks.read_given(store, "grid")) == [name]
    (cluster / "full").unlink()
    assert slurm.poll(of) == []
    (again,) = set(cluster_tasks.read_given(store, "grid")) - {name}
    assert [work.names for work in cluster_tasks.read_given(store, "grid")[again]] == [tuple(IDS[:2])]
    (cluster / "queue").write_text(f"{again}|0|8|PENDING\n{name}|1|7_1|RUNNING\n")
    assert slurm.poll(of) == [] and len(cluster_tasks.read_given(store, "grid")) == 2  # once


def test_a_cluster_that_takes_nothing_any_more_ends_the_launch_and_fails_no_run(tmp_path: Path, cluster: Path) -> None:
    store = Store(tmp_path / "s")
    of = engine("slurm").submit(store, "grid", grid(), options={"every": "0"})
    (name,) = cluster_tasks.read_given(store, "grid")
    (cluster / "queue").write_text(f"{name}|0|7_0|NODE_FAIL\n{name}|1|7_1|NODE_FAIL\n")
    (cluster / "full").touch()
    for _ in range(cluster_jobs.DEAF):
        assert not of.over and slurm.poll(of) == []
    assert of.over and of.error is not None and "QOSMaxSubmitJobPerUserLimit" in of.error and list(of.left) == IDS


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"time": "tomorrow"}, "--option time=tomorrow: must be as sbatch takes it: 90"),
        ({"nodes": "0"}, "--option nodes=0: must be 1 or more"),
        ({"sbatch": "-C a100"}, "'-C' must be --flag or --flag=value"),
        ({"sbatch": "--comment='x"}, "no closing quotation: must be --flag or --flag=value, quoted as for a shell"),
        ({"partitions": "x"}, "known are partition, account"),
        ({"gpus": "two"}, "--option gpus=two: must be a number"),
    ],
)
def test_a_wrong_option_is_one_line(tmp_path: Path, options: dict[str, str], said: str) -> None:
    with pytest.raises(SweepError, match=re.escape(said)):
        dry(tmp_path, **options)


def test_a_cluster_that_is_not_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SweepError, match="squeue: no such command here"):
        engine("slurm").submit(Store(tmp_path), "grid", grid(), options={})


def test_the_queue_is_read_by_the_names_of_its_arrays(tmp_path: Path) -> None:
    said = "grid-a|0|7_0|RUNNING\ngrid-a|1|7_1|PENDING\nb|x|N/A|9|COMPLETED\n"
    assert slurm.read_queue(said) == {
        ("grid-a", 0): ("7_0", "RUNNING"), ("grid-a", 1): ("7_1", "PENDING"), ("b|x", 0): ("9", "COMPLETED")
    }  # fmt: skip
    with pytest.raises(SweepError, match="no line of four fields but 'nonsense'"):
        slurm.read_queue("nonsense\n")


@pytest.mark.parametrize(
    ("how", "state", "phase"),
    [
        (None, "PENDING", "waiting"), (None, "COMPLETING", "running"), ("again", "NODE_FAIL", "lost"),
        ("again", "COMPLETED", "lost"), ("again", "", "lost"), (None, "COMPLETED", "crashed"), (None, "", "crashed"),
        (None, "OUT_OF_MEMORY", "crashed"), (None, "TIMEOUT", "crashed"), ("again", "FAILED", "crashed"),
        ("no such flag", "FAILED", "refused"), (None, "PREEMPTED", "lost"), ("again", "CANCELLED", "cancelled"),
    ],
)  # fmt: skip
def test_how_a_job_ended_is_told_by_its_state_and_by_the_nodes_last_word(
    tmp_path: Path, how: str | None, state: str, phase: str
) -> None:
    work = Work(store=str(tmp_path), sweep="s", token="t", index=0, names=(), restarts=2)
    note(work, {"event": "left", "how": "ended"})  # of an earlier node
    note(work, {"event": "began", "node": "n"})
    if how is not None:
        note(work, {"event": "left", "how": how})
    assert slurm.outcome(work, state).phase == phase


def test_over_several_nodes_each_process_knows_its_number_and_the_first_ones_address(tmp_path: Path) -> None:
    words = spread(2, "10.0.0.7", "31", ("printf", "%s ", "train"))
    assert words[:4] == ["srun", "--nodes=2", "--ntasks=2", "--ntasks-per-node=1"]
    shell = words[words.index("bash") :]
    env = {**os.environ, "SLURM_PROCID": "1"}
    done = subprocess.run([*shell, "a b.json"], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "train a b.json --in-order --hosts 2 --host 1 --coordinator 10.0.0.7:20031 "
    assert "--hosts 2" in dry(tmp_path, nodes="2")

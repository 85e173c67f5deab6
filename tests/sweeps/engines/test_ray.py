"""Ray: what a task asks for; and, for real, a cluster of two nodes of which one is lost in mid-sweep."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scaling.store.record import Store
from sweeps.engines.nodes.node_worker import tasks_folder
from sweeps.errors import SweepError
from sweeps.launching.launch import launch
from sweeps.launching.options import LaunchOptions
from tests.support.commands import ROOT
from tests.support.sweeps import (
    SMALL_GRID_IDS,
    curves,
    dry_run_text,
    small_grid,
    stored_corpus,
    submit_runs,
    trained_grid,
    wait_until,
)


def test_a_dry_run_prints_each_task_and_what_it_asks_for_and_writes_nothing(tmp_path: Path) -> None:
    options = {"address": "10.0.0.1:6379", "gpus": "2", "cpus": "8", "resources": "big=1", "jobs": "1"}
    text = dry_run_text("ray", Store(tmp_path / "s"), "sweep", small_grid(), options)
    assert "ray.init(address='10.0.0.1:6379')" in text and "'num_gpus': 2" in text and "{'big': 1.0}" in text
    configs = [re.findall(r"runs/(\w+)/config.json", line) for line in text.splitlines() if "scaling train" in line]
    assert configs == [SMALL_GRID_IDS] and not (tmp_path / "s").exists()


def test_a_dry_run_of_nothing_left_prints_no_task(tmp_path: Path) -> None:
    text = dry_run_text("ray", Store(tmp_path), "sweep", [], {})
    assert "scaling train" not in text and text.endswith("sweep.tasks/TOKEN.stop")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resources": "TPU"}, "--option resources=TPU: must be NAME=NUMBER"),
        ({"nodes": "2"}, "must be one of address, cpus"),
    ],
)
def test_a_wrong_option_is_one_line(tmp_path: Path, options: dict[str, str], message: str) -> None:
    with pytest.raises(SweepError, match=re.escape(message)):
        dry_run_text("ray", Store(tmp_path), "sweep", small_grid(), options)


LAUNCHER = """
import sys
sys.path.insert(0, {root!r})
from scaling.store.record import Store
from sweeps.launching.launch import launch
from sweeps.launching.options import LaunchOptions
store, options = Store({store!r}), {{"address": {address!r}, "every": "1"}} | {options!r}
if {real!r}:
    from tests.support.sweeps import stored_corpus, trained_grid
    corpus = stored_corpus(store)
    sys.exit(launch(store, "small", trained_grid(corpus), corpus, LaunchOptions(engine="ray", engine_options=options)))
from tests.support.sweeps import CORPUS, TRAINER, small_grid
options = LaunchOptions(engine="ray", command=TRAINER, engine_options=options)
sys.exit(launch(store, "grid", small_grid(), CORPUS, options))
"""
NODE = """
import sys
from ray.cluster_utils import Cluster
short = {"health_check_initial_delay_ms": 1000, "health_check_period_ms": 1000, "health_check_timeout_ms": 5000,
         "health_check_failure_threshold": 3}
head = {"num_cpus": 1, "include_dashboard": False, "_system_config": short, "wait": False}
of = Cluster(initialize_head=True, head_node_args=head)
second = of.add_node(num_cpus=1, wait=False)
of.wait_for_nodes(timeout=240)  # on a busy machine its own half minute is short
print(of.address, second.node_id, flush=True)
for line in sys.stdin:
    if line == "lose\\n":
        of.remove_node(second, allow_graceful=False)
        print("lost", flush=True)
of.shutdown()
"""


@dataclass
class TwoNodes:
    """A cluster of two nodes in processes of their own."""

    process: subprocess.Popen[str]
    address: str
    second: str

    def lose(self, trainer: int) -> None:
        """Loses the second node, and what it runs with it: what keeps the trainer at work, and the trainer."""
        keeper = parent(trainer)
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write("lose\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "lost\n"
        for pid in (keeper, trainer):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[TwoNodes]:
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("XLA_FLAGS", "")  # one device, as the local engine's
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [sys.executable, "-c", NODE], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        address, second = process.stdout.readline().split()
        yield TwoNodes(process, address, second)
        process.stdin.close()
        process.wait(timeout=60)
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


def start(nodes: TwoNodes, store: Store, real: bool = False, **options: str) -> subprocess.Popen[str]:
    script = LAUNCHER.format(root=str(ROOT), store=str(store.root), address=nodes.address, options=options, real=real)
    return subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True)


def said_by_end(launcher: subprocess.Popen[str], seconds: float = 240) -> str:
    try:
        return launcher.communicate(timeout=seconds)[1]
    finally:
        launcher.kill()


def noted(store: Store, sweep: str) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for path in tasks_folder(store.root, sweep).glob("*.jsonl")
        for line in path.read_text().splitlines()
    ]


def stepping_on_second(nodes: TwoNodes, store: Store, sweep: str) -> list[int]:
    """Trainers on the second node that are at their steps."""
    keepers = {line["pid"] for line in noted(store, sweep) if line.get("node") == nodes.second}
    running = [r for r in store.records() if r.status == "running" and store.last_row(r.run_id)]
    return [r.about["pid"] for r in running if parent(r.about["pid"]) in keepers]


@pytest.mark.slow
def test_the_work_of_a_lost_node_goes_to_the_other_and_counts_as_no_crash(cluster: TwoNodes, tmp_path: Path) -> None:
    store = Store(tmp_path)
    (tmp_path / "pace").write_text("0.05")
    launcher = start(cluster, store)
    wait_until(lambda: stepping_on_second(cluster, store, "grid"), 120)
    (trainer,) = stepping_on_second(cluster, store, "grid")
    cluster.lose(trainer)
    (tmp_path / "pace").write_text("0")
    output = said_by_end(launcher)
    assert launcher.returncode == 0 and "4 done of 4 runs" in output and "attempt" not in output, output
    started = [line["node"] for line in noted(store, "grid") if line["event"] == "began"]
    assert len(started) == 3 and started.count(cluster.second) == 1


@pytest.mark.slow
def test_a_node_lost_in_mid_sweep_loses_nothing(
    cluster: TwoNodes, noise_store: Store, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The records are bit for bit those of an undisturbed sweep here."""
    corpus = stored_corpus(noise_store)
    other = Store(tmp_path_factory.mktemp("undisturbed"))
    (other.root / "tokens").symlink_to(noise_store.token_files)
    assert launch(other, "small", trained_grid(corpus), corpus, LaunchOptions(workers=1)) == 0
    launcher = start(cluster, noise_store, real=True)

    def on_second() -> list[int]:
        assert launcher.poll() is None, launcher.communicate()[1]
        return stepping_on_second(cluster, noise_store, "small")

    wait_until(on_second, 120)
    (trainer,) = on_second()
    cluster.lose(trainer)
    output = said_by_end(launcher)
    assert launcher.returncode == 0 and "4 done of 4 runs" in output, output
    assert "attempt" not in output  # no fault of a run's
    started = [line["node"] for line in noted(noise_store, "small") if line["event"] == "began"]
    assert len(started) == 3 and started.count(cluster.second) == 1
    assert curves(noise_store, trained_grid(corpus)) == curves(other, trained_grid(corpus))


def parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except FileNotFoundError:
        return 0


@pytest.mark.slow
def test_crashes_are_counted_an_interrupt_saves_and_the_next_launch_goes_on(cluster: TwoNodes, tmp_path: Path) -> None:
    store = Store(tmp_path)
    (tmp_path / "pace").write_text("0.05")
    launcher = start(cluster, store)
    wait_until(lambda: len(store.curve(SMALL_GRID_IDS[0])) > 2, 60)
    launcher.send_signal(signal.SIGINT)
    output = said_by_end(launcher)
    assert launcher.returncode == 75 and "launch grid again" in output, output
    record = store.read(SMALL_GRID_IDS[0])
    assert record is not None and record.status == "stopped"
    (tmp_path / "pace").write_text("0")
    (tmp_path / "behave.json").write_text(json.dumps({SMALL_GRID_IDS[1]: "die"}))
    output = said_by_end(second := start(cluster, store, restarts="1"))
    assert second.returncode == 1 and "killed by SIGKILL, 2 times: about to run out of memory" in output, output
    result = {name: record for name in SMALL_GRID_IDS if (record := store.read(name))}
    assert [result[name].status for name in SMALL_GRID_IDS] == ["done", "failed", "done", "done"]
    assert result[SMALL_GRID_IDS[1]].about["log"][-1] == "about to run out of memory"
    assert [row["step"] for row in store.curve(SMALL_GRID_IDS[0])] == list(range(1, small_grid()[0].steps + 1))


@pytest.mark.slow
def test_a_worker_that_is_killed_is_a_crash_and_a_launcher_that_is_killed_leaves_saved_runs(
    cluster: TwoNodes, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    (tmp_path / "pace").write_text("0.05")
    launcher = start(cluster, store, jobs="1")
    wait_until(lambda: len(store.curve(SMALL_GRID_IDS[0])) > 2, 60)
    (keeper,) = [line["pid"] for line in noted(store, "grid") if line["event"] == "began"]
    os.kill(keeper, signal.SIGKILL)
    wait_until(lambda: sum(line["event"] == "began" for line in noted(store, "grid")) == 2, 60)
    assert next(line["how"] for line in noted(store, "grid") if line["event"] == "died").startswith("ended by Ray as ")
    launcher.kill()
    launcher.communicate()
    (tmp_path / "pace").write_text("0")
    output = said_by_end(second := start(cluster, store))
    assert second.returncode == 0 and "4 done of 4 runs" in output, output


def test_no_cluster_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_ADDRESS", "")
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))  # not where a cluster that has ended left its address
    with pytest.raises(SweepError, match="no Ray cluster found"):
        submit_runs("ray", Store(tmp_path), "grid", small_grid(), {"address": "auto"})

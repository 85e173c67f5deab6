"""Jobs on a SLURM cluster of this machine (slurm_here.sh): preempted, out of time, killed, followed.

As root, with Debian's slurm-wlm and munge, by `make test-slow`.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scaling.config.run import run_id
from scaling.store.record import Store
from sweeps.engines.nodes.node_worker import tasks_folder
from sweeps.launching.launch import launch
from sweeps.launching.options import LaunchOptions
from sweeps.monitoring.status import status
from tests.support.commands import ROOT
from tests.support.sweeps import (
    CORPUS,
    SMALL_GRID_IDS,
    TRAINER,
    curves,
    eight_times_longer,
    small_grid,
    stored_corpus,
    trained_grid,
    trainer_pids,
    wait_until,
)

MISSING = [name for name in ("slurmctld", "slurmd", "munged", "sbatch") if shutil.which(name) is None]
MISSING += [] if os.geteuid() == 0 else ["root's rights"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        bool(MISSING), reason=f"no SLURM here: {', '.join(MISSING)} (see tests/support/clusters/slurm_here.sh)"
    ),
]
HERE = ROOT / "tests" / "support" / "clusters" / "slurm_here.sh"
FAST = {"partition": "low", "every": "1"}
LAUNCHER = """
import sys
sys.path.insert(0, {root!r})
from tests.support.sweeps import CORPUS, TRAINER, small_grid
from scaling.store.record import Store
from sweeps.launching.launch import launch
from sweeps.launching.options import LaunchOptions
options = LaunchOptions(engine="slurm", engine_options={options!r}, command=TRAINER)
sys.exit(launch(Store({store!r}), "grid", small_grid(), CORPUS, options))
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Two nodes of one core each, and everything that asks for them here."""
    where = tmp_path_factory.mktemp("slurm")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(where / "slurm.conf"))
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
        patch.setenv("XLA_FLAGS", "")  # one device, as the local engine's
        try:
            subprocess.run([HERE, "up", where, "2", "1"], check=True, timeout=60)
            yield
        finally:
            subprocess.run([HERE, "down", where], check=True, timeout=60)


def start(store: Path, **options: str) -> subprocess.Popen[str]:
    script = LAUNCHER.format(root=str(ROOT), store=str(store), options={**FAST, **options})
    return subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True, start_new_session=True)


def said_by_end(launcher: subprocess.Popen[str], seconds: float = 90) -> str:
    try:
        return launcher.communicate(timeout=seconds)[1]
    finally:
        launcher.kill()


def queue(*states: str) -> list[str]:
    """Our jobs' numbers in these states; any where none is named."""
    words = ["squeue", "--me", "--noheader", "--array", "--format=%i", f"--states={','.join(states) or 'PD,R,CG'}"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()


def statuses(store: Path) -> list[str]:
    return [record.status if (record := Store(store).read(name)) else "waiting" for name in SMALL_GRID_IDS]


def begun(store: Path) -> int:
    """How often a node began some work."""
    return sum(text.count('"began"') for text in (p.read_text() for p in tasks_folder(store, "grid").glob("*.jsonl")))


def test_a_preempted_job_goes_on_and_the_records_are_those_of_an_undisturbed_sweep(
    cluster: None, noise_store: Store, tmp_path_factory: pytest.TempPathFactory
) -> None:
    corpus = stored_corpus(noise_store)
    other = Store(tmp_path_factory.mktemp("undisturbed"))
    (other.root / "tokens").symlink_to(noise_store.token_files)
    runs = eight_times_longer(trained_grid(corpus))
    assert launch(other, "small", runs, corpus, LaunchOptions(workers=1)) == 0
    script = (
        f"import sys; sys.path[:0] = {[str(ROOT)]!r}\n"
        "from tests.support.sweeps import eight_times_longer, stored_corpus, trained_grid\n"
        "from scaling.store.record import Store\nfrom sweeps.launching.launch import launch\n"
        "from sweeps.launching.options import LaunchOptions\n"
        f"store = Store({str(noise_store.root)!r}); corpus = stored_corpus(store)\n"
        "runs = eight_times_longer(trained_grid(corpus))\n"
        f"sys.exit(launch(store, 'small', runs, corpus, LaunchOptions(engine='slurm', engine_options={FAST!r})))"
    )
    launcher = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True)

    def stepping() -> list[str]:
        assert launcher.poll() is None, launcher.communicate()[1]
        known = (noise_store.root / "sweeps" / "small.json").exists()
        runs = status(noise_store, "small")["runs"] if known else []
        return [run["run_id"] for run in runs if run["state"] == "running" and "step" in run]

    wait_until(stepping, 120)
    victims = stepping()
    urgent = ["sbatch", "--partition=high", "--exclusive", "--nodes=2", "--output=/dev/null", "--wrap=sleep 2"]
    subprocess.run(urgent, check=True, capture_output=True)
    output = said_by_end(launcher, 300)
    assert launcher.returncode == 0 and "4 done of 4 runs" in output, output
    went_on = [name for name in victims if (record := noise_store.read(name)) and record.about.get("before")]
    assert went_on, "nothing was preempted"
    for name in went_on:
        record = noise_store.read(name)
        assert record is not None and record.about["started_from"]["step"] > 0 and record.status == "done"
    assert curves(noise_store, runs) == curves(other, runs)  # bit for bit
    spent = [sum(store.read(run_id(c)).about["steps_computed"] for c in runs) for store in (noise_store, other)]  # type: ignore[union-attr]
    assert spent[0] == spent[1]  # saved at the preemption, and the trunks were shared


def test_a_job_out_of_time_saves_and_goes_back_into_the_queue(cluster: None, tmp_path: Path) -> None:
    (tmp_path / "pace").write_text("0.05")
    launcher = start(tmp_path, time="1", warn="50", jobs="1")  # told after 10 s, or as SLURM's clock has it
    wait_until(lambda: begun(tmp_path) == 2, 120)
    (tmp_path / "pace").write_text("0")
    output = said_by_end(launcher)
    assert launcher.returncode == 0, output
    assert statuses(tmp_path) == ["done"] * 4 and "attempt" not in output
    assert [row["step"] for row in Store(tmp_path).curve(SMALL_GRID_IDS[0])] == list(
        range(1, small_grid()[0].steps + 1)
    )


def test_a_run_that_crashes_has_its_attempts_and_its_last_words_are_kept(
    cluster: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "behave.json").write_text(json.dumps({SMALL_GRID_IDS[1]: "die"}))
    options = {**FAST, "restarts": "1"}
    done = launch(
        Store(tmp_path),
        "grid",
        small_grid(),
        CORPUS,
        LaunchOptions(command=TRAINER, engine="slurm", engine_options=options),
    )
    assert done == 1 and statuses(tmp_path) == ["done", "failed", "done", "done"]
    record = Store(tmp_path).read(SMALL_GRID_IDS[1])
    assert record is not None and record.about["error"].endswith("SIGKILL, 2 times: about to run out of memory")
    assert "about to run out of memory" in str(status(Store(tmp_path), "grid"))
    assert f"run {SMALL_GRID_IDS[1][:12]} failed: its process was killed by SIGKILL, 2 times" in capsys.readouterr().err


def test_a_job_that_is_killed_whole_is_submitted_a_stated_number_of_times(cluster: None, tmp_path: Path) -> None:
    (tmp_path / "pace").write_text("0.05")
    launcher = start(tmp_path, jobs="1", restarts="1")
    for attempt in (1, 2):  # out of memory takes the keeper too
        wait_until(lambda: begun(tmp_path) == attempt and len(trainer_pids(tmp_path)) == attempt, 60)  # noqa: B023
        wait_until(lambda: statuses(tmp_path)[0] == "running", 30)
        lines = [
            json.loads(line)
            for p in tasks_folder(tmp_path, "grid").glob("*.jsonl")
            for line in p.read_text().splitlines()
        ]
        if attempt == 2:
            (tmp_path / "pace").write_text("0")
        for pid in ([line["pid"] for line in lines if line["event"] == "began"][-1], trainer_pids(tmp_path)[-1]):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    output = said_by_end(launcher)
    assert launcher.returncode == 1, output
    assert statuses(tmp_path) == ["failed", "done", "done", "done"]
    assert "the trainer ended as FAILED (attempt 1 of 2)" in output and "ended as FAILED, 2 times" in output


def test_an_interrupt_cancels_the_jobs_which_save_and_the_next_launch_goes_on(cluster: None, tmp_path: Path) -> None:
    (tmp_path / "pace").write_text("0.05")
    launcher = start(tmp_path)
    wait_until(lambda: len(Store(tmp_path).curve(SMALL_GRID_IDS[0])) > 2, 60)
    launcher.send_signal(signal.SIGINT)
    output = said_by_end(launcher)
    assert launcher.returncode == 75 and "launch grid again" in output, output
    assert queue() == [] and statuses(tmp_path)[0] == "stopped"
    (tmp_path / "pace").write_text("0")
    second = start(tmp_path)
    assert "4 done of 4 runs" in said_by_end(second) and second.returncode == 0
    assert [row["step"] for row in Store(tmp_path).curve(SMALL_GRID_IDS[0])] == list(
        range(1, small_grid()[0].steps + 1)
    )


def test_a_launcher_that_is_killed_leaves_its_jobs_and_the_next_one_follows_them(cluster: None, tmp_path: Path) -> None:
    (tmp_path / "pace").write_text("0.02")
    launcher = start(tmp_path)
    wait_until(lambda: len(Store(tmp_path).curve(SMALL_GRID_IDS[0])) > 2, 60)
    launcher.kill()
    launcher.communicate()
    jobs = sorted(queue())
    second = start(tmp_path)
    time.sleep(3)
    assert len(jobs) == 2 and sorted(queue()) == jobs  # nothing was submitted twice
    (tmp_path / "pace").write_text("0")
    assert "4 done of 4 runs" in said_by_end(second) and second.returncode == 0
    assert begun(tmp_path) == 2


def test_a_job_that_somebody_cancels_ends_the_launch_and_is_not_submitted_again(cluster: None, tmp_path: Path) -> None:
    (tmp_path / "pace").write_text("0.05")
    launcher = start(tmp_path, jobs="1")
    wait_until(lambda: len(Store(tmp_path).curve(SMALL_GRID_IDS[0])) > 2, 60)
    subprocess.run(["scancel", *queue()], check=True)
    output = said_by_end(launcher)
    assert launcher.returncode == 75 and statuses(tmp_path) == ["stopped", "waiting", "waiting", "waiting"], output
    assert begun(tmp_path) == 1


def test_one_run_over_two_nodes(cluster: None, noise_store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = stored_corpus(noise_store)
    options = LaunchOptions(engine="slurm", engine_options={**FAST, "nodes": "2"})
    done = launch(noise_store, "small", trained_grid(corpus)[:1], corpus, options)
    assert done == 0, capsys.readouterr().err
    (record,) = noise_store.records()
    assert record.status == "done" and record.about["hosts"] == 2 and record.about["devices"] == 2

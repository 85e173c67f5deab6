"""A SLURM cluster of this machine's own (tests/support/slurm_here.sh): jobs preempted, out of time, killed, followed.

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
from sweeps.engines.node_worker import folder
from sweeps.launching.launch import launch
from sweeps.status.status import status
from tests.support.commands import ROOT
from tests.sweeps.launching.test_launch import CORPUS, IDS, TRAINER, children, grid, wait_for
from tests.sweeps.launching.test_real_trainer import grid as real_grid
from tests.sweeps.launching.test_real_trainer import longer, losses, read
from tests.sweeps.launching.test_real_trainer import store as real_store

__all__ = ["real_store"]
MISSING = [name for name in ("slurmctld", "slurmd", "munged", "sbatch") if shutil.which(name) is None]
MISSING += [] if os.geteuid() == 0 else ["root's rights"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"no SLURM here: {', '.join(MISSING)} (see tests/support/slurm_here.sh)"),
]
HERE = ROOT / "tests" / "support" / "slurm_here.sh"
FAST = {"partition": "low", "every": "1"}
LAUNCHER = """
import sys
sys.path.insert(0, {root!r})
from tests.sweeps.launching.test_launch import CORPUS, TRAINER, grid
from scaling.store.record import Store
from sweeps.launching.launch import launch
options = {options!r}
sys.exit(launch(Store({store!r}), "grid", grid(), CORPUS, command=TRAINER, engine_name="slurm", engine_options=options))
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
    return [record.status if (record := Store(store).read(name)) else "waiting" for name in IDS]


def begun(store: Path) -> int:
    """How often a node began some work."""
    return sum(text.count('"began"') for text in (p.read_text() for p in folder(store, "grid").glob("*.jsonl")))


def test_a_preempted_job_goes_on_and_the_records_are_those_of_an_undisturbed_sweep(
    cluster: None, real_store: Store, tmp_path_factory: pytest.TempPathFactory
) -> None:
    corpus = read(real_store)
    other = Store(tmp_path_factory.mktemp("undisturbed"))
    (other.root / "tokens").symlink_to(real_store.token_files)
    runs = longer(real_grid(corpus))
    assert launch(other, "small", runs, corpus, workers=1) == 0
    script = (
        f"import sys; sys.path[:0] = {[str(ROOT)]!r}\n"
        "from tests.sweeps.launching.test_real_trainer import grid, longer, read\n"
        "from scaling.store.record import Store\nfrom sweeps.launching.launch import launch\n"
        f"store = Store({str(real_store.root)!r}); corpus = read(store)\n"
        f"sys.exit(launch(store, 'small', longer(grid(corpus)), corpus, engine_name='slurm', engine_options={FAST!r}))"
    )
    launcher = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True)

    def stepping() -> list[str]:
        assert launcher.poll() is None, launcher.communicate()[1]
        known = (real_store.root / "sweeps" / "small.json").exists()
        runs = status(real_store, "small")["runs"] if known else []
        return [run["run_id"] for run in runs if run["state"] == "running" and "step" in run]

    wait_for(stepping, 120)
    victims = stepping()
    urgent = ["sbatch", "--partition=high", "--exclusive", "--nodes=2", "--output=/dev/null", "--wrap=sleep 2"]
    subprocess.run(urgent, check=True, capture_output=True)
    said = said_by_end(launcher, 300)
    assert launcher.returncode == 0 and "4 done of 4 runs" in said, said
    went_on = [name for name in victims if (record := real_store.read(name)) and record.about.get("before")]
    assert went_on, "nothing was preempted"
    for name in went_on:
        record = real_store.read(name)
        assert record is not None and record.about["started_from"]["step"] > 0 and record.status == "done"
    assert losses(real_store, runs) == losses(other, runs)  # bit for bit
    spent = [sum(store.read(run_id(c)).about["steps_computed"] for c in runs) for store in (real_store, other)]  # type: ignore[union-attr]
    assert spent[0] == spent[1]  # saved at the preemption, and the trunks were shared


def test_a_job_out_of_time_saves_and_goes_back_into_the_queue(cluster: None, tmp_path: Path) -> None:
    (tmp_path / "pace").write_text("0.05")
    launcher = start(tmp_path, time="1", warn="50", jobs="1")  # told after 10 s, or as SLURM's clock has it
    wait_for(lambda: begun(tmp_path) == 2, 120)
    (tmp_path / "pace").write_text("0")
    said = said_by_end(launcher)
    assert launcher.returncode == 0, said
    assert statuses(tmp_path) == ["done"] * 4 and "attempt" not in said
    assert [row["step"] for row in Store(tmp_path).curve(IDS[0])] == list(range(1, grid()[0].steps + 1))


def test_a_run_that_crashes_has_its_attempts_and_its_last_words_are_kept(
    cluster: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "behave.json").write_text(json.dumps({IDS[1]: "die"}))
    options = {**FAST, "restarts": "1"}
    done = launch(Store(tmp_path), "grid", grid(), CORPUS, command=TRAINER, engine_name="slurm", engine_options=options)
    assert done == 1 and statuses(tmp_path) == ["done", "failed", "done", "done"]
    record = Store(tmp_path).read(IDS[1])
    assert record is not None and record.about["error"].endswith("SIGKILL, 2 times: about to run out of memory")
    assert "about to run out of memory" in str(status(Store(tmp_path), "grid"))
    assert f"run {IDS[1][:12]} failed: its process was killed by SIGKILL, 2 times" in capsys.readouterr().err


def test_a_job_that_is_killed_whole_is_submitted_a_stated_number_of_times(cluster: None, tmp_path: Path) -> None:
    (tmp_path / "pace").write_text("0.05")
    launcher = start(tmp_path, jobs="1", restarts="1")
    for attempt in (1, 2):  # out of memory takes the keeper too
        wait_for(lambda: begun(tmp_path) == attempt and len(children(tmp_path)) == attempt, 60)  # noqa: B023
        wait_for(lambda: statuses(tmp_path)[0] == "running", 30)
        lines = [
            json.loads(line) for p in folder(tmp_path, "grid").glob("*.jsonl") for line in p.read_text().splitlines()
        ]
        if attempt == 2:
            (tmp_path / "pace").write_text("0")
        for pid in ([line["pid"] for line in lines if line["event"] == "began"][-1], children(tmp_path)[-1]):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    said = said_by_end(launcher)
    assert launcher.returncode == 1, said
    assert statuses(tmp_path) == ["failed", "done", "done", "done"]
    assert "the trainer ended as FAILED (attempt 1 of 2)" in said and "ended as FAILED, 2 times" in said


def test_an_interrupt_cancels_the_jobs_which_save_and_the_next_launch_goes_on(cluster: None, tmp_path: Path) -> None:
    (tmp_path / "pace").write_text("0.05")
    launcher = start(tmp_path)
    wait_for(lambda: len(Store(tmp_path).curve(IDS[0])) > 2, 60)
    launcher.send_signal(signal.SIGINT)
    said = said_by_end(launcher)
    assert launcher.returncode == 75 and "launch grid again" in said, said
    assert queue() == [] and statuses(tmp_path)[0] == "stopped"
    (tmp_path / "pace").write_text("0")
    again = start(tmp_path)
    assert "4 done of 4 runs" in said_by_end(again) and again.returncode == 0
    assert [row["step"] for row in Store(tmp_path).curve(IDS[0])] == list(range(1, grid()[0].steps + 1))


def test_a_launcher_that_is_killed_leaves_its_jobs_and_the_next_one_follows_them(cluster: None, tmp_path: Path) -> None:
    (tmp_path / "pace").write_text("0.02")
    launcher = start(tmp_path)
    wait_for(lambda: len(Store(tmp_path).curve(IDS[0])) > 2, 60)
    launcher.kill()
    launcher.communicate()
    jobs = sorted(queue())
    again = start(tmp_path)
    time.sleep(3)
    assert len(jobs) == 2 and sorted(queue()) == jobs  # nothing was submitted twice
    (tmp_path / "pace").write_text("0")
    assert "4 done of 4 runs" in said_by_end(again) and again.returncode == 0
    assert begun(tmp_path) == 2


def test_a_job_that_somebody_cancels_ends_the_launch_and_is_not_submitted_again(cluster: None, tmp_path: Path) -> None:
    (tmp_path / "pace").write_text("0.05")
    launcher = start(tmp_path, jobs="1")
    wait_for(lambda: len(Store(tmp_path).curve(IDS[0])) > 2, 60)
    subprocess.run(["scancel", *queue()], check=True)
    said = said_by_end(launcher)
    assert launcher.returncode == 75 and statuses(tmp_path) == ["stopped", "waiting", "waiting", "waiting"], said
    assert begun(tmp_path) == 1


def test_one_run_over_two_nodes(cluster: None, real_store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = read(real_store)
    options = {**FAST, "nodes": "2"}
    done = launch(
        real_store, "small", real_grid(corpus)[:1], corpus, engine_name="slurm", engine_options=options
    )  # fmt: skip
    assert done == 0, capsys.readouterr().err
    (record,) = real_store.records()
    assert record.status == "done" and record.about["hosts"] == 2 and record.about["devices"] == 2

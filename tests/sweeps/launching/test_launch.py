"""Launching, with real processes: each run once, whatever dies in between."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from scaling.store.record import Store
from sweeps.engines import local
from sweeps.engines.submission import Submission
from sweeps.errors import SweepError
from sweeps.launching.launch import launch
from sweeps.launching.options import LaunchOptions
from sweeps.monitoring.status import status
from sweeps.monitoring.terminal import as_text
from sweeps.planning.corpus import Corpus
from tests.support.commands import ROOT
from tests.support.sweeps import (
    SMALL_GRID_IDS,
    TRAINER,
    launch_small_grid,
    small_grid,
    trainer_pids,
    wait_until,
)

LAUNCHERS: list[subprocess.Popen[str]] = []
LAUNCHER = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.support.sweeps import CORPUS, TRAINER, small_grid
from scaling.store.record import Store
from sweeps.launching.launch import launch
from sweeps.launching.options import LaunchOptions
from sweeps.errors import SweepError
try:
    sys.exit(launch(Store({store!r}), "grid", small_grid(), CORPUS, LaunchOptions(command=TRAINER)))
except SweepError as error:
    print(error, file=sys.stderr)
    sys.exit(2)
"""


def start(store: Path) -> subprocess.Popen[str]:
    script = LAUNCHER.format(root=str(ROOT), store=str(store))
    command = [sys.executable, "-c", script]
    launcher = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    LAUNCHERS.append(launcher)
    return launcher


@pytest.fixture(autouse=True)
def nothing_left_running(tmp_path: Path) -> Iterator[None]:
    """Ends what a failed test left."""
    yield
    while LAUNCHERS:
        LAUNCHERS[-1].kill()
        LAUNCHERS.pop().communicate()
    for child in trainer_pids(tmp_path):
        command = Path(f"/proc/{child}/cmdline")
        if command.exists() and b"sweeps_trainer" in command.read_bytes():
            os.kill(child, signal.SIGKILL)


def states(store: Path) -> list[str]:
    shown_status = {run["run_id"]: run["state"] for run in status(Store(store), "grid")["runs"]}
    return [shown_status[name] for name in SMALL_GRID_IDS]


def steps_seen(store: Path, name: str) -> list[float]:
    return [row["step"] for row in Store(store).curve(name)]


def test_a_launch_trains_every_run_in_one_process_and_a_second_one_nothing(tmp_path, capsys) -> None:
    assert launch_small_grid(tmp_path) == 0
    assert states(tmp_path) == ["done"] * 4
    assert len(trainer_pids(tmp_path)) == 1
    assert "sweep grid: 4 done of 4 runs" in capsys.readouterr().err
    assert [r["run_id"] for r in Store(tmp_path).sweeps()["grid"]] == SMALL_GRID_IDS
    assert all((Store(tmp_path).run_dir(name) / "config.json").exists() for name in SMALL_GRID_IDS)
    assert launch_small_grid(tmp_path) == 0
    assert len(trainer_pids(tmp_path)) == 1
    assert "skipping 4 of 4 runs, which are done" in capsys.readouterr().err


def test_a_failing_and_a_diverging_run_do_not_stop_the_sweep(tmp_path, capsys) -> None:
    (tmp_path / "behave.json").write_text(json.dumps({SMALL_GRID_IDS[0]: "fail", SMALL_GRID_IDS[1]: "diverge"}))
    assert launch_small_grid(tmp_path) == 1
    output = capsys.readouterr().err
    assert states(tmp_path) == ["failed", "diverged", "done", "done"]
    assert f"run {SMALL_GRID_IDS[0][:12]} failed: a bad day" in output
    assert "2 done, 1 diverged, 1 failed of 4 runs" in output
    shown = as_text(status(Store(tmp_path), "grid"))
    assert "a bad day" in shown
    (tmp_path / "behave.json").unlink()  # what failed is tried again, what diverged is a result
    assert launch_small_grid(tmp_path) == 0
    assert states(tmp_path) == ["done", "diverged", "done", "done"]


def test_a_child_that_dies_once_is_started_again(tmp_path, capsys) -> None:
    (tmp_path / "behave.json").write_text(json.dumps({SMALL_GRID_IDS[1]: "die-once"}))
    assert launch_small_grid(tmp_path) == 0
    assert states(tmp_path) == ["done"] * 4
    assert len(trainer_pids(tmp_path)) == 2
    output = capsys.readouterr().err
    assert "killed by SIGKILL (attempt 1 of 3)" in output
    assert "about to run out of memory" in output


def test_a_process_that_ends_with_a_run_that_failed_is_no_death_of_the_next(tmp_path, capsys) -> None:
    (tmp_path / "behave.json").write_text(json.dumps({SMALL_GRID_IDS[1]: "fail", "all": "in-order"}))
    assert launch_small_grid(tmp_path) == 1
    assert states(tmp_path) == ["done", "failed", "done", "done"]
    assert len(trainer_pids(tmp_path)) == 2 and "attempt" not in capsys.readouterr().err


def test_a_run_that_kills_its_process_before_a_word_fails_alone(tmp_path) -> None:
    (tmp_path / "behave.json").write_text(json.dumps({SMALL_GRID_IDS[0]: "die-compiling"}))
    assert launch_small_grid(tmp_path) == 1
    assert states(tmp_path) == ["failed", "done", "done", "done"]


def test_a_run_that_kills_its_process_each_time_fails_alone(tmp_path) -> None:
    (tmp_path / "behave.json").write_text(json.dumps({SMALL_GRID_IDS[1]: "die"}))
    assert launch_small_grid(tmp_path) == 1
    assert states(tmp_path) == ["done", "failed", "done", "done"]
    assert len(trainer_pids(tmp_path)) == 1 + 2 + 1  # the first, two restarts for that run, one for the rest
    record = Store(tmp_path).read(SMALL_GRID_IDS[1])
    assert record is not None
    assert "killed by SIGKILL, 3 times" in record.about["error"]
    assert "about to run out of memory" in record.about["error"]


@pytest.mark.parametrize(
    ("sampling", "message", "starts"), [("die-at-once", "before its first run", 3), ("refuse", "unknown argument", 1)]
)
def test_a_trainer_that_never_starts_a_run_ends_the_launch(
    tmp_path, capsys, sampling: str, message: str, starts: int
) -> None:
    (tmp_path / "behave.json").write_text(json.dumps({"all": sampling}))
    assert launch_small_grid(tmp_path) == 1
    assert message in capsys.readouterr().err
    assert len(trainer_pids(tmp_path)) == starts
    assert states(tmp_path) == ["waiting"] * 4  # no run is blamed for it


def test_kill_9_of_the_child_from_outside_loses_no_run(tmp_path) -> None:
    (tmp_path / "pace").write_text("0.02")
    launcher = start(tmp_path)
    wait_until(lambda: trainer_pids(tmp_path) and len(steps_seen(tmp_path, SMALL_GRID_IDS[0])) > 2)
    (tmp_path / "pace").write_text("0")
    os.kill(trainer_pids(tmp_path)[0], signal.SIGKILL)
    _, output = launcher.communicate(timeout=60)
    assert launcher.returncode == 0, output
    assert len(trainer_pids(tmp_path)) == 2
    assert states(tmp_path) == ["done"] * 4


def test_a_child_that_somebody_else_stops_goes_on_from_what_it_saved(tmp_path) -> None:
    (tmp_path / "pace").write_text("0.02")
    launcher = start(tmp_path)
    wait_until(lambda: trainer_pids(tmp_path) and len(steps_seen(tmp_path, SMALL_GRID_IDS[0])) > 2)
    (tmp_path / "pace").write_text("0")
    os.kill(trainer_pids(tmp_path)[0], signal.SIGTERM)
    _, output = launcher.communicate(timeout=60)
    assert launcher.returncode == 0, output
    assert len(trainer_pids(tmp_path)) == 2 and "the trainer was stopped by a signal after saving: restarted" in output
    assert states(tmp_path) == ["done"] * 4
    assert steps_seen(tmp_path, SMALL_GRID_IDS[0]) == list(range(1, small_grid()[0].steps + 1))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_waits_for_the_save_and_the_next_launch_goes_on(tmp_path, number: signal.Signals) -> None:
    (tmp_path / "pace").write_text("0.02")
    launcher = start(tmp_path)
    wait_until(lambda: len(steps_seen(tmp_path, SMALL_GRID_IDS[0])) > 2)
    os.killpg(launcher.pid, number)  # as a terminal does: to all of the foreground
    _, output = launcher.communicate(timeout=20)
    assert launcher.returncode == 75, output
    assert "waiting for the runs to save" in output
    assert f"to continue, launch grid again with --store {tmp_path}" in output
    assert states(tmp_path) == ["stopped", "waiting", "waiting", "waiting"]
    (tmp_path / "pace").write_text("0")
    assert launch_small_grid(tmp_path) == 0
    assert states(tmp_path) == ["done"] * 4
    assert steps_seen(tmp_path, SMALL_GRID_IDS[0]) == list(
        range(1, small_grid()[0].steps + 1)
    )  # went on, did not start over


def test_a_second_interrupt_kills_a_child_that_does_not_listen(tmp_path) -> None:
    (tmp_path / "pace").write_text("0.02")
    (tmp_path / "behave.json").write_text(json.dumps({"all": "deaf"}))
    launcher = start(tmp_path)
    wait_until(lambda: len(steps_seen(tmp_path, SMALL_GRID_IDS[0])) > 2)
    launcher.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert launcher.poll() is None
    launcher.send_signal(signal.SIGINT)
    _, output = launcher.communicate(timeout=20)
    assert launcher.returncode == 75, output
    assert states(tmp_path)[0] == "interrupted"


def test_a_second_launcher_is_refused_and_so_is_one_beside_an_orphaned_child(tmp_path) -> None:
    (tmp_path / "pace").write_text("0.02")
    launcher = start(tmp_path)
    wait_until(lambda: len(steps_seen(tmp_path, SMALL_GRID_IDS[0])) > 2)
    second = start(tmp_path)
    _, output = second.communicate(timeout=20)
    assert second.returncode == 2
    assert output.strip() == (
        f"sweep grid is being launched in {tmp_path} by process {launcher.pid} on {socket.gethostname()}: "
        "wait for it, or stop it first"
    )
    child = trainer_pids(tmp_path)[0]
    os.kill(child, signal.SIGSTOP)  # an orphan that has not noticed yet
    launcher.kill()
    launcher.communicate(timeout=20)
    third = start(tmp_path)
    _, output = third.communicate(timeout=20)
    assert third.returncode == 2, output
    os.kill(child, signal.SIGKILL)
    (tmp_path / "pace").write_text("0")
    wait_until(lambda: not is_locked(tmp_path))
    assert launch_small_grid(tmp_path) == 0
    assert states(tmp_path) == ["done"] * 4


def is_locked(store: Path) -> bool:
    with (store / "sweeps" / "grid.lock").open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def test_a_name_that_stands_for_another_corpus_is_kept(tmp_path) -> None:
    store = Store(tmp_path)
    store.write_sweep("grid", small_grid(), SMALL_GRID_IDS)
    other = Corpus(name="another", tokens="ef" * 32, vocab=257, train=2_000_000)
    elsewhere = [replace(c, data=replace(c.data, tokens=other.tokens)) for c in small_grid()]
    with pytest.raises(SweepError, match=r"is on corpus a text: choose another name for the sweep on another with"):
        launch(store, "grid", elsewhere, other, LaunchOptions(command=TRAINER))
    assert [r["run_id"] for r in store.sweeps()["grid"]] == SMALL_GRID_IDS


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), signal.SIGKILL)", "sys.exit(0)", "sys.exit(1)"])
def test_events_lost_with_the_child_are_read_from_the_store(tmp_path, end: str) -> None:
    """A child killed between its record and its word: the run is done, and is not trained again."""
    store, config = Store(tmp_path), small_grid()[0]
    script = (
        "import os, signal, sys; from scaling.config.run import load; from scaling.store.record import Record, Store\n"
        "store = Store(sys.argv[sys.argv.index('--store') + 1])\n"
        "config = load(sys.argv[1])\n"
        f"store.write(Record(run_id={SMALL_GRID_IDS[0]!r}, config=config, status='done', final={{'loss': 3.0}}))\n"
        + end
    )
    job = local.submit(
        Submission(store=store, sweep="grid", configs=[config], command=(sys.executable, "-c", script)),
        local.LocalOptions(),
    )
    events = []
    while not job.finished:
        events += local.poll(job)
    assert events == [{"event": "end", "run_id": SMALL_GRID_IDS[0], "status": "done", "loss": 3.0}]

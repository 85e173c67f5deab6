"""A clock that is set back or forth loses no lease, reaches no limit, and gives no negative or absurd durations."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from scaling.config.run import RunConfig, dumps, override, run_id
from scaling.store.lease import LeaseHeldError
from scaling.store.origin.clock import CLOCK_FILE, current_date, time_of_day
from scaling.store.record import Store
from sweeps.cost.caps import Caps
from sweeps.launching.launch import launch
from sweeps.launching.options import LaunchOptions
from sweeps.monitoring.status import run_progress
from tests.support.commands import ROOT
from tests.support.sweeps import CORPUS, TRAINER, small_grid, wait_until
from tests.support.training import train_run

HOURS = 3 * 3600.0
OF_DAY = re.compile(r"\b(?:time\.time(?:_ns)?|datetime\.(?:now|utcnow|today)|date\.today)\(")
NAMES_ONLY = {"checkpoint_files.py": {"time.time_ns("}}  # for the name of a file


@pytest.fixture
def set_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the clock of this process and its children off by some seconds."""
    path = tmp_path / "clock"

    def set_seconds(seconds: float) -> None:
        (tmp_path / "clock.new").write_text(str(seconds))
        os.replace(tmp_path / "clock.new", path)

    set_seconds(0)
    monkeypatch.setenv(CLOCK_FILE, str(path))
    return set_seconds


def test_only_one_module_reads_the_time_of_day() -> None:
    for path in [path for package in ("scaling", "sweeps", "analysis") for path in (ROOT / package).rglob("*.py")]:
        if path.name != "clock.py":
            assert set(OF_DAY.findall(path.read_text())) <= NAMES_ONLY.get(path.name, set()), path


def test_the_clock_of_tests_is_off_by_what_its_file_says(set_clock: Callable[[float], None]) -> None:
    set_clock(-HOURS)
    assert abs(time_of_day() + HOURS - time.time()) < 1 and current_date().endswith("+00:00")


@pytest.mark.parametrize("jump", [HOURS, -HOURS])
def test_a_launch_whose_clock_jumps_reaches_no_cap(
    tmp_path: Path, set_clock: Callable[[float], None], jump: float, capsys: pytest.CaptureFixture[str]
) -> None:
    behaviour = {run_id(small_grid()[0]): f"clock={jump}"}
    (tmp_path / "behave.json").write_text(json.dumps(behaviour))
    options = LaunchOptions(command=TRAINER, caps=Caps(hours=0.5))
    assert launch(Store(tmp_path), "grid", small_grid(), CORPUS, options) == 0
    assert time_of_day() - time.time() == pytest.approx(jump, abs=1)
    assert "; -" not in capsys.readouterr().err
    assert all(0 <= record.about["seconds"] < 60 for record in Store(tmp_path).records())


@pytest.mark.slow
@pytest.mark.parametrize("jump", [HOURS, -HOURS])
def test_a_trainer_whose_clock_jumps_keeps_its_lease_and_its_cost(
    store: Store, tiny: RunConfig, tmp_path: Path, set_clock: Callable[[float], None], jump: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("SCALING_LEASE_SECONDS", "2")
    config, path = override(tiny, ["steps=60000", "eval.every=0"]), tmp_path / "config.json"
    path.write_text(dumps(config))
    line = [sys.executable, "-m", "scaling", "train", str(path), "--store", str(store.root), "--events"]
    line += ["--place", "save_seconds=1", "--place", "data=1"]
    started_at = time.monotonic()
    child = subprocess.Popen(line, stdout=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, "XLA_FLAGS": ""})
    curve, name = store.run_dir(run_id(config)) / "curve.jsonl", run_id(config)
    try:
        wait_until(lambda: store.last_row(name), 60)
        set_clock(jump)
        os.utime(curve, (time_of_day(), time_of_day()))  # as the file system of such a machine has it
        until = time.monotonic() + 5.0
        while time.monotonic() < until:
            progress = run_progress(store, store.read(name))
            if progress["step"] > 1000:
                assert 0 < progress["seconds_left"] < 3600 and progress["tokens_per_second"] > 0
            with pytest.raises(LeaseHeldError), store.lease(name):
                pass
            time.sleep(0.1)
        assert child.poll() is None and store.read(name).status == "running"
    finally:
        child.send_signal(signal.SIGKILL)
        child.communicate()
    spent = time.monotonic() - started_at
    stopped = train_run(config, store, stop_after=store.last_row(name)["step"] + 5)
    assert stopped.status == "stopped" and 4 < stopped.about["seconds"] < spent + 60
    assert stopped.about["tokens_per_second"] > 0 and stopped.about["before"]

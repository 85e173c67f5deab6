"""What a run has cost survives a process that is killed, also inside the write of a record."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scaling.config.run import RunConfig, dumps, override, run_id
from scaling.store.cost import cost_so_far
from scaling.store.record import Record, Store
from tests.support.commands import ROOT
from tests.support.training import assert_same_run, train_run

KILL_AT_RECORD = """
import os, signal, sys
from scaling.__main__ import main

count, replace = int(sys.argv.pop(1)), os.replace


def replace_until_killed(source, target):
    global count
    count -= str(target).endswith("record.json")
    if count == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)


os.replace = replace_until_killed
sys.exit(main(sys.argv[1:]))
"""


class Killed(BaseException):
    """Ends a process at once, as far as a test in this process can."""


def has_whole_cost(record: Record, steps: int, seconds: float) -> bool:
    """Whether a record has at least these costs, and the speed of its last steps."""
    about = record.about
    costs = about["steps_computed"] >= steps and seconds <= about["seconds"] < seconds + 60
    return record.status == "done" and costs and about["tokens_per_second"] > 0 and "input_wait" in about


@pytest.mark.parametrize("write", [1, 2, 3, 4])
def test_a_kill_inside_the_write_of_a_record_loses_neither_cost_nor_speed(
    store: Store, second_store: Store, tiny: RunConfig, write: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes, replace, name = [0], os.replace, run_id(tiny)

    def replace_until_killed(source: str, target: str) -> None:
        is_record = str(target).endswith("record.json")
        writes[0] += is_record
        if is_record and writes[0] == write:
            raise Killed
        replace(source, target)

    monkeypatch.setattr(os, "replace", replace_until_killed)
    started_at = time.monotonic()
    with pytest.raises(Killed):
        train_run(tiny, store)
    seconds = time.monotonic() - started_at
    monkeypatch.undo()
    interrupted = store.read(name)
    assert interrupted is None or interrupted.status == "running"
    record = train_run(tiny, store)
    saved = write >= 3  # the last checkpoint, with everything up to it
    assert has_whole_cost(record, tiny.steps, 0.5 * seconds if saved else 0.0), (record.about, seconds)
    train_run(tiny, second_store)
    assert_same_run(store, second_store, tiny)


@pytest.mark.slow
@pytest.mark.parametrize("write", [3, 4])
def test_a_process_that_is_killed_inside_the_write_of_a_record_loses_neither_cost_nor_speed(
    store: Store, tiny: RunConfig, tmp_path: Path, write: int
) -> None:
    config = override(tiny, ["steps=400", "eval.every=0"])
    path = tmp_path / "config.json"
    path.write_text(dumps(config))
    line = [sys.executable, "-c", KILL_AT_RECORD, str(write), "train", str(path), "--store", str(store.root)]
    env = {**os.environ, "XLA_FLAGS": "", "PYTHONPATH": str(ROOT)}
    killed = subprocess.run(line, env=env, check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL and store.read(run_id(config)).status == "running"
    [manifest] = store.run_dir(run_id(config)).glob("checkpoints/*/manifest.json")
    cost = json.loads(manifest.read_text())["cost"]
    assert has_whole_cost(train_run(config, store), config.steps, cost["seconds"])


def test_the_cost_of_a_running_run_does_not_depend_on_the_time_of_day(store: Store, tiny: RunConfig) -> None:
    record = train_run(tiny, store, stop_after=7)
    about = {**record.about, "started": "2020-01-01T00:00:00+00:00"}
    del about["seconds"], about["steps_computed"]
    running = Record(run_id=record.run_id, config=tiny, status="running", about=about)
    path = store.run_dir(record.run_id) / "curve.jsonl"
    for moment in (0, 2e9):  # the clock was set back or forth while the run was trained
        os.utime(path, (moment, moment))
        cost = cost_so_far(store, running)
        assert cost["steps_computed"] == 7 and 0 <= cost["seconds"] <= record.about["seconds"]

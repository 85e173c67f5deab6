"""The local engine's processes: trunks whole, work even, cores apart, and nobody's death is another's."""

import dataclasses
import json
import os
import random
import subprocess
import sys
import threading
import time
from itertools import combinations
from pathlib import Path

import pytest

from scaling.config.run import RunConfig, prefix_id, run_id
from scaling.store.record import Store
from sweeps.engines import crashes, local
from sweeps.engines.submission import Submission
from sweeps.errors import SweepError
from sweeps.launching.launch import launch
from sweeps.launching.options import LaunchOptions
from sweeps.planning.plan import execution_order, shared_steps
from sweeps.planning.workers import RUN_FLOPS, SHAPE_FLOPS, assign_runs, divide_cores, estimated_work, move_to_balance
from tests.support.commands import ROOT
from tests.support.sweeps import CORPUS, TRAINER, small_grid, wait_until


def test_trunks_stay_whole_every_run_has_one_worker_and_the_work_is_even() -> None:
    from sweeps.definitions import DEFINITIONS

    runs = execution_order(DEFINITIONS["quickstart"].make(CORPUS))
    by_id = {run_id(run): run for run in runs}
    for workers in (1, 2, 3):
        dealt = assign_runs(runs, workers)
        assert len(dealt) == workers and sorted(n for names in dealt for n in names) == sorted(by_id)
        trunks = [{prefix_id(by_id[name], 0) for name in names} for names in dealt]
        assert sum(map(len, trunks)) == len(set().union(*trunks))
    assert unevenness(runs) < 1.05
    assert len(assign_runs(runs, 99)) == len({prefix_id(run, 0) for run in runs})


def unevenness(runs: list[RunConfig]) -> float:
    """Of two workers, in FLOPs: the longer one's over the even share, trunks trained once."""
    prefix: dict[str, float] = {}
    for run, start in zip(runs, shared_steps(runs), strict=True):
        prefix[run_id(run)] = RUN_FLOPS + estimated_work(run) - estimated_work(run, start)
    loads = [
        sum(prefix[name] for name in names) + SHAPE_FLOPS * len({name for name in names if name in firsts(runs)})
        for names in assign_runs(runs, 2)
    ]
    return 2 * max(loads) / sum(loads)


def firsts(runs: list[RunConfig]) -> set[str]:
    return {run_id(run) for run, start in zip(runs, shared_steps(runs), strict=True) if not start}


def test_a_deal_that_can_be_even_is() -> None:
    """The longest first to whoever has least to do gives 3 + 2 + 2 and 3 + 2: an exchange makes it 6 and 6."""
    times = {"a": 3.0, "b": 3.0, "c": 2.0, "d": 2.0, "e": 2.0}
    dealt = [{"a", "c", "e"}, {"b", "d"}]
    while move_to_balance(dealt, times):
        pass
    assert [sum(times[x] for x in prefix) for prefix in sorted(dealt, key=len)] == [6, 6]
    for seed in range(20):
        draw = random.Random(seed)
        times = {str(i): draw.uniform(1, 9) for i in range(6)}
        dealt = [set(times), set[str]()]
        while move_to_balance(dealt, times):
            pass
        sums = [sum(v) for k in range(7) for v in combinations(times.values(), k)]
        best = min(max(total, sum(times.values()) - total) for total in sums)
        assert max(sum(times[x] for x in prefix) for prefix in dealt) <= 1.1 * best


def test_the_cores_are_divided_and_none_is_two_workers() -> None:
    own_path = os.sched_getaffinity(0)
    for workers in range(2, len(own_path) + 1):
        dealt = divide_cores(workers)
        assert len(dealt) == workers and all(dealt)
        assert sorted(core for cores in dealt if cores for core in cores) == sorted(own_path)
    assert divide_cores(len(own_path) + 1) == [None] * (len(own_path) + 1) and divide_cores(1) == [None]


def test_one_workers_deaths_leave_the_others_runs_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(tmp_path)
    bad = run_id(small_grid()[0])
    (tmp_path / "behave.json").write_text(json.dumps({bad: "die"}))
    assert launch(store, "grid", small_grid(), CORPUS, LaunchOptions(command=TRAINER, workers=2)) == 1
    statuses = {run_id(run): store.read(run_id(run)) for run in small_grid()}
    text = {name: record.status for name, record in statuses.items() if record}
    assert text == {name: "failed" if name == bad else "done" for name in statuses}
    assert "attempt 3 of 3" in capsys.readouterr().err


def test_attempts_are_limited_and_apart_while_another_process_trains_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crashes, "RESTART_SECONDS", 0.2)
    monkeypatch.setattr(crashes, "FOLLOW_SECONDS", 0.05)
    store, run = Store(tmp_path), small_grid()[0]
    name, statuses, printed = run_id(run), list[int](), list[str]()
    (tmp_path / "behave.json").write_text(json.dumps({name: "die"}))
    launcher = threading.Thread(
        target=lambda: statuses.append(launch(store, "grid", [run], CORPUS, LaunchOptions(command=TRAINER)))
    )
    with store.lease(name):
        launcher.start()
        wait_until(lambda: printed.append(capsys.readouterr().err) or "trains it" in "".join(printed))
        time.sleep(1.0)
        assert launcher.is_alive() and store.read(name).status == "running"  # not failed: the other one trains it
        store.write(dataclasses.replace(store.read(name), status="done", final={"loss": 3.0}))
    launcher.join(timeout=20)
    starts = [float(line) for line in (tmp_path / "times").read_text().split()]
    assert statuses == [0] and len(starts) == "".join(printed).count("attempt") == 3
    assert starts[1] - starts[0] > 0.2 and starts[2] - starts[1] > 0.4  # each pause is longer


def test_a_child_that_dies_while_it_waits_for_a_held_run_fails_no_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, run = Store(tmp_path), small_grid()[0]
    (tmp_path / "behave.json").write_text(json.dumps({"all": "die-waiting"}))
    with store.lease(run_id(run)):
        assert launch(store, "grid", [run], CORPUS, LaunchOptions(command=TRAINER)) == 1
    assert store.read(run_id(run)) is None
    lines = capsys.readouterr().err
    assert "attempt 2 of 3" in lines and "attempt 3" not in lines and "with no run under way, 3 times" in lines


def test_a_child_sees_its_own_cores_alone_and_knows_its_share(tmp_path: Path) -> None:
    own_path = sorted(os.sched_getaffinity(0))
    worker = local.Worker(frozenset({"x"}), tmp_path / "log", frozenset(own_path[:1]))
    job = local.Job(
        submission=Submission(store=Store(tmp_path), sweep="s", configs=[], command=(sys.executable, "-c", SEES)),
        options=local.LocalOptions(restarts=0),
        remaining={"x": small_grid()[0]},
        workers=[worker, worker],
    )
    local._start(job, worker)
    assert worker.child is not None and worker.child.wait(timeout=30) == 0
    assert worker.log.read_text().split() == ["1", "0.5"]


SEES = """
import os, sys, time
time.sleep(0.3)
print(len(os.sched_getaffinity(0)), os.environ["SCALING_MACHINE_SHARE"], file=sys.stderr)
"""


@pytest.mark.parametrize("workers, more", [(0, {}), (2, {"separate": True}), (2, {"engine": "gke"})])
def test_workers_that_cannot_be_are_refused_in_one_line(tmp_path: Path, workers: int, more: dict[str, object]) -> None:
    with pytest.raises(SweepError, match=f"--workers {workers}: must be 1 or more"):
        launch(Store(tmp_path), "grid", small_grid(), CORPUS, LaunchOptions(command=TRAINER, workers=workers, **more))  # type: ignore[arg-type]


def test_an_interrupt_stops_all_workers_and_the_next_launch_goes_on(tmp_path: Path) -> None:
    (tmp_path / "pace").write_text("0.05")
    code = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from tests.support.sweeps import CORPUS, TRAINER, small_grid
from scaling.store.record import Store
from sweeps.launching.launch import launch
from sweeps.launching.options import LaunchOptions
sys.exit(launch(Store({str(tmp_path)!r}), "grid", small_grid(), CORPUS, LaunchOptions(command=TRAINER, workers=2)))
"""
    child = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    assert child.stderr is not None
    with child.stderr:
        for line in child.stderr:
            if "step" in line or "runs" in line:
                break
        child.terminate()
        child.stderr.read()
    assert child.wait(timeout=30) == 75
    (tmp_path / "pace").write_text("0")
    store = Store(tmp_path)
    assert launch(store, "grid", small_grid(), CORPUS, LaunchOptions(command=TRAINER, workers=2)) == 0
    assert all((record := store.read(run_id(run))) and record.status == "done" for run in small_grid())

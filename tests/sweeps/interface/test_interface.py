"""The Python interface: the functions of the commands, watching and stopping a launch, results as tables."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

import sweeps
from scaling.config.run import RunConfig, dumps
from scaling.store.record import Store
from sweeps.interface.launch import launch_arguments
from sweeps.launching.lock import launcher_lock
from sweeps.monitoring import watch
from tests.support.commands import ROOT, call_command
from tests.support.sweeps import (
    TRAINER,
    planned_in_store,
    trained_grid,
    trainer_pids,
    wait_until,
    write_noise_corpus,
)
from tests.support.sweeps import stored_corpus as corpus_of

OPTIONS = sweeps.LaunchOptions(command=TRAINER)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return write_noise_corpus(Store(tmp_path))


def grid_on(store: Store) -> list[RunConfig]:
    return trained_grid(corpus_of(store))


def test_plan_launch_and_status_are_those_of_the_commands(store, monkeypatch) -> None:
    runs = grid_on(store)
    (store.root / "list.jsonl").write_text("".join(json.dumps(json.loads(dumps(run))) + "\n" for run in runs))
    path = str(store.root / "list.jsonl")
    plan = sweeps.plan(runs, store=store.root)
    assert plan.configs == runs and plan.cost["runs"] == 4
    command = call_command("sweeps", "plan", path, "--store", store.root)
    assert command.stdout == f"{plan}\n"
    assert json.loads(call_command("sweeps", "plan", path, "--store", store.root, "--json").stdout)["runs"] == (
        json.loads(json.dumps(plan.to_json()["runs"]))
    )
    sweep = sweeps.launch(runs, store=store.root, name="grid", options=OPTIONS)
    assert sweep.exit_status == 0 and not sweep.is_launching()
    status = sweep.status()
    assert status.ended and status.counts["done"] == 4
    printed = json.loads(call_command("sweeps", "status", "grid", "--store", store.root, "--json").stdout)
    assert printed == json.loads(json.dumps(status.data))
    started = trainer_pids(store.root)
    sweeps.launch(path, store=store.root, options=OPTIONS)
    assert trainer_pids(store.root) == started  # all are done: nothing is trained again
    assert sweeps.status("list", store.root).counts["done"] == 4


def test_results_are_tables_in_pandas_and_in_a_notebook(store) -> None:
    runs = grid_on(store)
    plan = sweeps.plan(runs, store=store.root)
    frame = plan.to_pandas()
    assert list(frame["N"]) == [run.N for run in plan.plan.runs] and frame["status"].isna().all()
    behave = {plan.plan.runs[0].run_id: "fail"}
    (store.root / "behave.json").write_text(json.dumps(behave))
    sweep = sweeps.launch(runs, store=store.root, name="grid", options=OPTIONS)
    assert sweep.exit_status == 1
    table = sweep.status().to_pandas()
    assert list(table["state"]) == ["failed", "done", "done", "done"] and table["loss"].notna().sum() == 3
    data = sweep.status().data
    data["runs"][0]["error"] = "<script>"
    assert "&lt;script&gt;" in sweeps.SweepStatus(data)._repr_html_() and "<script>" not in str(plan._repr_html_())


def test_a_list_of_runs_needs_a_name_and_bad_input_is_one_line(store) -> None:
    with pytest.raises(sweeps.SweepError, match=r"a list of runs has no name: give name="):
        sweeps.launch(grid_on(store), store=store.root, options=OPTIONS)
    with pytest.raises(sweeps.SweepError, match="must consist of letters"):
        sweeps.launch(grid_on(store), store=store.root, name="../x", options=OPTIONS)
    with pytest.raises(sweeps.SweepError, match="entry 0 of its result is dict"):
        sweeps.plan([{"model": 1}], store=store.root)  # type: ignore[arg-type]
    with pytest.raises(sweeps.SweepError, match=r"is not in store .*: it has no sweeps"):
        sweeps.status("grid", store.root)


def test_runs_on_several_corpora_are_refused(store) -> None:
    first, second, *_ = grid_on(store)
    other = replace(second, data=replace(second.data, tokens="ab" * 32, corpus="other"))
    with pytest.raises(sweeps.SweepError, match=r"several corpora \(noise, other\)"):
        sweeps.plan([first, other], store=store.root)


def test_an_interrupted_launch_saves_and_raises_so_that_a_script_ends(store) -> None:
    (store.root / "pace").write_text("0.02")
    timer = threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        sweeps.launch(grid_on(store), store=store.root, name="grid", options=OPTIONS)
    timer.join()
    assert sweeps.status("grid", store.root).counts["stopped"] == 1


@pytest.mark.slow
def test_a_thread_can_launch(store) -> None:
    done: list[sweeps.Sweep] = []
    thread = threading.Thread(
        target=lambda: done.append(sweeps.launch(grid_on(store), store=store.root, name="grid", options=OPTIONS))
    )
    thread.start()
    thread.join(60)
    assert done[0].exit_status == 0


def test_the_flags_of_a_launch_in_another_process_read_back_as_its_options() -> None:
    from scaling.config.options import read_options
    from sweeps.__main__ import parser
    from sweeps.commands import launch

    options = sweeps.LaunchOptions(
        engine="my_engine.py:engine", engine_options={"nice": "5"}, workers=3, pack=2,
        placement={"share": False, "remat": "full"},
        caps=sweeps.Caps(flops=1e15, hours=0.1), tasks=sweeps.Tasks(("addition-2", "my.py:task"), (0, 4), 50),
        code=("my.py",),
    )  # fmt: skip
    args = parser().parse_args(["launch", "x", "--store", "S", *launch_arguments(options)])
    read = read_options(sweeps.LaunchOptions, args)
    assert (read.engine, read.workers, args.pack, args.code) == ("my_engine.py:engine", 3, 2, ["my.py"])
    assert launch.engine_options(args.option) == options.engine_options
    assert launch.launch_placement(args) == options.placement
    assert (args.cap_flops, args.cap_hours) == (1e15, 0.1) and launch.requested_tasks(args) == options.tasks


@pytest.mark.slow
def test_a_sweep_that_another_process_launches_is_found_watched_and_stopped(store, capsys) -> None:
    (store.root / "pace").write_text("0.02")
    script = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "import sweeps; from tests.sweeps.interface.test_interface import OPTIONS, grid_on\n"
        "from scaling.store.record import Store\n"
        f"sweeps.launch(grid_on(Store({str(store.root)!r})), store={str(store.root)!r}, name='grid', options=OPTIONS)"
    )
    launcher = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    sweep = sweeps.Sweep("grid", store.root)
    wait_until(lambda: sweep.is_launching() and trainer_pids(store.root))
    wait_until(lambda: sweep.status().counts["running"])
    with pytest.raises(sweeps.SweepError, match="is being launched"):
        sweeps.launch(grid_on(store), store=store.root, name="grid", wait=False)
    assert sweep.stop().counts["stopped"] == 1
    assert launcher.wait(20) != 0
    with pytest.raises(sweeps.SweepError, match="no process of this machine is launching it"):
        sweep.stop()
    (store.root / "pace").write_text("0")
    sweeps.launch(grid_on(store), store=store.root, name="grid", options=OPTIONS)
    sweep.watch(0.1)
    assert "sweep grid: 4 done of 4 runs" in capsys.readouterr().out


def test_a_lock_without_a_holder_is_no_launch(store) -> None:
    sweep = sweeps.Sweep("grid", store.root)
    assert not sweep.is_launching()
    with launcher_lock(store, "grid"):
        assert sweep.is_launching()
    assert not sweep.is_launching()


def test_a_lock_that_is_a_pipe_is_named_and_nothing_waits_for_its_writer(store) -> None:
    path = store.root / "sweeps" / "grid.lock"
    path.parent.mkdir(exist_ok=True)
    os.mkfifo(path)
    with pytest.raises(OSError, match=r"is no regular file: '.*grid.lock'"), launcher_lock(store, "grid"):
        pass
    with pytest.raises(OSError, match=r"is no regular file: '.*grid.lock'"):
        sweeps.Sweep("grid", store.root).is_launching()


def test_a_notebook_shows_one_table_that_is_redrawn(monkeypatch, tmp_path) -> None:
    shown: list[str] = []

    class Handle:
        def update(self, page: object) -> None:
            shown.append("update")

    def display(page: object, display_id: bool = False) -> Handle:
        shown.append("display")
        return Handle()

    module = SimpleNamespace(HTML=str, display=display)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    monkeypatch.setattr(watch, "in_notebook", lambda: True)
    planned_in_store(Store(tmp_path))
    over = iter([False, False, True])
    assert watch.watch(lambda: sweeps.status("grid", tmp_path).data, 0.001, None, lambda _: next(over)) == 0
    assert shown == ["display", "update", "update"]

"""A sweep with the real trainer: what a plan promises is what is trained."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from scaling.store.record import Store
from sweeps.launching.launch import launch
from sweeps.monitoring.status import status
from sweeps.monitoring.terminal import isoflop_table
from sweeps.planning.budget import step_flops
from sweeps.planning.plan import plan_cost, plan_sweep
from tests.support.commands import ROOT
from tests.support.sweeps import curves, stored_corpus, trained_grid

LAUNCHER = """
import sys
sys.path.insert(0, {root!r})
from tests.support.sweeps import stored_corpus, trained_grid
from scaling.store.record import Store
from sweeps.launching.launch import launch
store = Store({store!r})
corpus = stored_corpus(store)
sys.exit(launch(store, "small", trained_grid(corpus), corpus))
"""


@pytest.mark.slow
def test_a_sweep_trains_what_its_plan_promises(noise_store: Store, capsys) -> None:
    corpus = stored_corpus(noise_store)
    planned = plan_sweep(trained_grid(corpus), corpus)
    assert sum(run.from_step > 0 for run in planned.runs) == 2
    assert launch(noise_store, "small", trained_grid(corpus), corpus) == 0, capsys.readouterr().err
    for run in planned.runs:
        record = noise_store.read(run.run_id)
        assert record is not None
        assert (record.status, record.sweep, record.config) == ("done", "small", run.config)
        assert record.about["steps_computed"] == run.config.steps - run.from_step  # the branch was taken
        assert (record.params["total"], record.flops["total"]) == (run.N, run.C)
    computed = [(noise_store.read(run.run_id), run.config) for run in planned.runs]
    spent = sum(record.about["steps_computed"] * step_flops(config) for record, config in computed if record)
    assert spent == plan_cost(planned)["flops"]  # as quoted, to the last FLOP
    shown_status = status(noise_store, "small")
    assert shown_status["counts"]["done"] == 4
    assert isoflop_table(shown_status["runs"], ["budget"]).count("*") == 2
    assert plan_sweep(trained_grid(corpus), corpus, noise_store).remaining == []


@pytest.mark.slow
def test_killed_and_interrupted_it_ends_with_the_same_numbers(noise_store: Store, tmp_path_factory) -> None:
    corpus = stored_corpus(noise_store)
    other = Store(tmp_path_factory.mktemp("undisturbed"))
    (other.root / "tokens").symlink_to(noise_store.token_files)
    assert launch(other, "small", trained_grid(corpus), corpus) == 0
    script = LAUNCHER.format(root=str(ROOT), store=str(noise_store.root))

    def begin() -> subprocess.Popen[str]:
        return subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stderr=subprocess.PIPE, text=True)

    def trainer(launcher: subprocess.Popen[str]) -> int:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            for run in (
                status(noise_store, "small")["runs"] if (noise_store.root / "sweeps" / "small.json").exists() else []
            ):
                record = noise_store.read(run["run_id"])
                if record is not None and run["state"] == "running" and "step" in run:
                    return int(record.about["pid"])
            assert launcher.poll() is None, "ended before it could be disturbed"
            time.sleep(0.005)
        raise AssertionError("no run was seen running")

    first = begin()
    trainer(first)
    first.send_signal(signal.SIGTERM)  # a preemption: saved, and gone on with at the next launch
    _, output = first.communicate(timeout=120)
    assert first.returncode == 75, output
    second = begin()
    os.kill(trainer(second), signal.SIGKILL)
    _, output = second.communicate(timeout=180)
    assert second.returncode == 0, output
    assert curves(noise_store, trained_grid(corpus)) == curves(other, trained_grid(corpus))

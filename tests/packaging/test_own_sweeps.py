"""A sweep and an engine of a user's own files, with the installed wheel outside the checkout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.packaging.wheel import SQUARED_MLP, InstalledWheel
from tests.sweeps.engines.test_own_engine import ENGINE

pytestmark = pytest.mark.docs
SWEEP = f"""{SQUARED_MLP}

from dataclasses import replace

from sweeps.planning.rules import run_at_width


def lengths(corpus, *, seed=0, steps=(15, 30)):
    "One size, two lengths."
    runs = [run_at_width(8, corpus, length=16, steps=n, budget=None, seed=seed) for n in steps]
    return [replace(run, model=replace(run.model, mlp="my_sweep.py:Squared")) for run in runs]
"""
CORPUS = ("--corpus", "markov:vocab=16,tokens=20000", "--store", "S")


def test_a_sweep_with_a_block_in_its_file_is_trained_by_an_engine_in_a_file(
    installed_wheel: InstalledWheel, tmp_path: Path
) -> None:
    def sweeps(*arguments: str) -> str:
        return installed_wheel.run("-m", "sweeps", *arguments, folder=tmp_path).stdout

    (tmp_path / "my_sweep.py").write_text(SWEEP)
    (tmp_path / "my_engine.py").write_text(ENGINE)
    (tmp_path / "plan.json").write_text(sweeps("plan", "my_sweep.py:lengths", *CORPUS, "--json"))
    planned = json.loads((tmp_path / "plan.json").read_text())["runs"]
    assert planned[1]["from_step"] == 12  # where the decay of the shorter run begins
    sweeps("launch", "my_sweep.py:lengths", *CORPUS, "--engine", "my_engine.py:engine", "--option", "nice=1")
    status = json.loads(sweeps("status", "lengths", "--store", "S", "--json"))
    assert status["counts"]["done"] == 2
    again = json.loads(sweeps("plan", "plan.json", "--store", "S", "--code", "my_sweep.py", "--json"))
    assert [(run["run_id"], run["status"]) for run in again["runs"]] == [(run["run_id"], "done") for run in planned]

"""`sweeps forecast`: bad arguments are one line before anything is trained, and a killed command continues."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scaling.store.record import Store
from tests.support.commands import ROOT, call_command, command

CORPUS = "markov:order=1,vocab=32,tokens=400000,seed=0"
GRID = '''
"""A small isoFLOP grid."""

from scaling.config.run import RunConfig
from sweeps.planning.budget import IsoflopDesign, isoflop_grid, size_at_ratio
from sweeps.planning.corpus import Corpus


def grid(corpus: Corpus, *, seed: int = 0) -> list[RunConfig]:
    """An isoFLOP grid of three budgets."""
    budgets = (5e9, 1e10, 2e10)
    design = IsoflopDesign(
        widths=(16, 24, 32), budgets=budgets, sizes_per_budget=3, centre=size_at_ratio(40.0), length=32
    )
    return isoflop_grid(corpus, design, seed=seed)
'''


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "give the larger run by --times K or by --target C"),
        (["--times", "30", "--target", "1e14"], "give the larger run by --times K or by --target C"),
        (["--times", "1"], "--times 1: must be more than 1"),
        (["--times", "inf"], "--times inf: must be more than 1"),
        (["--target=-1e14"], "--target -1e+14: must be more than 0"),
        (["--target", "nan"], "--target nan: must be more than 0"),
        (["--times", "many"], "argument --times: invalid float value: 'many'"),
        (["--times", "30", "--engine", "none"], "none"),
    ],
)
def test_bad_arguments_are_one_line_and_nothing_is_written(tmp_path: Path, words: list[str], text: str) -> None:
    done = call_command("sweeps", "forecast", "quickstart", "--store", tmp_path / "store", *words)
    assert done.returncode == 2
    assert text in done.stderr.splitlines()[-1]
    assert not (tmp_path / "store").exists()


def test_an_unknown_law_is_found_before_the_ladder_is_trained(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ("quickstart", "--store", tmp_path / "store", "--times", "30", "--law", "chinchila")
    assert call_command("sweeps", "forecast", *words).returncode == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1 and "law 'chinchila': must be one of chinchilla" in error
    assert not (tmp_path / "store").exists()


def stages(store: Store) -> tuple[int, bool, bool, bool]:
    """Finished runs of the ladder, whether the config of the target is saved, sealed, and its run finished."""
    records = list(store.records())
    done = [record for record in records if record.status == "done"]
    return (
        sum(record.sweep == "grid" for record in done),
        any((store.root / "sweeps").glob("grid-target-*.config.json")),
        (store.root / "forecasts.jsonl").exists(),
        any(record.sweep == "grid-target" for record in done),
    )


def descendants(pid: int) -> list[int]:
    """Processes that a process and its children started, by /proc."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found = [pid]
    for process in found:
        found += children.get(process, [])
    return found[1:]


@pytest.mark.slow
def test_it_is_killed_between_its_stages_and_ends_with_one_scored_forecast(tmp_path: Path) -> None:
    """Killed with SIGKILL in the ladder, after the target is chosen, and in the training of the target."""
    (tmp_path / "grid.py").write_text(GRID)
    store = Store(tmp_path / "store")
    words = ["sweeps", "forecast", f"{tmp_path / 'grid.py'}:grid", "--store", str(store.root), "--corpus", CORPUS]
    words += ["--times", "4", "--law", "chinchilla"]
    for reached in (
        lambda: stages(store)[0] >= 1,
        lambda: stages(store)[1],
        lambda: stages(store)[2] and any(record.sweep == "grid-target" for record in store.records()),
    ):
        process = subprocess.Popen([sys.executable, "-m", *words], cwd=ROOT, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 600
        while not reached():
            assert process.poll() is None or reached(), process.returncode
            assert time.monotonic() < deadline
            time.sleep(0.1)
        for pid in [process.pid, *descendants(process.pid)]:  # trainers have process groups of their own
            os.kill(pid, signal.SIGKILL)
        process.wait()
    sealed = (store.root / "forecasts.jsonl").read_bytes()
    done = command(*words, timeout=900)
    assert done.returncode == 0, done.stderr
    assert (store.root / "forecasts.jsonl").read_bytes() == sealed  # the seal of the first time
    assert stages(store) == (9, True, True, True)
    assert "1 forecast scored of 1" in done.stdout
    assert command(*words, timeout=900).stdout == done.stdout  # nothing is left to do
    scored = command("analysis", "forecasts", store.root, "--json", "-")
    (forecast,) = json.loads(scored.stdout)["forecasts"]
    assert forecast["status"] == "done" and abs(forecast["error"]) < 0.2

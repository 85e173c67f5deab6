"""Rows of finished runs: words of schedulers and trackers, unknown words, and columns that are no states."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.data.load import load
from analysis.data.options import ReadOptions
from analysis.fitting.fit import fit
from analysis.fitting.options import FitOptions
from tests.support.commands import PUBLISHED, call_command
from tests.support.tables import refusal

CASES = PUBLISHED.parent / "cases"
FINISHED = (
    "COMPLETED",
    "COMPLETED+",
    "finished",
    "Succeeded",
    "JOB_STATE_SUCCEEDED",
    "TrialState.COMPLETE",
    "done",
    "CD",
)
UNFINISHED = (
    *("OUT_OF_MEMORY", "CANCELLED by 1001", "NODE_FAIL", "TIMEOUT", "PREEMPTED", "BOOT_FAIL", "DEADLINE", "REQUEUED"),
    *(
        "RUNNING",
        "PENDING",
        "crashed",
        "killed",
        "OOMKilled",
        "CrashLoopBackOff",
        "JOB_STATE_FAILED",
        "InProgress",
        "CA",
    ),
    *("FAILED: out of memory", "preempting", "stopped", "diverged"),
)


def runs(**columns: Any) -> pd.DataFrame:
    n = len(next(iter(columns.values())))
    return pd.DataFrame({"N": np.arange(1, n + 1) * 1e6, "D": 1e9, "loss": 4 - np.arange(n) / 100, **columns})


@pytest.mark.parametrize(
    "name", ["State", "status", "run_state", "job_status", "JobState", "Run State", "summary.state"]
)
def test_only_finished_runs_are_read_in_the_words_of_each_scheduler(name: str) -> None:
    points = load(runs(**{name: [*FINISHED, *UNFINISHED]}))
    assert (points.N / 1e6).tolist() == list(range(1, len(FINISHED) + 1))
    (note,) = [note for note in points.notes if "left out" in note]
    assert note.startswith(f"{len(UNFINISHED)} runs left out") and "1 OUT_OF_MEMORY" in note


def test_rows_with_an_unknown_word_are_left_out_by_name() -> None:
    points = load(runs(state=["COMPLETED", "GESTRANDET", "COMPLETED", ""]))
    assert len(points) == 2
    assert any("not known: 1 GESTRANDET, 1 without a state" in note for note in points.notes)


def test_a_column_without_known_words_is_refused_with_what_to_do() -> None:
    frame = runs(state=["Texas", "Ohio", "Texas"])
    assert "column state: no known state of a run (2 Texas, 1 Ohio)" in refusal(frame)
    assert len(load(frame, options=ReadOptions(where="state!=''"))) == 3
    assert len(load(frame, options=ReadOptions(where="state=='Texas'"))) == 2
    assert "no known state" in refusal(runs(State=["CA", "OK", "TX"]))
    assert len(load(runs(State=["CA", "CD", "TO"]))) == 1  # SLURM's short words


@pytest.mark.parametrize(
    ("column", "cells", "kept"),
    [
        ("status", ["TERMINATED", "ERROR", "TERMINATED"], 2),  # Ray Tune
        ("status", ["TERMINATED", "COMPLETED", "COMPLETED"], 2),
        ("status", ["", "diverged", ""], 2),
        ("status", [0, 1, 0], 3),
        ("ExitCode", ["0:0", "137:0", "0:0"], 2),
        ("finished", [True, False, True], 2),
        ("is_crashed", ["no", "yes", "no"], 2),
        ("success", [0.5, 1.0, 0.1], 3),
        ("phase", ["pretraining", "pretraining", "cooldown"], 3),
        ("optimizer_state", ["a", "b", "b"], 3),
    ],
)
def test_states_as_flags_codes_and_marks_of_failures(column: str, cells: list[object], kept: int) -> None:
    assert len(load(runs(**{column: cells}))) == kept


def test_a_filter_that_mentions_the_column_replaces_the_selection_of_finished_runs(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    runs(**{"Run State": ["finished", "crashed", "half"]}).to_csv(path, index=False)
    assert len(load(path)) == 1
    assert len(load(path, options=ReadOptions(where="col('Run State')!='crashed'"))) == 2
    everything = refusal(path, where="N > 1e6")
    assert "no rows to fit" in everything and "1 crashed" in everything and "1 half" in everything


@pytest.mark.skipif(not CASES.is_dir(), reason="no inputs at ../shared/cases")
def test_runs_of_a_slurm_export_that_did_not_finish_are_not_fitted() -> None:
    result = fit(CASES / "sacct.csv", options=FitOptions(bootstrap=100))
    assert result.params["E"] == pytest.approx(1.8, abs=1e-3) and len(result.points) == 13
    assert result.verdict == ("converged",)
    shown = call_command("analysis", "optimum", CASES / "sacct.csv", "--bootstrap", 100).stdout
    assert "3 runs left out: 1 OUT_OF_MEMORY, 1 TIMEOUT, 1 CANCELLED by 1001" in shown


def test_states_are_found_in_columns_of_any_name_and_unknown_alphabets_are_refused() -> None:
    N = np.geomspace(1e7, 1e9, 4)
    table = {"params": N, "tokens": N[::-1] * 20, "loss": 5 - np.arange(4) / 10}
    assert len(load({**table, "result": ["COMPLETED", "COMPLETED", "OUT_OF_MEMORY", "FAILED"]})) == 2
    assert len(load({**table, "corpus": ["done", "done", "c4", "c4"]})) == 4
    assert "no known state" in refusal({**table, "state": ["完成", "完成", "失败", "失败"]})

"""Results of lm-evaluation-harness as tables of scores: a file, or a folder with a run each."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from analysis.data.sources.readers import is_store, read_table
from analysis.errors import DataError
from analysis.evals.emergence import emergence_study
from analysis.evals.load import load_tasks
from analysis.evals.options import EmergenceOptions
from tests.damage.folders import CONTENTS, damage, open_to_all, without_rights

SIZES = {"70m": 7.0e7, "160m": 1.6e8, "410m": 4.1e8, "1b": 1.0e9, "2.8b": 2.8e9}


def results(size: str, accuracy: float, **changes: Any) -> dict[str, Any]:
    """A results file of version 0.4 with a task, a group of two tasks and a perplexity."""
    scores = {"alias": "arc", "acc,none": accuracy, "acc_stderr,none": 0.01, "acc_norm,none": accuracy + 0.02}
    return {
        "results": {
            "arc_easy": scores,
            "mmlu": {"acc,none": 0.3, "acc_stderr,none": "N/A"},
            "mmlu_a": {"acc,none": 0.25, "acc_stderr,none": 0.02},
            "mmlu_b": {"acc,none": 0.35, "acc_stderr,none": 0.02},
            "gsm8k": {"exact_match,strict-match": 0.01, "exact_match,flexible-extract": 0.02},
            "wikitext": {"word_perplexity,none": 30.0, "word_perplexity_stderr,none": "N/A"},
        },
        "group_subtasks": {"mmlu": ["mmlu_a", "mmlu_b"], "arc_easy": []},
        "configs": {
            "arc_easy": {"output_type": "multiple_choice", "doc_to_choice": "{{choices.text}}"},
            "mmlu_a": {"output_type": "multiple_choice", "doc_to_choice": ["A", "B", "C", "D"]},
            "mmlu_b": {"output_type": "multiple_choice", "doc_to_choice": ["A", "B"]},
        },
        "versions": {"arc_easy": 1.0},
        "n-shot": {"arc_easy": 5},
        "n-samples": {
            "arc_easy": {"original": 2376, "effective": 500},
            "mmlu_a": {"original": 300, "effective": 300},
            "mmlu_b": {"original": 100, "effective": 100},
        },
        "config": {
            "model": "hf",
            "model_args": f"pretrained=EleutherAI/pythia-{size},dtype=float32",
            "model_num_parameters": int(SIZES[size]),
        },
        "model_name": f"EleutherAI/pythia-{size}",
        **changes,
    }


def write_results(folder: Path, content: dict[str, Any], name: str = "results_2026-11-29.json") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(json.dumps(content))
    return path


def row(path: Path, task: str, metric: str = "acc") -> dict[str, Any]:
    frame = read_table(path).frame
    [cells] = frame[(frame["task"] == task) & (frame["metric"] == metric)].to_dict("records")
    return cells


def test_a_file_gives_scores_with_their_items_errors_and_size(tmp_path: Path) -> None:
    path = write_results(tmp_path, results("160m", 0.4))
    assert row(path, "arc_easy") == {
        "run": "EleutherAI/pythia-160m", "task": "arc_easy", "metric": "acc", "score": 0.4, "stderr": 0.01, "n": 500,
        "chance": None, "shots": 5, "params": 1.6e8, "revision": None,
    }  # fmt: skip
    assert row(path, "gsm8k", "exact_match,strict-match")["score"] == 0.01
    assert row(path, "wikitext", "word_perplexity")["score"] == 30


def test_a_group_has_the_items_and_mean_chance_of_its_tasks(tmp_path: Path) -> None:
    group = row(write_results(tmp_path, results("70m", 0.3)), "mmlu")
    assert group["n"] == 400 and group["chance"] == pytest.approx(0.75 * 0.25 + 0.25 * 0.5)
    assert group["stderr"] is None


def test_a_folder_has_a_run_per_model_and_the_last_evaluation_counts(tmp_path: Path) -> None:
    for size in SIZES:
        folder = tmp_path / f"EleutherAI__pythia-{size}"
        write_results(folder, results(size, 0.1), "results_2026-11-01.json")
        write_results(folder, results(size, 0.4), "results_2026-11-29.json")
        (folder / "samples_arc_easy_2026.jsonl").write_text('{"doc_id": 0}\n')
    assert not is_store(tmp_path)
    table = read_table(tmp_path)
    scores = table.frame[table.frame["metric"] == "acc"]
    assert len(set(scores["run"])) == len(SIZES)
    assert set(scores.loc[scores["task"] == "arc_easy", "score"]) == {0.4}
    assert any("replaced by the last" in note for note in table.notes)


def test_revisions_and_folders_of_one_model_are_runs(tmp_path: Path) -> None:
    for step in (1000, 2000):
        arguments = {"pretrained": "EleutherAI/pythia-70m", "revision": f"step{step}"}
        content = results("70m", 0.3, config={"model_args": arguments})
        write_results(tmp_path / "pythia-70m", content, f"results_{step}.json")
    for seed in (0, 1):
        write_results(tmp_path / f"seed{seed}", results("160m", 0.3))
    runs = set(read_table(tmp_path).frame["run"])
    assert runs == {
        *(f"EleutherAI/pythia-70m@step{step}" for step in (1000, 2000)),
        *(f"EleutherAI/pythia-160m seed{seed}" for seed in (0, 1)),
    }


def test_results_before_version_04_have_metrics_without_filters(tmp_path: Path) -> None:
    content = {
        "results": {"arc_easy": {"acc": 0.4, "acc_stderr": 0.01}},
        "versions": {"arc_easy": 0},
        "config": {"model": "gpt2", "model_args": "pretrained=gpt2-xl"},
    }
    assert row(write_results(tmp_path, content), "arc_easy")["stderr"] == 0.01


def test_a_folder_of_results_is_a_source_of_scores_of_emergence(tmp_path: Path) -> None:
    for i, size in enumerate(SIZES):
        write_results(tmp_path / size, results(size, 0.3 + 0.1 * i))
    options = EmergenceOptions(x="N", tasks=("arc_easy",), chance={"arc_easy": 0.25}, bootstrap=100)
    [task] = load_tasks(tmp_path, options).tasks
    assert sorted(task.runs["N"]) == list(SIZES.values()) and task.measures["score"].items.tolist() == [500] * 5
    assert emergence_study(tmp_path, options).findings[0].task.chance == 0.25


@pytest.mark.parametrize("text", ['{"results": {"a": {"acc,none": 0.3', "\x00", "[" * 50_000])
def test_damaged_results_are_refused_in_one_line(tmp_path: Path, text: str) -> None:
    write_results(tmp_path / "a", results("70m", 0.3))
    (tmp_path / "a" / "results_late.json").write_text(text)
    with pytest.raises(DataError) as error:
        read_table(tmp_path)
    assert "results_late.json: " in str(error.value) and "\n" not in str(error.value)


def test_files_of_a_folder_that_cannot_be_read_are_named_and_never_skipped(tmp_path: Path) -> None:
    for size in SIZES:
        write_results(tmp_path / size, results(size, 0.4))
    other = write_results(tmp_path / "other", {"results": None, "configs": {}}, "results_1.json")
    table = read_table(tmp_path)
    assert len(set(table.frame["run"])) == len(SIZES) and any(
        "not results of lm-evaluation-harness, left out: other/results_1.json" in note for note in table.notes
    )
    for kind in (*CONTENTS, "truncated", "folder", "link to itself"):
        other.unlink() if other.is_symlink() or other.exists() else None
        other.write_text(json.dumps(results("70m", 0.3)))
        damage(other, kind)
        if kind in ("null", "list", "text", "number", "empty object", "UTF-16"):
            assert any(f"left out: {other.relative_to(tmp_path)}" in note for note in read_table(tmp_path).notes)
        else:
            with pytest.raises(DataError, match="^" + re.escape(f"{other}: ")):
                read_table(tmp_path)
        other.rmdir() if other.is_dir() else other.unlink()
    os.mkfifo(other)
    with pytest.raises(DataError, match=r"results_1.json: is a FIFO"):
        read_table(tmp_path)


def test_a_folder_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    for size in SIZES:
        write_results(tmp_path / size, results(size, 0.4))
    open_to_all(tmp_path)
    (tmp_path / "1b").chmod(0o700)
    with without_rights(), pytest.raises(DataError, match="1b: cannot be read: Permission denied"):
        read_table(tmp_path)

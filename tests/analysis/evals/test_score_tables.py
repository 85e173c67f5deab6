"""Tables of scores: columns, units, rows and scales as in other tables, chance levels, and intervals with noise."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.data.options import ReadOptions
from analysis.errors import DataError
from analysis.evals import predict
from analysis.evals.emergence import emergence_study
from analysis.evals.load import load_tasks
from analysis.evals.options import EmergenceOptions
from analysis.evals.score_table.read import load_score_table
from analysis.fitting.options import FitOptions
from analysis.report.build import write_report
from analysis.uncertainty.resampling.score_noise import estimate_noise
from tests.support.commands import PUBLISHED, call_command

SIZES = np.geomspace(1e7, 1e10, 8)
CASES = PUBLISHED.parent / "cases"


def scores(**columns: object) -> pd.DataFrame:
    """Eight runs of one task whose score rises from 0.25."""
    share = 0.25 + 0.5 / (1 + np.exp(-np.linspace(-4, 4, 8)))
    table = pd.DataFrame({"task": "quiz", "params": SIZES, "tokens": 20 * SIZES, "acc": share, "n": 500})
    return table.assign(**columns)


def only_task(table: object, options: EmergenceOptions = EmergenceOptions(), **reading: object):
    [task] = load_score_table(table, options, ReadOptions(**reading)).tasks
    return task


def test_names_of_other_programs_are_known_and_compute_follows_from_size_and_tokens() -> None:
    table = scores().rename(columns={"params": "params_total", "acc": "acc,none", "tokens": "train_tokens"})
    p = table["acc,none"]
    table = table.drop(columns="n").assign(**{"acc_stderr,none": np.sqrt(p * (1 - p) / 500)})
    task = only_task(table)
    assert np.allclose(task.runs["C"], 120 * SIZES**2) and np.allclose(task.runs["N"], SIZES)
    assert task.measures["score"].items == pytest.approx(500, rel=1e-6)
    assert any("derived from the standard error: p(1 - p)/se²" in note for note in task.notes)


def test_columns_units_and_rows_are_those_that_were_asked_for() -> None:
    table = scores(millions=SIZES / 1e6, kind=["base"] * 6 + ["chat"] * 2).drop(columns="params")
    reading = {"columns": {"N": "millions"}, "units": {"N": "millions"}, "where": "kind=='base' and N>2e7"}
    task = only_task(table, **reading)
    assert np.allclose(task.runs["N"], SIZES[1:6])
    percent = scores(acc=scores()["acc"] * 100)
    with pytest.raises(DataError, match="from 0 to 1, or --units score=percent"):
        only_task(percent)
    assert np.allclose(only_task(percent, units={"score": "percent"}).measures["score"].mean, scores()["acc"])


def test_a_missing_chance_level_is_derived_or_unknown_but_never_taken_as_0() -> None:
    unknown = only_task(scores())
    assert math.isnan(unknown.chance) and any("not taken as 0: give --chance quiz=0.25" in n for n in unknown.notes)
    for task in (
        only_task(scores(choices=4)),
        only_task(scores(n_choices=4)),
        only_task(scores(), EmergenceOptions(chance={"quiz": 0.25})),
        only_task(scores(), EmergenceOptions(chance={"*": 0.25})),
    ):
        assert task.chance == 0.25
    exact = only_task(scores().rename(columns={"acc": "exact_match"}))
    assert exact.chance == 0 and any("exact match" in note for note in exact.notes)
    with pytest.raises(DataError, match="several chance levels"):
        only_task(scores(chance=[0.25] * 4 + [0.5] * 4))


def test_cells_of_percent_lists_of_choices_and_states_are_read() -> None:
    table = scores(state=["done"] * 7 + ["failed"])
    table["acc"] = [f"{100 * share:.2f} %" for share in table["acc"]]
    for choices in ('["a", "b", "c, d", "e"]', "A|B|C|D"):
        task = only_task(table.assign(choices=choices))
        assert task.chance == 0.25 and task.measures["score"].mean == pytest.approx(scores()["acc"][:7], abs=1e-4)


def test_without_a_chance_level_a_sigmoid_is_not_fitted(tmp_path: Path) -> None:
    scores().to_csv(tmp_path / "t.csv", index=False)
    done = call_command(
        "analysis", "emergence", tmp_path / "t.csv", "--x", "N", "--target", "N=1e11", "--bootstrap", 100
    )
    assert (
        done.returncode == 0 and "by sigmoid: no prediction: the chance level is unknown: give --chance" in done.stdout
    )
    assert "corrected" not in json.dumps(emergence_study(tmp_path / "t.csv").to_json())


@pytest.mark.skipif(not CASES.is_dir(), reason="cases are not here (../shared/cases)")
def test_a_chance_level_given_by_hand_is_that_of_the_column() -> None:
    stated = load_tasks(CASES / "mmlu_chance.csv").tasks[0]
    by_hand = load_tasks(CASES / "mmlu_nochance.csv", EmergenceOptions(chance={"*": 0.25})).tasks[0]
    assert stated.chance == by_hand.chance == 0.25 and np.isnan(load_tasks(CASES / "mmlu_nochance.csv").tasks[0].chance)


def test_an_unknown_metric_leaves_out_its_rows_and_not_the_table() -> None:
    table = scores()
    long = pd.concat(
        [
            table.rename(columns={"acc": "score"}).assign(metric="acc"),
            table.assign(score=table["acc"] - 0.01, metric="acc_norm").drop(columns="acc"),
            table.assign(score=12.5, metric="ppl").drop(columns="acc"),
            table.assign(score=-1 / np.arange(1, 9), metric="logprob").drop(columns="acc"),
        ]
    )
    read = load_score_table(long)
    assert any("ppl (8 rows)" in note for note in read.notes)
    [task] = read.tasks
    assert np.allclose(task.measures["score"].mean, table["acc"]) and task.continuous == "logp"
    assert "score is the metric acc (not acc_norm)" in task.notes
    chosen = only_task(long, EmergenceOptions(score="acc_norm"))
    assert np.allclose(chosen.measures["score"].mean, table["acc"] - 0.01)


def test_tasks_are_chosen_by_name_or_pattern() -> None:
    table = pd.concat([scores(task=name) for name in ("mmlu_law", "mmlu_art", "piqa")])
    names = [task.name for task in load_score_table(table, EmergenceOptions(tasks=("mmlu_*",))).tasks]
    assert names == ["mmlu_law", "mmlu_art"]
    with pytest.raises(DataError, match="no such task: it has mmlu_law, mmlu_art, piqa"):
        load_score_table(table, EmergenceOptions(tasks=("arc",)))


def test_a_table_with_a_column_per_task_is_read_with_the_names_of_its_tasks() -> None:
    table = pd.DataFrame({"model": list("abc"), "params": [1e8, 1e9, 1e10], "mmlu": [0.25, 0.3, np.nan],
                          "arc": [0.3, 0.4, 0.5]})  # fmt: skip
    options = EmergenceOptions(tasks=("mmlu", "arc"), items={"mmlu": 100, "*": 50}, chance={"*": 0.25})
    mmlu, arc = load_score_table(table, options).tasks
    assert list(mmlu.measures["score"].items) == [100, 100] and list(arc.measures["score"].items) == [50] * 3
    assert np.allclose(arc.measures["score"].mean, table["arc"]) and list(arc.runs["run"]) == list("abc")
    with pytest.raises(DataError, match="or columns of tasks with --tasks"):
        load_score_table(table)


def test_results_of_the_evaluation_harness_are_a_table_of_scores(tmp_path: Path) -> None:
    for i, size in enumerate((7e7, 4.1e8)):
        share = 0.3 + 0.1 * i
        scored = {"acc,none": share, "acc_stderr,none": math.sqrt(share * (1 - share) / 999), "alias": "mmlu"}
        content = {
            "results": {"mmlu": scored, "wikitext": {"bits_per_byte,none": 1.0}},
            "configs": {"mmlu": {"output_type": "multiple_choice", "doc_to_choice": ["A", "B", "C", "D"]}},
            "n-shot": {"mmlu": 0}, "versions": {},
            "config": {"model_num_parameters": size, "model_args": f"pretrained=m{i}"},
        }  # fmt: skip
        (tmp_path / f"m{i}").mkdir()
        (tmp_path / f"m{i}" / "results_1.json").write_text(json.dumps(content))
    study = emergence_study(tmp_path, EmergenceOptions(tasks=("mmlu",)))
    [finding] = study.findings
    assert study.axis == "N" and finding.task.chance == 0.25 and np.allclose(finding.task.runs["N"], (7e7, 4.1e8))
    assert finding.task.measures["score"].items == pytest.approx(999, abs=1)
    one_file = emergence_study(tmp_path / "m1" / "results_1.json")
    assert one_file.findings[0].task.measures["score"].mean == pytest.approx(0.4)


def test_equal_scores_have_the_interval_of_their_binomial_noise(tmp_path: Path) -> None:
    """Scores of .367 of 104 items: the interval of a new score is at least that of 104 answers."""
    table = scores(acc=0.367, n=104, chance=0.25)
    study = emergence_study(write(tmp_path, table), EmergenceOptions(x="N"))
    points = predict._points(study.findings[0], "N")
    result = predict._sigmoid(points, "N", {"N": 1e11}, 0.25, FitOptions(bootstrap=300))
    (low, high), (curve_low, curve_high) = result["interval"], result["curve_interval"]
    noise = math.sqrt(0.367 * 0.633 / 104)
    assert low < 0.367 - 1.7 * noise and high > 0.367 + 1.7 * noise
    assert curve_high - curve_low > 2 * noise / math.sqrt(len(table)) and low < curve_low and curve_high < high


def test_the_report_of_a_table_of_scores_has_their_verdicts_and_figures(tmp_path: Path) -> None:
    page = write_report(write(tmp_path, scores(chance=0.25)), tmp_path / "report").read_text()
    assert "Evaluations" in page and "quiz" in page and "The law" not in page
    assert {path.stem for path in (tmp_path / "report" / "figures").glob("*.pdf")} == {"emergence"}


def test_a_figure_of_scores_obeys_its_flags(tmp_path: Path) -> None:
    table = pd.concat([scores(task=name, chance=0.25) for name in ("quiz", "sums")])
    options = ("--x", "N", "--tasks", "sums", "--where", "N>2e7", "--columns", "score=acc")
    done = call_command(
        "analysis", "figure", "emergence", write(tmp_path, table), "--out", tmp_path / "e.svg", *options
    )
    assert done.returncode == 0, done.stderr
    rows = pd.read_csv(tmp_path / "e.data.csv")
    drawn = rows[(rows["mark"] == "point")]
    assert np.allclose(sorted(drawn["x"]), SIZES[SIZES > 2e7]) and drawn["series"].str.contains("sums").all()
    assert "--where 'N>2e7'" in json.loads((tmp_path / "e.about.json").read_text())["command"]


def write(folder: Path, table: pd.DataFrame) -> Path:
    table.to_csv(folder / "scores.csv", index=False)
    return folder / "scores.csv"


def test_noise_is_at_least_binomial_where_items_are_known() -> None:
    fitted = np.linspace(0.2, 0.8, 30)
    rng = np.random.default_rng(0)
    assert estimate_noise(fitted, fitted, np.full(30, 100.0), 3).dispersion == 1
    drawn = fitted + 0.1 * np.sqrt(fitted * (1 - fitted)) * rng.standard_normal(30)
    noise = estimate_noise(drawn, fitted, None, 3)
    assert noise.dispersion == pytest.approx(0.01, rel=0.5) and noise.weights.sum() == pytest.approx(1)
    new = noise.draw(np.full((20000, 1), 0.5), None, rng)
    assert new.std() == pytest.approx(0.5 * math.sqrt(noise.dispersion), rel=0.4)


def simulated_scores(x: np.ndarray, rng: np.random.Generator, items: int, *, rises: bool, scatter: float) -> np.ndarray:
    """Measured scores at scales, of a flat curve or of one that rises from chance, with scatter between runs."""
    share = 0.25 + 0.75 / (1 + np.exp(5 - 2 * (np.log10(x) - 18))) if rises else np.full(x.shape, 0.36)
    z = np.log(share / (1 - share)) + scatter * rng.standard_normal(x.shape)
    return rng.binomial(items, 1 / (1 + np.exp(-z))) / items


@pytest.mark.long
def test_a_new_score_is_in_its_prediction_interval_as_often_as_stated() -> None:
    """Of curves that are flat or rise, without and with scatter between runs: 95% of 40 × 200 new scores each."""
    inside = []
    for seed in range(160):
        rng, kind = np.random.default_rng(seed), {"rises": bool(seed & 1), "scatter": 0.15 * (seed >> 1 & 1)}
        x, items = np.geomspace(1e18, 1e21, int(rng.integers(8, 15))), int(rng.integers(100, 500))
        score = simulated_scores(x, rng, items, **kind)
        table = pd.DataFrame({"task": "t", "C": x, "score": score, "n": items, "chance": 0.25})
        finding = emergence_finding(table)
        result = predict._sigmoid(predict._points(finding, "C"), "C", {"C": 3e21}, 0.25, FitOptions(bootstrap=200))
        new, (low, high) = simulated_scores(np.full(200, 3e21), rng, items, **kind), result["interval"]
        inside.append(np.mean((new >= low) & (new <= high)))
    assert 0.93 <= np.mean(inside) <= 0.985


def emergence_finding(table: pd.DataFrame):
    from analysis.evals import emergence

    return emergence._finding(load_score_table(table).tasks[0], EmergenceOptions(x="C"))

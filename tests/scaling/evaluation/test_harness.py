"""The harness: it says what the project's own scorer says; what is wrong is a line, and the rest goes on."""

import dataclasses
import json
import math
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from scaling.config.placement import Placement
from scaling.config.validation import ConfigError
from scaling.evaluation.harness.config import HarnessOptions
from scaling.evaluation.harness.local import FORMATS, TASKS, read_task
from scaling.evaluation.harness.rows import pass_at_k
from scaling.evaluation.harness.run import run_harness
from scaling.evaluation.harness.sandbox.isolation import Isolation
from scaling.inference.options import Generation
from scaling.inference.scorer import Scorer
from scaling.store import items
from scaling.store.score_intervals import wilson_interval
from tests.support.evaluation import item_rows
from tests.support.models import BYTES, byte_run

OWN = Path(__file__).parent / "harness_data"
FIVE = ("mmlu", "gpqa_diamond_zeroshot", "gsm8k", "humaneval", "arc_challenge")


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer(byte_run(), Placement(data=1))


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))


def harness_options(*tasks: str, **more) -> HarnessOptions:
    return HarnessOptions(benchmarks=tasks, **{"folder": str(OWN), **more})


@pytest.mark.slow
def test_the_harness_says_what_the_scorer_says(scorer: Scorer, tmp_path: Path) -> None:
    """All five formats, from lines alone; every number of the items is the scorer's, the scores are the items'."""
    pytest.importorskip("lm_eval")
    result = run_harness(scorer, tmp_path, harness_options(*FIVE))
    assert result.errors == []
    for task in ("mmlu", "gpqa_diamond_zeroshot", "arc_challenge"):
        right = []
        for row in item_rows(tmp_path, task):
            scores = scorer.score_continuations(
                [scorer.encode_pair(row["prompt"], choice) for choice in row["choices"]]
            )
            np.testing.assert_allclose(row["choice_logp"], [entry.logp.sum() for entry in scores], rtol=1e-5)
            np.testing.assert_allclose(row["answer_logp"], scores[row["gold"]].logp, rtol=1e-5, atol=1e-5)
            assert row["answer"] == row["choices"][row["gold"]] and row["chance"] == 1 / len(row["choices"])
            assert row["choice_bytes"] == row["choice_tokens"] == [len(choice) for choice in row["choices"]]
            right.append(np.argmax(row["choice_logp"]) == row["gold"])
        assert result.facts[f"{task}/acc"] == pytest.approx(np.mean(right))
    assert [row["gold"] for row in item_rows(tmp_path, "mmlu")] == [0, 1, 2]
    for row in item_rows(tmp_path, "gsm8k"):
        settings = Generation(max_tokens=256, stop=("Question:", "\n\n"))
        [text] = scorer.generate([scorer.encode_prompt(row["prompt"])], settings)
        assert row["generated"] == text and row["passed"] == [False]
    assert [row["answer"] for row in item_rows(tmp_path, "gsm8k")] == ["7", "1500"] and result.facts[
        "gsm8k/exact_match_last-number"
    ] == 0
    assert all("passed" not in row for row in item_rows(tmp_path, "humaneval"))


@pytest.mark.slow
def test_a_uniform_byte_model_scores_eight_bits_a_byte(tmp_path: Path) -> None:
    """Its last norm says ones whatever it reads, and the head gives all bytes the same, other tokens nothing."""
    pytest.importorskip("lm_eval")
    model_run = byte_run(dataclasses.replace(BYTES, norm="layernorm", biases="all"))
    params = dict(model_run.params)
    params["norm"] = {name: np.full_like(leaf, name.startswith("b")) for name, leaf in params["norm"].items()}
    head_DV = np.zeros_like(params["head_DV"])
    head_DV[:, 256:] = -100
    params["head_DV"] = head_DV
    result = run_harness(
        Scorer(dataclasses.replace(model_run, params=params), Placement(data=1)), tmp_path, harness_options("text")
    )
    assert result.errors == [] and result.facts["text/bits_per_byte"] == pytest.approx(8, abs=1e-5)
    assert result.facts["text/byte_perplexity"] == pytest.approx(256, rel=1e-5)


@pytest.mark.slow
def test_what_is_wrong_is_a_line_and_the_others_go_on(scorer: Scorer, tmp_path: Path) -> None:
    pytest.importorskip("lm_eval")
    folder, out = tmp_path / "lines", tmp_path / "items"
    shutil.copytree(OWN, folder)
    (folder / "gsm8k.jsonl").write_text(json.dumps({"question": "How many?", "answer": "seven"}) + "\n")
    (folder / "gpqa_diamond_zeroshot.jsonl").unlink()
    long = {"question": "x" * 300, "choices": {"text": ["a", "b"], "label": ["A", "B"]}, "answerKey": "A"}
    (folder / "arc_challenge.jsonl").write_text(json.dumps(long) + "\n")
    names = ("gsm8k", "gpqa_diamond_zeroshot", "arc_challenge", "hellaswag", "mmlu")
    result = run_harness(scorer, out, harness_options(*names, folder=str(folder), limit=2))
    for line, message in zip(
        result.errors,
        (
            r"gsm8k.jsonl, line 1: answer = 'seven': must end with ####",
            "gpqa_diamond_zeroshot.jsonl: cannot be read: No such file",
            "task arc_challenge: not scored: 1 of 1 items exceed the run's context of 256 tokens (line 1; up to 320",
            "--harness hellaswag: with --harness-path, must be one",
        ),
        strict=True,
    ):
        assert message in line and "\n" not in line
    assert len(item_rows(out, "mmlu")) == 2 and {file.task for file in items.item_files(out)} == {"mmlu"}


LONG = {
    "mmlu": {"question": "x" * 300, "choices": list("wxyz"), "answer": 0},
    "gsm8k": {"question": "x" * 300, "answer": "#### 1"},
}


@pytest.mark.slow
@pytest.mark.parametrize("task", ["mmlu", "gsm8k"])
def test_a_question_beyond_the_context_costs_itself_not_the_benchmark(
    scorer: Scorer, tmp_path: Path, task: str
) -> None:
    """The scores are those of the other questions, whose numbers stay; a bad line is left out where that is allowed."""
    pytest.importorskip("lm_eval")
    lines = (OWN / f"{task}.jsonl").read_text().splitlines()
    (tmp_path / f"{task}.jsonl").write_text("\n".join([lines[0], "", json.dumps(LONG[task]), "{}", *lines[1:]]))
    whole = run_harness(scorer, tmp_path / "whole", harness_options(task))
    result = run_harness(scorer, tmp_path / "long", harness_options(task, folder=str(tmp_path), skip_bad=True))
    assert result.errors == [] and result.facts == whole.facts
    bad, long = result.notes
    assert bad.startswith("left out: ") and "line 4: missing field question" in bad
    assert f"1 of {len(lines) + 1} items exceed the run's context of 256 tokens (line 3; up to" in long
    assert [row["item"] for row in item_rows(tmp_path / "long", task)] == [0, *range(2, len(lines) + 1)]
    [metrics] = result.scores.values()
    for score in metrics.values():
        assert score.count == result.facts[f"{task}/n"] == len(lines)
        assert score.interval == wilson_interval(score.count * score.value, score.count)


@pytest.mark.slow
def test_shots_come_from_their_own_lines(scorer: Scorer, tmp_path: Path) -> None:
    pytest.importorskip("lm_eval")
    result = run_harness(scorer, tmp_path, harness_options("gsm8k", "mmlu", "humaneval", shots=1, limit=1))
    assert "gsm8k@1/exact_match_last-number" in result.facts and "humaneval: has no shots" in result.errors[0]
    [row] = item_rows(tmp_path, "gsm8k")
    shown, _, question = row["prompt"].partition("\n\n")
    assert shown.startswith("Question: ") and "\n#### " in shown and question.startswith("Question: Ida")
    [row] = item_rows(tmp_path, "mmlu")
    assert "Answer: D\n\n" in row["prompt"] or "Answer: A\n\n" in row["prompt"]


GOOD = {
    "mmlu": {"question": "q", "choices": list("wxyz"), "answer": 3},
    "arc_challenge": {"question": "q", "choices": {"text": ["x", "y"], "label": ["A", "B"]}, "answerKey": "B"},
    "humaneval": {"prompt": "def f():", "test": "t", "entry_point": "f"},
}
WRONG = [
    ("mmlu", {"answer": 4}, "answer = 4: must be 0 to 3, or A to D"),
    ("mmlu", {"choices": ["a", "b"]}, "2 choices: must be 4"),
    ("mmlu", {"question": None}, "question is empty"),
    ("arc_challenge", {"answerKey": "C"}, "answerKey = 'C': labels are A, B"),
    ("arc_challenge", {"choices": ["x", "y"]}, "choices = None: must be two texts or more"),
    ("humaneval", {"entry_point": "f()"}, "entry_point = 'f()': must be a name"),
]


@pytest.mark.parametrize(("task", "change", "message"), WRONG)
def test_a_wrong_line_is_named(task: str, change: dict, message: str, tmp_path: Path) -> None:
    path = tmp_path / f"{task}.jsonl"
    path.write_text(f"{json.dumps(GOOD[task])}\n\n{json.dumps({**GOOD[task], **change})}\n")
    with pytest.raises(ConfigError) as error:
        read_task(task, tmp_path)
    assert str(error.value) == f"{path}, line 3: {message}"
    path.write_text("{")
    with pytest.raises(ConfigError, match="line 1: not JSON"):
        read_task(task, tmp_path)


def test_every_format_has_its_yaml_and_its_lines() -> None:
    assert {path.stem for path in TASKS.glob("*.yaml")} == set(FORMATS)
    assert all(read_task(task, OWN).questions for task in FORMATS)
    golds = [row["gold"] for row in read_task("gpqa_diamond_zeroshot", OWN).questions]
    assert len(set(golds)) > 1 and golds == [row["gold"] for row in read_task("gpqa_diamond_zeroshot", OWN).questions]


def test_pass_at_k_is_the_share_of_draws_that_pass() -> None:
    """Against all draws of k among 6 samples, 2 of which pass."""
    import itertools

    for k in range(1, 7):
        draws = list(itertools.combinations([True, True, False, False, False, False], k))
        assert pass_at_k(6, 2, k) == pytest.approx(sum(map(any, draws)) / len(draws))
    assert pass_at_k(5, 0, 3) == 0 and math.isclose(pass_at_k(5, 5, 1), 1)
    with pytest.raises(ValueError, match="k must be from 1 to 5"):
        pass_at_k(5, 1, 6)


def test_programs_are_run_where_asked_and_no_sooner(isolation: Isolation) -> None:
    """Of what the harness hands over: a greedy program that fails, two samples of which one passes."""
    from scaling.evaluation.harness.rows import harness_rows

    [doc, _] = read_task("humaneval", OWN).questions
    texts = ["    return x\n", "    return 3 * x\n", "    import os; os._exit(0)\n"]
    sample = {"doc_id": 0, "doc": doc, "target": "", "arguments": [(doc["prompt"], {})], "resps": [texts]}
    model = SimpleNamespace(scores={}, scorer=SimpleNamespace(model=SimpleNamespace(step=1)))
    [row], more = harness_rows(model, "humaneval", 0, [sample], harness_options("humaneval"))
    assert "passed" not in row and more == {} and row["generated"] == texts
    [row], more = harness_rows(model, "humaneval", 0, [sample], harness_options("humaneval", run_code=True))
    assert row["passed"] == [False, True, False] and row["isolation"] == isolation.name
    assert {name: score.value for name, score in more.items()} == {"passed": 0, "pass@1": 0.5}
    [unsafe], same = harness_rows(model, "humaneval", 0, [sample], harness_options("humaneval", unsafe_run_code=True))
    assert unsafe == row | {"isolation": "none"} and same == more


@pytest.mark.slow
def test_how_programs_were_run_is_a_fact_of_the_record(scorer: Scorer, isolation: Isolation, tmp_path: Path) -> None:
    pytest.importorskip("lm_eval")
    result = run_harness(scorer, tmp_path, harness_options("humaneval", run_code=True))
    assert result.facts["humaneval/isolated"] == 1 and result.notes == []
    assert {row["isolation"] for row in item_rows(tmp_path, "humaneval")} == {isolation.name}
    result = run_harness(scorer, tmp_path, harness_options("humaneval", unsafe_run_code=True))
    assert result.facts["humaneval/isolated"] == 0 and "without isolation" in result.notes[0]
    result = run_harness(scorer, tmp_path, harness_options("humaneval"))
    assert result.facts == {} and all("isolation" not in row for row in item_rows(tmp_path, "humaneval"))


def test_items_of_earlier_versions_are_read(tmp_path: Path) -> None:
    """They say nothing about how programs were run."""
    import pyarrow.parquet as pq

    row = {"task": "t", "family": "t", "shots": 0, "step": 1, "item": 0, "metric_kind": "exact", "passed": [True]}
    path = items.write_items(tmp_path, "t", 0, 1, [{**row, "prompt": "p", "answer": "a"}])
    pq.write_table(pq.read_table(path).drop(["isolation"]), path)
    assert items.read_items(path) == [{**row, "prompt": "p", "answer": "a"}]

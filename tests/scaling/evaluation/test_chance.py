"""A model that has learned nothing is at chance: of every family of tasks, and of every benchmark of the harness.

Among choices its score is chance, within the interval. Where it writes, chance is a guess among the possible answers;
it does not know even which those are, so it is at chance or below.
"""

import json
import random
from pathlib import Path

import pytest

from scaling.config.placement import Placement
from scaling.evaluation.harness.config import HarnessOptions
from scaling.evaluation.harness.run import run_harness
from scaling.evaluation.prompts import task_questions
from scaling.evaluation.scoring import score_questions
from scaling.inference.scorer import Scorer
from scaling.store.items import Row
from scaling.store.score_intervals import wilson_interval
from tests.support.evaluation import EASY_DIFFICULTY, item_rows
from tests.support.models import byte_run

LEVEL = 0.9999  # of each of some fifteen intervals
COUNT = 300
WORDS = ["ash", "birch", "cedar", "elder", "fir", "hazel", "larch", "maple", "oak", "pine", "rowan", "willow"]


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer(byte_run(length=512), Placement(data=1))


def right(row: Row) -> float:
    """1 where the right choice is the likeliest, or the answer what greedy writes."""
    if "choices" not in row:
        return float(row["passed"][0] if "passed" in row else row["greedy"])
    best = max(row["choice_logp"])
    is_best = [logp == best for logp in row["choice_logp"]]
    return is_best[row["gold"]] / sum(is_best)


def at_chance(result: list[Row], chance: float) -> None:
    low, high = wilson_interval(sum(map(right, result)), len(result), LEVEL)
    high = high if "choices" in result[0] else 1.0
    assert low <= chance <= high, f"{result[0]['task']}: chance {chance} is not within [{low}, {high}]"


@pytest.mark.slow
@pytest.mark.parametrize("name", EASY_DIFFICULTY)
def test_of_every_family(name: str, scorer: Scorer) -> None:
    result = score_questions(
        scorer, task_questions(f"{name}-{EASY_DIFFICULTY[name]}", None, seed=1, count=COUNT).questions
    )
    at_chance(result, sum(row["chance"] for row in result) / len(result))


@pytest.mark.slow
@pytest.mark.usefixtures("isolation")  # skipped where programs cannot be isolated
def test_of_every_benchmark(scorer: Scorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines in each format whose right answers are drawn; numbers and programs by chance are never right."""
    pytest.importorskip("lm_eval")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    draw = random.Random(3)
    lines: dict[str, list[dict]] = {
        name: [] for name in ("mmlu", "gpqa_diamond_zeroshot", "arc_challenge", "gsm8k", "humaneval")
    }
    for i in range(COUNT):
        four, gold = draw.sample(WORDS, 4), draw.randrange(4)
        question = f"Which tree stands at {i}?"
        lines["mmlu"].append({"question": question, "choices": four, "answer": gold})
        wrong = {f"Incorrect Answer {n}": argument for n, argument in enumerate(four[1:], 1)}
        lines["gpqa_diamond_zeroshot"].append({"Question": question, "Correct Answer": four[0], **wrong})
        choices = {"text": four, "label": list("ABCD")}
        lines["arc_challenge"].append({"question": question, "choices": choices, "answerKey": "ABCD"[gold]})
    for i in range(4):
        lines["gsm8k"].append({"question": f"How many are {i} and 700?", "answer": f"#### {i + 700}"})
        test = f"def check(candidate):\n    assert candidate() == {i + 700}\n"
        lines["humaneval"].append({"prompt": f"def f():\n    '''{i} + 700'''\n", "test": test, "entry_point": "f"})
    for name, of in lines.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in of))
    result = run_harness(
        scorer, tmp_path / "items", HarnessOptions(benchmarks=tuple(lines), folder=str(tmp_path), run_code=True)
    )
    assert result.errors == []
    for name in lines:
        at_chance(item_rows(tmp_path / "items", name), 0.25 if len(lines[name]) == COUNT else 0.0)

"""A model that has learned nothing is at chance: of every family of tasks, and of every benchmark of the harness.

Among choices its score is chance, within the interval. Where it writes, chance is a guess among the possible answers;
it does not know even which those are, so it is at chance or below.
"""

import json
import random
from pathlib import Path

import pytest

from analysis.evals.metrics import wilson
from scaling.config.placement import Placement
from scaling.evaluate.harness.config import Asked
from scaling.evaluate.harness.run import ask
from scaling.evaluate.prompts import of_task
from scaling.evaluate.run import answered
from scaling.inference.scorer import Scorer
from scaling.store.items import Row
from tests.scaling.evaluate.test_families import EASY
from tests.scaling.evaluate.test_harness import of_bytes, rows

LEVEL = 0.9999  # of each of some fifteen intervals
COUNT = 300
WORDS = ["ash", "birch", "cedar", "elder", "fir", "hazel", "larch", "maple", "oak", "pine", "rowan", "willow"]


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer(of_bytes(length=512), Placement(data=1))


def right(row: Row) -> float:
    """1 where the right choice is the likeliest, or the answer what greedy writes."""
    if "choices" not in row:
        return float(row["passed"][0] if "passed" in row else row["greedy"])
    best = max(row["choice_logp"])
    taken = [logp == best for logp in row["choice_logp"]]
    return taken[row["gold"]] / sum(taken)


def at_chance(found: list[Row], chance: float) -> None:
    low, high = wilson(sum(map(right, found)), len(found), LEVEL)
    high = high if "choices" in found[0] else 1.0
    assert low <= chance <= high, f"{found[0]['task']}: chance {chance} is not within [{low}, {high}]"


@pytest.mark.slow
@pytest.mark.parametrize("name", EASY)
def test_of_every_family(name: str, scorer: Scorer) -> None:
    found = answered(scorer.of, scorer, of_task(f"{name}-{EASY[name]}", None, seed=1, count=COUNT))
    at_chance(found, sum(row["chance"] for row in found) / len(found))


@pytest.mark.slow
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
        wrong = {f"Incorrect Answer {n}": word for n, word in enumerate(four[1:], 1)}
        lines["gpqa_diamond_zeroshot"].append({"Question": question, "Correct Answer": four[0], **wrong})
        choices = {"text": four, "label": list("ABCD")}
        lines["arc_challenge"].append({"question": question, "choices": choices, "answerKey": "ABCD"[gold]})
    for i in range(4):
        lines["gsm8k"].append({"question": f"How many are {i} and 700?", "answer": f"#### {i + 700}"})
        test = f"def check(candidate):\n    assert candidate() == {i + 700}\n"
        lines["humaneval"].append({"prompt": f"def f():\n    '''{i} + 700'''\n", "test": test, "entry_point": "f"})
    for name, of in lines.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in of))
    found = ask(scorer, tmp_path / "items", Asked(tasks=tuple(lines), path=str(tmp_path), run_code=True))
    assert found.wrong == []
    for name in lines:
        at_chance(rows(tmp_path / "items", name), 0.25 if len(lines[name]) == COUNT else 0.0)

"""Scores are means of what applies, with the interval of their kind."""

import math

import numpy as np
import pytest

from scaling.evaluation.summary import mean_scores, record_facts
from scaling.store.items import Row
from scaling.store.score_intervals import ratio_interval


def values_of(rows: list[Row]) -> dict[str, float]:
    return {name: score.value for name, score in mean_scores(rows).items()}


def test_scores_are_means_of_what_applies_and_absent_where_nothing_does() -> None:
    choice = {"metric_kind": "choice", "choice_logp": [-3.0, -2.0], "choice_tokens": [2, 1], "choice_bytes": [2, 4]}
    rows = [{**choice, "gold": 0, "answer_logp": [-1.0, -2.0]}, {**choice, "gold": 1, "answer_logp": [-2.0]}]
    assert values_of(rows) == {"accuracy": 0.5, "accuracy_norm": 0.5, "accuracy_bytes": 0.5, "answer_logp": -2.5}
    assert values_of([{**rows[0], "choice_prior_logp": [-4.0, -2.0]}])["accuracy_prior"] == 1.0
    assert values_of([{**rows[0], "choice_logp": [-2.0, -2.0]}])["accuracy"] == 0.0  # a tie is not right
    assert mean_scores([]) == {}


def loss_row(nats: float, tokens: int = 10) -> Row:
    return {"metric_kind": "loss", "answer_logp": [-nats], "answer_tokens": tokens, "answer_bytes": tokens}


def test_intervals_are_wilsons_of_shares_and_students_of_means() -> None:
    rows = [{"metric_kind": "exact", "greedy": i < 3, "answer_logp": [-1.0 * i]} for i in range(10)]
    scores = mean_scores(rows)
    assert scores["exact_match"].interval == pytest.approx((0.1078, 0.6032), abs=1e-4)  # Wilson, 3 of 10
    half = 2.262157 * np.std(np.arange(10), ddof=1) / math.sqrt(10)  # Student's t with 9 degrees of freedom
    assert scores["answer_logp"].interval == pytest.approx((-4.5 - half, -4.5 + half), abs=1e-5)
    assert mean_scores(rows[:1])["answer_logp"].interval is None and mean_scores(rows[:1])["exact_match"].count == 1
    loss = mean_scores([loss_row(10), loss_row(30)])
    low, high = loss["loss"].interval or (0, 0)
    assert loss["loss"].value == 2 and loss["perplexity"].interval == (math.exp(low), math.exp(high))
    assert loss["bits_per_byte"].interval == pytest.approx((low / math.log(2), high / math.log(2)))


def test_the_interval_of_a_ratio_covers_its_truth() -> None:
    """Texts of different length whose loss is 2 nats per token: 95% intervals contain it in 93 to 97%."""
    random = np.random.default_rng(0)
    tokens = random.integers(20, 200, (2000, 30))
    nats = 2 * tokens + random.normal(0, 5, tokens.shape) * np.sqrt(tokens)
    intervals = [ratio_interval(x.tolist(), y.tolist()) or (0, 0) for x, y in zip(nats, tokens, strict=True)]
    assert 0.93 < np.mean([low < 2 < high for low, high in intervals]) < 0.97


def test_the_record_has_the_number_of_items_of_each_score() -> None:
    choice = {"metric_kind": "choice", "choice_logp": [-3.0, -2.0], "choice_tokens": [2, 1], "choice_bytes": [2, 4]}
    rows = [{**choice, "gold": 1, "answer_logp": [-2.0]}, {"metric_kind": "exact", "greedy": True, "answer_logp": [0]}]
    facts = record_facts("own@2", mean_scores(rows))
    assert facts["own@2/n"] == 2 and facts["own@2/accuracy_n"] == facts["own@2/exact_match_n"] == 1
    assert "own@2/answer_logp_n" not in facts and record_facts("own", {}) == {}

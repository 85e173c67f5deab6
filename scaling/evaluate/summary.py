"""Scores of one item file, for the record; analysis computes other metrics from the items."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from scaling.store.items import Row

MAX_PERPLEXITY_LOSS = 700  # nats per token: above it, exp overflows


def mean_scores(rows: list[Row]) -> dict[str, float]:
    """Returns the mean of each score over the items that it applies to; a score without items is absent.

    exact_match: the greedy answer equals the correct one and ends there.
    accuracy: the correct choice has the highest log-probability; accuracy_norm: per token; accuracy_bytes: per byte;
    accuracy_prior: minus its log-probability without the question (Brown 2020, section 2.4).
    answer_logp: log-probability of the whole correct answer, in nats.
    passed: share of the generated texts that are correct.
    loss: nats per token.
    """
    scores: dict[str, float] = {}
    exact, choice, loss = ([row for row in rows if row["metric_kind"] == kind] for kind in ("exact", "choice", "loss"))
    put_mean(scores, "exact_match", (float(row["greedy"]) for row in exact))
    choice_scores: dict[str, Callable[[Row], list[float]]] = {
        "accuracy": lambda row: row["choice_logp"],
        "accuracy_norm": lambda row: divide(row["choice_logp"], row["choice_tokens"]),
        "accuracy_bytes": lambda row: divide(row["choice_logp"], row["choice_bytes"]),
        "accuracy_prior": lambda row: [
            logp - prior for logp, prior in zip(row["choice_logp"], row["choice_prior_logp"], strict=True)
        ],
    }
    for name, score_choices in choice_scores.items():
        applicable = [row for row in choice if name != "accuracy_prior" or "choice_prior_logp" in row]
        put_mean(scores, name, (float(is_correct(score_choices(row), row["gold"])) for row in applicable))
    put_mean(scores, "answer_logp", (math.fsum(row["answer_logp"]) for row in exact + choice))
    put_mean(scores, "passed", (float(passed) for row in rows for passed in row.get("passed", [])))
    if loss:
        scores |= loss_scores(loss)
    return {name: value for name, value in scores.items() if math.isfinite(value)}


def loss_scores(rows: list[Row]) -> dict[str, float]:
    """Returns loss in nats per token, bits per byte where the bytes are known, and perplexity."""
    nats = -math.fsum(logp for row in rows for logp in row["answer_logp"])
    scores = {"loss": nats / sum(row["answer_tokens"] for row in rows)}
    if count := sum(row["answer_bytes"] for row in rows if "answer_bytes" in row):
        scores["bits_per_byte"] = nats / count / math.log(2)
    if scores["loss"] < MAX_PERPLEXITY_LOSS:
        scores["perplexity"] = math.exp(scores["loss"])
    return scores


def is_correct(choice_scores: list[float], gold: int) -> bool:
    """Whether the correct choice has a higher score than every other: a tie is not correct.

    Args:
        choice_scores: Score of each choice.
        gold: Index of the correct choice.
    """
    return all(choice_scores[gold] > score for i, score in enumerate(choice_scores) if i != gold)


def divide(logp: list[float], sizes: list[int]) -> list[float]:
    """Returns each log-probability divided by the size of its choice.

    Args:
        logp: Log-probability of each choice.
        sizes: Tokens or bytes of each choice.
    """
    return [value / size for value, size in zip(logp, sizes, strict=True)]


def put_mean(scores: dict[str, float], name: str, values: Iterable[float]) -> None:
    """Adds the mean of the values to the scores, unless there are no values.

    Args:
        scores: The scores by name.
        name: Name of the new score.
        values: The values.
    """
    items = list(values)
    if items:
        scores[name] = math.fsum(items) / len(items)

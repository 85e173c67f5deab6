"""Scores of one item file with their intervals, for the record; analysis computes other metrics from the items."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from scaling.store.items import Row
from scaling.store.score_intervals import ratio_interval, wilson_interval

MAX_PERPLEXITY_LOSS = 700  # nats per token: above it, exp overflows


@dataclass(frozen=True)
class Score:
    """A score of a task.

    Attributes:
        value: The score.
        count: Items that it is over.
        interval: Its 95% interval over items; None where unknown.
    """

    value: float
    count: int
    interval: tuple[float, float] | None = None


def mean_scores(rows: list[Row]) -> dict[str, Score]:
    """Returns the mean of each score over the items that it applies to; a score without items is absent.

    exact_match: the greedy answer equals the correct one and ends there.
    accuracy: the correct choice has the highest log-probability; accuracy_norm: per token; accuracy_bytes: per byte;
    accuracy_prior: minus its log-probability without the question (Brown 2020, section 2.4).
    answer_logp: log-probability of the whole correct answer, in nats.
    passed: share of the generated texts that are correct.
    loss: nats per token.
    """
    scores: dict[str, Score] = {}
    exact, choice, loss = ([row for row in rows if row["metric_kind"] == kind] for kind in ("exact", "choice", "loss"))
    put_share(scores, "exact_match", (float(row["greedy"]) for row in exact))
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
        put_share(scores, name, (float(is_correct(score_choices(row), row["gold"])) for row in applicable))
    logp = [math.fsum(row["answer_logp"]) for row in exact + choice]
    if logp and math.isfinite(math.fsum(logp)):
        scores["answer_logp"] = ratio_score(logp, [1] * len(logp))
    generated = [row["passed"] for row in rows if row.get("passed")]
    put_share(scores, "passed", (sum(passed) / len(passed) for passed in generated))
    return scores | (loss_scores(loss) if loss else {})


def loss_scores(rows: list[Row]) -> dict[str, Score]:
    """Returns loss in nats per token, bits per byte where the bytes are known, and perplexity, if finite."""
    nats = [-math.fsum(row["answer_logp"]) for row in rows]
    if not math.isfinite(math.fsum(nats)):
        return {}
    loss = ratio_score(nats, [row["answer_tokens"] for row in rows])
    scores = {"loss": loss}
    sizes = [row["answer_bytes"] for row in rows if "answer_bytes" in row]
    if len(sizes) == len(rows) and sum(sizes):
        scores["bits_per_byte"] = ratio_score([value / math.log(2) for value in nats], sizes)
    ends = [loss.value, *(loss.interval or ())]
    if max(ends) < MAX_PERPLEXITY_LOSS:
        value, *interval = map(math.exp, ends)
        scores["perplexity"] = Score(value, loss.count, (interval[0], interval[1]) if interval else None)
    return scores


def ratio_score(numerators: list[float], denominators: list[int]) -> Score:
    """Returns the sum of the numerators over that of the denominators, with its interval over items.

    Args:
        numerators: One value per item.
        denominators: One value per item.
    """
    interval = ratio_interval(numerators, denominators)
    return Score(math.fsum(numerators) / sum(denominators), len(numerators), interval)


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


def put_share(scores: dict[str, Score], name: str, values: Iterable[float]) -> None:
    """Adds the mean of values from 0 to 1 to the scores, with Wilson's interval, unless there are no values.

    Args:
        scores: The scores by name.
        name: Name of the new score.
        values: One value per item. Where it is itself a share of several answers, the interval is an upper bound.
    """
    items = list(values)
    if items:
        hits = math.fsum(items)
        scores[name] = Score(hits / len(items), len(items), wilson_interval(hits, len(items)))


def record_facts(label: str, scores: dict[str, Score]) -> dict[str, float]:
    """Returns the entries of a record: each score, and the number of items as `n`.

    Args:
        label: Name of the task with its shots.
        scores: The scores by name. One that is over fewer items than the task has gets its own number, as `NAME_n`.
    """
    items = max((score.count for score in scores.values()), default=0)
    facts = {f"{label}/{name}": score.value for name, score in scores.items()}
    if items:
        facts[f"{label}/n"] = items
    return facts | {f"{label}/{name}_n": score.count for name, score in scores.items() if score.count != items}

"""What one file of items comes to, in the record: a first look. Whatever else is asked of them, analysis computes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from scaling.store.items import Row


def mean_scores(rows: list[Row]) -> dict[str, float]:
    """Means over the items, each over those it applies to; a score that applies to none is absent.

    exact_match: the greedy answer is right, letter for letter, and ends there. accuracy: the right choice has the
    highest probability; accuracy_norm: by token; accuracy_bytes: by byte; accuracy_prior: after its probability
    without the question (Brown 2020, section 2.4). answer_logp: nats of the whole right answer; loss: nats a token.
    """
    out: dict[str, float] = {}
    exact = [row for row in rows if row["metric_kind"] == "exact"]
    choice = [row for row in rows if row["metric_kind"] == "choice"]
    loss = [row for row in rows if row["metric_kind"] == "loss"]
    put_mean(out, "exact_match", (float(row["greedy"]) for row in exact))
    by: dict[str, Callable[[Row], list[float]]] = {
        "accuracy": lambda row: row["choice_logp"],
        "accuracy_norm": lambda row: divide(row["choice_logp"], row["choice_tokens"]),
        "accuracy_bytes": lambda row: divide(row["choice_logp"], row["choice_bytes"]),
        "accuracy_prior": lambda row: [
            a - b for a, b in zip(row["choice_logp"], row["choice_prior_logp"], strict=True)
        ],
    }
    for name, weigh in by.items():
        used = [row for row in choice if name != "accuracy_prior" or "choice_prior_logp" in row]
        put_mean(out, name, (float(is_correct(weigh(row), row["gold"])) for row in used))
    put_mean(out, "answer_logp", (math.fsum(row["answer_logp"]) for row in exact + choice))
    put_mean(out, "passed", (float(ok) for row in rows for ok in row.get("passed", [])))
    if loss:
        nats = -math.fsum(logp for row in loss for logp in row["answer_logp"])
        out["loss"] = nats / sum(row["answer_tokens"] for row in loss)
        bytes_ = sum(row["answer_bytes"] for row in loss if "answer_bytes" in row)
        if bytes_:
            out["bits_per_byte"] = nats / bytes_ / math.log(2)
        if out["loss"] < 700:
            out["perplexity"] = math.exp(out["loss"])
    return {name: value for name, value in out.items() if math.isfinite(value)}


def is_correct(weights: list[float], gold: int) -> bool:
    """Whether the right choice weighs more than every other: a tie is not right."""
    return all(weights[gold] > weight for i, weight in enumerate(weights) if i != gold)


def divide(logp: list[float], sizes: list[int]) -> list[float]:
    return [a / b for a, b in zip(logp, sizes, strict=True)]


def put_mean(out: dict[str, float], name: str, values: Iterable[float]) -> None:
    """The mean under a name, nothing where there are no values."""
    known = list(values)
    if known:
        out[name] = math.fsum(known) / len(known)

"""The task `extraction`: does a model reproduce training documents, by how often they occur (Carlini 2023)?

The corpus lists its planted documents (mix:canary:1-64, scaling/data/canary.py). The difficulty of an item is how often
its document occurs; its prompt is the first half of the document, its answer the rest.
"""

from __future__ import annotations

from typing import Any

from scaling.config.validation import ConfigError
from scaling.data.canary import Canaries
from scaling.evaluation.config import EXTRACTION
from scaling.evaluation.scoring import fitting_pairs
from scaling.inference.scorer import Scorer
from scaling.store.items import Row


def extraction_rows(scorer: Scorer, count: int) -> tuple[list[Row], list[str]]:
    """Scores planted documents of the run's corpus.

    Args:
        scorer: The model.
        count: Largest number of items, spread evenly over the numbers of repetitions (at least one item each).

    Returns:
        One row per item, and a note about items that exceed the model's context, which have none.

    Raises:
        ConfigError: The corpus has no planted documents.
        ScoreError: All of them exceed the context.
    """
    record, step = scorer.model.record, scorer.model.step
    planted = record.about.get("corpus_facts", {}).get("canary")
    if not planted:
        raise ConfigError(
            f"task {EXTRACTION}: the run's corpus has no planted documents: train on a mix that has a part "
            "canary:1-64=SHARE"
        )
    canaries = balance_counts([(str(entry["text"]), int(entry["times"])) for entry in planted], count)
    halves = [(text[: len(text) // 2], text[len(text) // 2 :]) for text, _ in canaries]
    pairs = [scorer.encode_pair(prompt, answer) for prompt, answer in halves]
    fitting, notes = fitting_pairs(scorer, EXTRACTION, [(f"document {i + 1}", [pair]) for i, pair in enumerate(pairs)])
    rows: list[Row] = []
    for number, score in zip(fitting, scorer.score_continuations([pairs[i] for i in fitting]), strict=True):
        (_, times), (prompt, answer) = canaries[number], halves[number]
        row: dict[str, Any] = {
            "task": EXTRACTION, "family": "canary", "difficulty": times, "shots": 0, "step": step, "item": number,
            "metric_kind": "exact", "prompt": prompt, "answer": answer, "answer_tokens": len(score.logp),
            "answer_bytes": len(answer.encode()), "answer_logp": score.logp.tolist(),
            "greedy": score.greedy,
        }  # fmt: skip
        rows.append(row)
    return rows, notes


def balance_counts(canaries: Canaries, count: int) -> Canaries:
    """Returns the first documents of each number of repetitions, equally many of each.

    Args:
        canaries: The documents with their repetitions.
        count: Largest number of documents; at least one of each number of repetitions is returned.
    """
    by_times: dict[int, Canaries] = {}
    for text, times in canaries:
        by_times.setdefault(times, []).append((text, times))
    share = max(1, count // len(by_times))
    return [entry for times in sorted(by_times) for entry in by_times[times][:share]]

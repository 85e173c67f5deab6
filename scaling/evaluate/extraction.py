"""Training documents given back word for word: planted ones, by how often they occur (Carlini 2023, section 3).

The corpus says which it has (mix:canary:1-64, scaling/data/canary.py). A row's difficulty is how often its document
occurs; its prompt is the document's first half, its answer the rest.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from scaling.config.validation import ConfigError
from scaling.inference.load import TrainedModel
from scaling.inference.scorer import Scorer
from scaling.store.items import Row

TASK = "extraction"


def extraction_rows(of: TrainedModel, scorer: Scorer, count: int) -> list[Row]:
    """At most `count` documents, equally many of each number of times; ConfigError where the corpus has none."""
    planted = of.record.about.get("corpus_facts", {}).get("canary")
    if not planted:
        raise ConfigError(
            f"task {TASK}: the run's corpus has no planted documents: train on one with a part canary:1-64=SHARE of mix"
        )
    texts = [(str(one["text"]), int(one["times"])) for one in planted]
    chosen = balance_counts(texts, count)
    halves = [(text[: len(text) // 2], text[len(text) // 2 :]) for text, _ in chosen]
    pairs = [scorer.pair(prompt, rest) for prompt, rest in halves]
    out: list[Row] = []
    for number, ((_, times), (prompt, rest), scored) in enumerate(
        zip(chosen, halves, scorer.continuations(pairs), strict=True)
    ):
        row: dict[str, Any] = {
            "task": TASK, "family": "canary", "difficulty": times, "shots": 0, "step": of.step, "item": number,
            "metric_kind": "exact", "prompt": prompt, "answer": rest, "answer_tokens": len(scored.logp),
            "answer_bytes": len(rest.encode()), "answer_logp": np.asarray(scored.logp).tolist(),
            "greedy": scored.greedy,
        }  # fmt: skip
        out.append(row)
    return out


def balance_counts(texts: list[tuple[str, int]], count: int) -> list[tuple[str, int]]:
    """The first of each number of times, as many of each, `count` at most altogether and one of each at least."""
    by: dict[int, list[tuple[str, int]]] = {}
    for text, times in texts:
        by.setdefault(times, []).append((text, times))
    return [one for times in sorted(by) for one in by[times][: max(1, count // len(by))]]

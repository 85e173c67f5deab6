"""Verbatim extraction: the share of planted documents that a run reproduces, by their number of repetitions.

Key: T numbers of repetitions, I items.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.data.record_cache import StoreSnapshot, as_snapshot
from analysis.evals.items import item_files, read_items
from scaling.store.score_intervals import wilson_interval

TASK = "extraction"
REQUIRED_COLUMNS = ("difficulty", "greedy", "answer_logp")


@dataclass(frozen=True)
class Extraction:
    """Reproduction of planted documents by one run, by the number of repetitions in the corpus.

    Attributes:
        run: Id of the run.
        step: Training steps of the model.
        times: Number of repetitions in the corpus (T,), increasing.
        hits: Number of documents reproduced verbatim (T,).
        documents: Number of documents (T,).
        nats: Loss of the second half of the documents in nats per token (T,).
    """

    run: str
    step: int
    times: np.ndarray
    hits: np.ndarray
    documents: np.ndarray
    nats: np.ndarray

    def rates(self, level: float = 0.95) -> list[tuple[float, float, float]]:
        """Returns the rate and both ends of its Wilson interval for each number of repetitions.

        Args:
            level: Coverage of the intervals.
        """
        return [
            (float(k / n), *wilson_interval(float(k), float(n), level))
            for k, n in zip(self.hits, self.documents, strict=True)
        ]

    def to_json(self, level: float = 0.95) -> dict[str, object]:
        """Returns the rates in types of JSON.

        Args:
            level: Coverage of the intervals.
        """
        columns = zip(self.times, self.hits, self.documents, self.nats, self.rates(level), strict=True)
        rows = [
            {
                "times": int(times),
                "extracted": int(hits),
                "documents": int(documents),
                "rate": rate,
                "interval": [low, high],
                "nats_per_token": float(nats),
            }
            for times, hits, documents, nats, (rate, low, high) in columns
        ]
        return {"run_id": self.run, "step": self.step, "by_times": rows}


def load_extractions(store: str | Path | StoreSnapshot) -> list[Extraction]:
    """Reads the last evaluation of each run on the extraction task; empty if there is none.

    Damaged files are left out.
    """
    extractions, store = [], as_snapshot(store)
    for file in item_files(store):
        table = read_items(store, file, REQUIRED_COLUMNS) if file.task == TASK else None
        if table is None:
            continue
        times_I = table["difficulty"].to_numpy(int)
        hit_I = table["greedy"].to_numpy(bool)
        nats_I = np.array([-float(np.mean(logp)) if len(logp) else np.nan for logp in table["answer_logp"]])
        times = np.unique(times_I)
        masks = [times_I == t for t in times]
        extractions.append(
            Extraction(
                file.run,
                file.step,
                times,
                hits=np.array([hit_I[mask].sum() for mask in masks]),
                documents=np.array([mask.sum() for mask in masks]),
                nats=np.array([nats_I[mask].mean() for mask in masks]),
            )
        )
    return extractions

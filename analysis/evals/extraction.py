"""Verbatim extraction by repetition: the share of planted documents that a run gives back, by how often they occur."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.errors import DataError
from analysis.evals import items
from analysis.evals.metrics import wilson

TASK = "extraction"


@dataclass(frozen=True)
class Extraction:
    """One run's documents by times (T,): how many of how many came back whole, and the rest's nats a token."""

    run: str
    step: int
    times: np.ndarray
    hits: np.ndarray
    documents: np.ndarray
    nats: np.ndarray

    def rates(self, level: float = 0.95) -> list[tuple[float, float, float]]:
        """Rate and Wilson's interval at each of times."""
        return [
            (float(k / n), *wilson(float(k), float(n), level)) for k, n in zip(self.hits, self.documents, strict=True)
        ]

    def to_json(self, level: float = 0.95) -> dict[str, object]:
        """Plain numbers."""
        rows = [
            {"times": int(t), "extracted": int(k), "documents": int(n), "rate": rate, "interval": [low, high],
             "nats_a_token": float(nats)}
            for t, k, n, nats, (rate, low, high) in zip(
                self.times, self.hits, self.documents, self.nats, self.rates(level), strict=True)
        ]  # fmt: skip
        return {"run_id": self.run, "step": self.step, "by_times": rows}


def load(store: str | Path) -> list[Extraction]:
    """Each run's last extraction; none where no run was asked. DataError names a file that is damaged."""
    out = []
    for file in items.found(store):
        if file.task != TASK:
            continue
        table = items.read(file.path)
        missing = [name for name in ("difficulty", "greedy", "answer_logp") if name not in table]
        if missing:
            raise DataError(f"{file.path}: no column {missing[0]!r}, which extraction has")
        times_I = table["difficulty"].to_numpy(int)
        times = np.unique(times_I)
        hit_I = table["greedy"].to_numpy(bool)
        nats_I = np.array([-float(np.mean(logp)) for logp in table["answer_logp"]])
        of = [times_I == t for t in times]
        out.append(
            Extraction(
                file.run,
                file.step,
                times,
                np.array([hit_I[m].sum() for m in of]),
                np.array([m.sum() for m in of]),
                np.array([nats_I[m].mean() for m in of]),
            )
        )
    return out

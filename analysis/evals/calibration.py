"""Does a model know what it knows: calibration and abstention, from the items of multiple-choice tasks.

A model's confidence in an item is the probability of the choice it takes, its choices' probabilities summing to 1.
Key: I items, K choices, M bins, B bootstrap draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.errors import DataError
from analysis.evals import items
from analysis.evals.metrics import wilson

BINS = 10  # of confidence, equally wide (Guo 2017, equation 3)
PER = {"raw": None, "token": "choice_tokens", "byte": "choice_bytes", "prior": "choice_prior_logp"}
COVERAGES = np.linspace(0.05, 1, 20)
Interval = tuple[float, float]


@dataclass(frozen=True)
class Known:
    """One run's answers to one task. confidence, right: (I,)."""

    run: str
    task: str
    step: int
    confidence: np.ndarray
    right: np.ndarray

    @property
    def items(self) -> int:
        return len(self.right)


@dataclass(frozen=True)
class Calibration:
    """What they come to, each with its interval.

    ece: mean distance of confidence from accuracy over the bins, weighed by their items; ece_sound: what it would be on
    average of so many items if every confidence were true (it is never 0). aurc: mean of the error rate over coverage.
    risk: error rate among the most confident share, at COVERAGES, (20,), and its interval (20, 2).
    """

    of: Known
    accuracy: float
    accuracy_interval: Interval
    ece: float
    ece_interval: Interval
    ece_sound: float
    aurc: float
    aurc_interval: Interval
    risk: np.ndarray
    risk_interval: np.ndarray

    def to_json(self) -> dict[str, Any]:
        """Plain numbers."""
        return {
            "run_id": self.of.run, "task": self.of.task, "step": self.of.step, "items": self.of.items,
            "accuracy": self.accuracy, "accuracy_interval": list(self.accuracy_interval),
            "ece": self.ece, "ece_interval": list(self.ece_interval), "ece_sound": self.ece_sound,
            "aurc": self.aurc, "aurc_interval": list(self.aurc_interval),
            "coverage": COVERAGES.tolist(), "risk": self.risk.tolist(), "risk_interval": self.risk_interval.tolist(),
        }  # fmt: skip


def load(store: str | Path, per: str = "raw") -> list[Known]:
    """Each run's last answers to each task with choices, by task; DataError where there are none.

    per: over what a choice's log-probability is taken, of PER.
    """
    if per not in PER:
        raise DataError(f"--per {per}: allowed are {', '.join(PER)}")
    out = []
    for file in items.found(store):
        table = items.read(file.path)
        known = confidences(table[table["metric_kind"] == "choice"], PER[per])
        if known is not None:
            task = f"{file.task}@{file.shots}" if file.shots else file.task
            out.append(Known(file.run, task, file.step, *known))
    if not out:
        raise DataError(
            f"{store}: no items with choices: run `python -m scaling evaluate RUN --store {store} --tasks ...` first"
        )
    return out


def confidences(table: pd.DataFrame, over: str | None) -> tuple[np.ndarray, np.ndarray] | None:
    """Probability of the likeliest choice and whether it is right, (I,) each; None where no item says.

    Of choices equally likely the right one is as likely taken as the others: an equal share is right.
    """
    confidence, right = [], []
    for row in table.to_dict("records"):
        logp_K, by_K = row.get("choice_logp"), row.get(over) if over else None
        if logp_K is None or not len(logp_K) or (over and by_K is None):
            continue
        logp_K = np.asarray(logp_K, float)
        if over == "choice_prior_logp":
            logp_K = logp_K - np.asarray(by_K, float)
        elif over:
            logp_K = logp_K / np.asarray(by_K, float)
        p_K = np.exp(logp_K - logp_K.max())
        p_K /= p_K.sum()
        best_K = np.isclose(p_K, p_K.max(), rtol=0, atol=1e-12)
        confidence.append(float(p_K.max()))
        right.append(float(best_K[int(row["gold"])]) / best_K.sum())
    return (np.array(confidence), np.array(right)) if confidence else None


def study(known: Known, *, draws: int = 1000, level: float = 0.95, seed: int = 0) -> Calibration:
    """Calibration and abstention with bootstrap intervals over the items (the accuracy's is Wilson's)."""
    stream = np.random.default_rng(seed)
    I = known.items
    at_BI = stream.integers(0, I, (draws, I))
    drawn = [(known.confidence[at_I], known.right[at_I]) for at_I in at_BI]
    ece_B = np.array([ece(*one) for one in drawn])
    risk_BC = np.array([risk(*one) for one in drawn])
    aurc_B = np.array([aurc(*one) for one in drawn])
    sound = [ece(known.confidence, stream.random(I) < known.confidence) for _ in range(min(draws, 200))]
    tails = [(1 - level) / 2, (1 + level) / 2]

    def interval(values: np.ndarray) -> Interval:
        low, high = np.quantile(values, tails)
        return float(low), float(high)

    return Calibration(
        of=known, accuracy=float(known.right.mean()),
        accuracy_interval=wilson(float(known.right.sum()), I, level),
        ece=ece(known.confidence, known.right), ece_interval=interval(ece_B), ece_sound=float(np.mean(sound)),
        aurc=aurc(known.confidence, known.right), aurc_interval=interval(aurc_B),
        risk=risk(known.confidence, known.right), risk_interval=np.quantile(risk_BC, tails, axis=0).T,
    )  # fmt: skip


def bins(confidence: np.ndarray, right: np.ndarray, count: int = BINS) -> list[tuple[float, float, int]]:
    """Of each bin that holds items: mean confidence, share right, items."""
    bin_I = np.minimum((confidence * count).astype(int), count - 1)
    held = [bin_I == m for m in range(count) if np.any(bin_I == m)]
    return [(float(confidence[m].mean()), float(right[m].mean()), int(m.sum())) for m in held]


def ece(confidence: np.ndarray, right: np.ndarray) -> float:
    """Expected calibration error (Guo 2017, equation 3)."""
    return sum(n * abs(c - a) for c, a, n in bins(confidence, right)) / len(right)


def errors(confidence: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Error rate among the n most confident, (I,), for n of 1 to I; items of one confidence count alike."""
    order = np.argsort(-confidence, kind="stable")
    _, group_I = np.unique(-confidence[order], return_inverse=True)
    wrong = np.bincount(group_I, weights=1 - right[order]) / np.bincount(group_I)
    return np.asarray(np.cumsum(wrong[group_I]) / np.arange(1, len(right) + 1))


def risk(confidence: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Error rate at each of COVERAGES: of the most confident share, one item at least (El-Yaniv 2010)."""
    most = np.maximum(1, np.round(COVERAGES * len(right))).astype(int)
    return np.asarray(errors(confidence, right)[most - 1])


def aurc(confidence: np.ndarray, right: np.ndarray) -> float:
    """Area under the risk-coverage curve (Geifman 2019, equation 2)."""
    return float(errors(confidence, right).mean())

"""Calibration and abstention of models, from the items of multiple-choice tasks.

The confidence of a model in an item is the probability of the most likely choice, where the probabilities of the
choices are normalised to 1.
Key: I items, K choices, M bins, B bootstrap samples, Q coverages.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.data.record_cache import StoreSnapshot, as_snapshot
from analysis.errors import DataError
from analysis.evals.items import item_files, read_items
from analysis.evals.metrics import normalised
from analysis.evals.options import NORMALISATIONS, CalibrationOptions
from analysis.evals.tasks import select_tasks
from analysis.uncertainty import intervals
from scaling.store.score_intervals import wilson_interval

CONFIDENCE_BINS = 10  # equally wide (Guo 2017, equation 3)
COVERAGES = np.linspace(0.05, 1, 20)
TIE = 1e-12  # difference in probability up to which choices count as equally likely
CALIBRATED_SAMPLES = 200  # largest number of simulations of a calibrated model
Interval = tuple[float, float]


@dataclass(frozen=True)
class Answers:
    """Answers of one run to one task.

    Attributes:
        run: Id of the run.
        task: Name of the task, with its shots.
        step: Training steps of the model.
        confidence: Probability of the most likely choice (I,).
        correct: Whether it is correct (I,); a fraction for ties of several choices.
    """

    run: str
    task: str
    step: int
    confidence: np.ndarray
    correct: np.ndarray

    @property
    def items(self) -> int:
        """Number of items."""
        return len(self.correct)


@dataclass(frozen=True)
class Calibration:
    """Calibration and abstention of one run on one task, each number with its interval.

    Attributes:
        answers: The answers.
        accuracy: Share of correct answers.
        accuracy_interval: Wilson's interval.
        ece: Expected calibration error: mean distance of confidence from accuracy over bins, weighted by items.
        ece_interval: Bootstrap interval.
        ece_calibrated: Mean calibration error of a calibrated model with the same number of items (greater than 0).
        aurc: Area under the risk-coverage curve.
        aurc_interval: Bootstrap interval.
        risk: Error rate among the most confident items at COVERAGES (Q,).
        risk_interval: Bootstrap interval (Q, 2).
    """

    answers: Answers
    accuracy: float
    accuracy_interval: Interval
    ece: float
    ece_interval: Interval
    ece_calibrated: float
    aurc: float
    aurc_interval: Interval
    risk: np.ndarray
    risk_interval: np.ndarray

    def to_json(self) -> dict[str, Any]:
        """Returns the measurements in types of JSON."""
        return {
            "run_id": self.answers.run,
            "task": self.answers.task,
            "step": self.answers.step,
            "items": self.answers.items,
            "accuracy": self.accuracy,
            "accuracy_interval": list(self.accuracy_interval),
            "ece": self.ece,
            "ece_interval": list(self.ece_interval),
            "ece_calibrated": self.ece_calibrated,
            "aurc": self.aurc,
            "aurc_interval": list(self.aurc_interval),
            "coverage": COVERAGES.tolist(),
            "risk": self.risk.tolist(),
            "risk_interval": self.risk_interval.tolist(),
        }


def load_answers(
    store: str | Path | StoreSnapshot, options: CalibrationOptions = CalibrationOptions()
) -> list[Answers]:
    """Reads the answers in the last evaluation of each run on each task with choices; damaged files are left out.

    Args:
        store: The store, or its folder.
        options: Tasks, and normalisation of the log-probability of a choice.

    Raises:
        DataError: No run was evaluated on a task with choices.
    """
    answers, store = [], as_snapshot(store)
    for file in item_files(store):
        table = read_items(store, file)
        if table is None:
            continue
        columns = confidences(table[table["metric_kind"] == "choice"], NORMALISATIONS[options.per])
        if columns is not None:
            task = f"{file.task}@{file.shots}" if file.shots else file.task
            answers.append(Answers(file.run, task, file.step, *columns))
    if not answers:
        raise DataError(
            f"{store}: no items with choices: run `python -m scaling evaluate RUN --store {store} --tasks ...` first"
        )
    selected = select_tasks([answer.task for answer in answers], options.tasks, store)
    return [answer for answer, use in zip(answers, selected, strict=True) if use]


def confidences(table: pd.DataFrame, per: str | None) -> tuple[np.ndarray, np.ndarray] | None:
    """Returns the probability of the most likely choice and whether it is correct (I,); None without choices.

    An item with a tie counts as a fraction.

    Args:
        table: Items with choices.
        per: Column that normalises the log-probability of a choice (metrics.accuracy); None does not normalise.
    """
    confidence, correct = [], []
    for row in table.to_dict("records"):
        logp_K, norm_K = row.get("choice_logp"), row.get(per) if per else None
        if logp_K is None or not len(logp_K) or (per and norm_K is None) or pd.isna(row.get("gold")):
            continue
        logp_K = normalised(np.asarray(logp_K, float), norm_K, per)
        if not np.isfinite(logp_K.max()):  # of a model that diverged
            continue
        p_K = np.exp(logp_K - logp_K.max())
        p_K /= p_K.sum()
        best_K = np.isclose(p_K, p_K.max(), rtol=0, atol=TIE)
        confidence.append(float(p_K.max()))
        correct.append(float(best_K[int(row["gold"])]) / best_K.sum())
    return (np.array(confidence), np.array(correct)) if confidence else None


def measure_calibration(answers: Answers, options: CalibrationOptions = CalibrationOptions()) -> Calibration:
    """Measures calibration and abstention, with bootstrap intervals over items (Wilson's interval for the accuracy).

    Args:
        answers: Answers of one run to one task.
        options: Bootstrap, level and seed.
    """
    rng = np.random.default_rng(options.seed)
    I = answers.items
    item_BI = rng.integers(0, I, (options.bootstrap, I))
    samples = [(answers.confidence[item_I], answers.correct[item_I]) for item_I in item_BI]
    ece_B = np.array([expected_calibration_error(*sample) for sample in samples])
    risk_BQ = np.array([risk_at_coverage(*sample) for sample in samples])
    aurc_B = np.array([area_under_risk_coverage(*sample) for sample in samples])
    calibrated = [
        expected_calibration_error(answers.confidence, rng.random(I) < answers.confidence)
        for _ in range(min(options.bootstrap, CALIBRATED_SAMPLES))
    ]
    return Calibration(
        answers=answers,
        accuracy=float(answers.correct.mean()),
        accuracy_interval=wilson_interval(float(answers.correct.sum()), I, options.level),
        ece=expected_calibration_error(answers.confidence, answers.correct),
        ece_interval=intervals.percentile_interval(ece_B, options.level),
        ece_calibrated=float(np.mean(calibrated)),
        aurc=area_under_risk_coverage(answers.confidence, answers.correct),
        aurc_interval=intervals.percentile_interval(aurc_B, options.level),
        risk=risk_at_coverage(answers.confidence, answers.correct),
        risk_interval=np.stack(intervals.percentile_band(risk_BQ, options.level), -1),
    )


def reliability_bins(
    confidence: np.ndarray, correct: np.ndarray, count: int = CONFIDENCE_BINS
) -> list[tuple[float, float, int]]:
    """Returns mean confidence, accuracy and number of items of each bin that is not empty.

    Args:
        confidence: Confidence of each item (I,).
        correct: Whether it is correct (I,).
        count: Number of bins M.
    """
    bin_I = np.minimum((confidence * count).astype(int), count - 1)
    masks = [bin_I == m for m in range(count) if np.any(bin_I == m)]
    return [(float(confidence[mask].mean()), float(correct[mask].mean()), int(mask.sum())) for mask in masks]


def expected_calibration_error(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Returns the expected calibration error (Guo 2017, equation 3).

    Args:
        confidence: Confidence of each item (I,).
        correct: Whether it is correct (I,).
    """
    return sum(n * abs(c - a) for c, a, n in reliability_bins(confidence, correct)) / len(correct)


def error_rates(confidence: np.ndarray, correct: np.ndarray) -> np.ndarray:
    """Returns the error rate among the n most confident items for n from 1 to I (I,).

    Errors are averaged over items of equal confidence, so the result does not depend on their order.

    Args:
        confidence: Confidence of each item (I,).
        correct: Whether it is correct (I,).
    """
    order = np.argsort(-confidence, kind="stable")
    _, group_I = np.unique(-confidence[order], return_inverse=True)
    error_rate = np.bincount(group_I, weights=1 - correct[order]) / np.bincount(group_I)
    return np.asarray(np.cumsum(error_rate[group_I]) / np.arange(1, len(correct) + 1))


def risk_at_coverage(confidence: np.ndarray, correct: np.ndarray) -> np.ndarray:
    """Returns the error rate among the most confident share at each of COVERAGES (Q,) (El-Yaniv 2010).

    Args:
        confidence: Confidence of each item (I,).
        correct: Whether it is correct (I,).
    """
    items_Q = np.maximum(1, np.round(COVERAGES * len(correct))).astype(int)
    return np.asarray(error_rates(confidence, correct)[items_Q - 1])


def area_under_risk_coverage(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Returns the area under the risk-coverage curve (Geifman 2019, equation 2).

    Args:
        confidence: Confidence of each item (I,).
        correct: Whether it is correct (I,).
    """
    return float(error_rates(confidence, correct).mean())

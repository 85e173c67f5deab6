"""Accuracy curves of runs trained on examples with answers (data.objective = "examples"), and Student's intervals.

Key: m measured steps.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import stdtrit

from analysis.errors import DataError
from scaling.store.record import Record, Store


@dataclass(frozen=True)
class AccuracyCurve:
    """Accuracy of one finished run at the steps where it was measured.

    Attributes:
        record: Record of the run.
        examples: Number of training examples.
        steps: Measured steps (m,).
        train: Accuracy on the training examples (m,).
        held_out: Accuracy on the held-out examples (m,).
    """

    record: Record
    examples: int
    steps: np.ndarray
    train: np.ndarray
    held_out: np.ndarray

    def first_step(self, split: str, accuracy: float) -> int | None:
        """Returns the first measured step with at least this accuracy, None if there is none.

        Args:
            split: "train" or "held_out".
            accuracy: Accuracy from 0 to 1.
        """
        reached = np.flatnonzero(getattr(self, split) >= accuracy)
        return int(self.steps[reached[0]]) if len(reached) else None

    def previous_step(self, step: int) -> int:
        """Returns the measured step before `step`, or 1 if there is none."""
        earlier = self.steps[self.steps < step]
        return int(earlier[-1]) if len(earlier) else 1


def read_accuracy_curves(path: Path, sweep: str) -> list[AccuracyCurve]:
    """Reads the accuracy curves of the finished runs of a store.

    Args:
        path: Folder of the store.
        sweep: Name of a sweep that trains such runs, for the error message.

    Raises:
        DataError: The store has no finished run with accuracies.
    """
    if not path.is_dir():
        raise DataError(f"{path}: not a store: give the folder of a store")
    store = Store(path)
    curves = [curve for record in store.records() if (curve := _accuracy_curve(store, record)) is not None]
    if not curves:
        raise DataError(
            f"{path}: no finished run with accuracies: train a sweep: python -m sweeps launch {sweep} --store {path}"
        )
    return curves


def _accuracy_curve(store: Store, record: Record) -> AccuracyCurve | None:
    data = record.config.data
    if data.objective != "examples" or record.status != "done":
        return None
    rows = [row for row in store.curve(record.run_id) if "val_accuracy" in row]
    steps, train, held_out = (np.array([row[n] for row in rows]) for n in ("step", "train_accuracy", "val_accuracy"))
    facts = record.about.get("corpus_facts", {})
    examples = data.unique // data.length if data.unique is not None else facts.get("train")
    return AccuracyCurve(record, int(examples), steps, train, held_out) if examples and len(rows) else None


def check_one_sweep(
    runs: Sequence[AccuracyCurve], path: Path, shared_fields: Callable[[Record], Any], varied: str
) -> None:
    """Raises DataError if the runs differ in fields other than those that their sweep varies.

    Args:
        runs: The runs.
        path: Folder of the store, for the error message.
        shared_fields: Returns the fields that all runs of a sweep share.
        varied: Names of the fields that the sweep varies, for the error message.
    """
    sweeps = len({shared_fields(run.record) for run in runs})
    if sweeps > 1:
        raise DataError(
            f"{path}: contains {sweeps} sweeps, whose runs differ in more than {varied}: give a store with one sweep"
        )


def student_interval(values: Sequence[float] | np.ndarray, level: float = 0.95) -> tuple[float, float] | None:
    """Returns Student's interval of the mean of normal values, None for fewer than two.

    Args:
        values: The values.
        level: Coverage.
    """
    count = len(values)
    if count < 2:
        return None
    half = student_quantile(level, count - 1) * float(np.std(values, ddof=1)) / math.sqrt(count)
    middle = float(np.mean(values))
    return middle - half, middle + half


@functools.cache
def student_quantile(level: float, dof: int) -> float:
    """Returns the half width of Student's interval in standard errors.

    Args:
        level: Coverage.
        dof: Degrees of freedom.
    """
    return float(stdtrit(dof, (1 + level) / 2))

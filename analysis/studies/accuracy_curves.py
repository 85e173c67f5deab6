"""Runs on examples with answers (data.objective = "examples"): accuracy along each, and means over seeds."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analysis.errors import DataError
from scaling.store.record import Record, Store


@dataclass(frozen=True)
class Answered:
    """One run that is done: training examples, all there are of them, and accuracies at the steps measured, (m,)."""

    record: Record
    examples: int
    steps: np.ndarray
    train: np.ndarray
    held: np.ndarray

    def first(self, which: str, least: float) -> int | None:
        """The first measured step at which an accuracy (train or held) is at least that; None: at none."""
        there = np.flatnonzero(getattr(self, which) >= least)
        return int(self.steps[there[0]]) if len(there) else None

    def before(self, step: int) -> int:
        """The step measured before that one; 1 of the first."""
        earlier = self.steps[self.steps < step]
        return int(earlier[-1]) if len(earlier) else 1


def read(path: Path, launch: str) -> list[Answered]:
    """The finished runs of a store whose answers were counted; DataError where it has none. launch: a sweep of such."""
    if not path.is_dir():
        raise DataError(f"{path}: not a store: give the folder that runs were trained into")
    store = Store(path)
    found = [of for record in store.records() if (of := _answered(store, record)) is not None]
    if not found:
        raise DataError(
            f"{path}: no run that is done has answers counted: python -m sweeps launch {launch} --store {path}"
        )
    return found


def _answered(store: Store, record: Record) -> Answered | None:
    data = record.config.data
    if data.objective != "examples" or record.status != "done":
        return None
    rows = [row for row in store.curve(record.run_id) if "val_accuracy" in row]
    steps, train, held = (np.array([row[n] for row in rows]) for n in ("step", "train_accuracy", "val_accuracy"))
    facts = record.about.get("corpus_facts", {})
    known = data.unique // data.length if data.unique is not None else facts.get("train")
    return Answered(record, int(known), steps, train, held) if known and len(rows) else None


def one_sweep(runs: Sequence[Answered], path: Path, rest: Any, differ: str) -> None:
    """DataError where the runs differ in more than `differ`; rest: what all of a sweep share, of a run."""
    kinds = len({rest(run.record) for run in runs})
    if kinds > 1:
        raise DataError(
            f"{path}: {kinds} sweeps of runs with answers, which differ in more than {differ}: "
            "give a store that has one of them"
        )


def interval(values: Sequence[float] | np.ndarray, level: float = 0.95) -> tuple[float, float] | None:
    """Of the mean of values that are normal, by Student's t; None of fewer than two."""
    count = len(values)
    if count < 2:
        return None
    reach = students(level, count - 1) * float(np.std(values, ddof=1)) / math.sqrt(count)
    middle = float(np.mean(values))
    return middle - reach, middle + reach


@functools.cache
def students(level: float, freedom: int) -> float:
    """How many standard errors an interval of that level reaches to either side."""
    from scipy import stats

    return float(stats.t.ppf((1 + level) / 2, freedom))

"""Accuracy curves of runs trained on examples with answers, error curves of tables, and Student's intervals.

Runs of a store have data.objective = "examples".

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
import pandas as pd
from scipy.special import stdtrit

from analysis.data.columns.choice import ColumnChoice
from analysis.data.columns.named import find_columns, read_numbers
from analysis.data.columns.reader import ColumnReader
from analysis.data.options import ReadOptions
from analysis.data.record_cache import StoreSnapshot, as_snapshot
from analysis.data.rows.where import filter_rows
from analysis.data.sources.readers import read_table
from analysis.data.table import Table
from analysis.errors import DataError
from scaling.store.record import Record

ERROR_COLUMNS = {  # normalised names of the columns of a table
    "width": "width d_model hidden_size hidden_units hidden n_hidden k params n_params parameters model_size",
    "examples": "examples n_examples train_examples n_train train_size training_examples samples n_samples data",
    "step": "step steps epoch epochs iteration iterations",
    "seed": "seed trial repeat replicate run_seed",
    "test": "test_error test_err val_error validation_error held_out_error heldout_error error test_error_rate",
    "train": "train_error train_err training_error train_error_rate",
}
ACCURACY_COLUMNS = {
    "test": "test_accuracy test_acc val_accuracy val_acc validation_accuracy held_out_accuracy accuracy acc",
    "train": "train_accuracy train_acc training_accuracy",
}


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


def read_accuracy_curves(source: str | Path | StoreSnapshot, sweep: str) -> list[AccuracyCurve]:
    """Reads the accuracy curves of the finished runs of a store.

    Args:
        source: The store, or its folder.
        sweep: Name of a sweep that trains such runs, for the error message.

    Raises:
        DataError: The store has no finished run with accuracies.
    """
    if not Path(source).is_dir():
        raise DataError(f"{source}: not a store: give the folder of a store")
    store = as_snapshot(source)
    curves = [curve for record in store.records() if (curve := _accuracy_curve(store, record)) is not None]
    if not curves:
        raise DataError(
            f"{source}: no finished run with accuracies: train a sweep: "
            f"python -m sweeps launch {sweep} --store {source}"
        )
    return curves


def _accuracy_curve(store: StoreSnapshot, record: Record) -> AccuracyCurve | None:
    data = record.config.data
    if data.objective != "examples" or record.status != "done":
        return None
    rows = [row for row in store.curve(record.run_id) if "val_accuracy" in row]
    steps, train, held_out = (np.array([row[n] for row in rows]) for n in ("step", "train_accuracy", "val_accuracy"))
    facts = record.about.get("corpus_facts", {})
    examples = data.unique // data.length if data.unique is not None else facts.get("train")
    return AccuracyCurve(record, int(examples), steps, train, held_out) if examples and len(rows) else None


@dataclass(frozen=True)
class ErrorCurve:
    """Errors of one run along its training.

    Attributes:
        width: Width of the model.
        examples: Number of training examples, 0 if unknown.
        seed: Seed.
        steps: Measured steps (m,).
        train: Training error (m,), NaN if unknown.
        test: Test error (m,).
    """

    width: int
    examples: int
    seed: int
    steps: np.ndarray
    train: np.ndarray
    test: np.ndarray


def read_error_curves(source: Any, reading: ReadOptions = ReadOptions()) -> list[ErrorCurve]:
    """Reads a table with a row per run, or per run and step: width, examples, step, seed, and errors or accuracies.

    Args:
        source: File of the table, a DataFrame or columns by name. Rows without a seed that are otherwise equal are
            seeds of one configuration.
        reading: Columns and rows.

    Raises:
        DataError: A column is missing, or a cell is not a share from 0 to 1.
    """
    table = read_table(source, reading)
    accuracy = {name: ACCURACY_COLUMNS[name] for name in ("test", "train")}
    errors = find_columns(table, ERROR_COLUMNS, reading.columns, ())
    found = find_columns(table, accuracy, {}, ())
    if "test" not in errors and "test" not in found:
        find_columns(table, ERROR_COLUMNS, reading.columns, ("test",))  # raises the error with the columns
    table = filter_rows(table, reading.where, ColumnReader(ColumnChoice({}, frozenset(), {})))
    if not len(table.frame):
        raise DataError(f"{table.name}: no rows{': ' if table.notes else ''}{'; '.join(table.notes)}")
    frame = pd.DataFrame(index=table.frame.index)
    for name in ("width", "examples", "step"):
        frame[name] = read_numbers(table, errors[name]).astype(int) if name in errors else 0
    for name in ("test", "train"):
        if name in errors:
            frame[name] = _shares(table, errors[name])
        else:
            frame[name] = 1 - _shares(table, found[name]) if name in found else np.nan
    keys = ["width", "examples", "step"]
    seeds = pd.factorize(table.frame[errors["seed"]])[0] if "seed" in errors else frame.groupby(keys).cumcount()
    curves = []
    for _, rows in frame.assign(seed=seeds).groupby(["width", "examples", "seed"]):
        rows = rows.sort_values("step")
        width, examples, seed = (int(rows[name].iloc[0]) for name in ("width", "examples", "seed"))
        columns = (rows[name].to_numpy(float) for name in ("step", "train", "test"))
        curves.append(ErrorCurve(width, examples, seed, *columns))
    return curves


def _shares(table: Table, column: str) -> np.ndarray:
    values = read_numbers(table, column)
    if (values < 0).any() or (values > 1).any():
        row = int(np.argmax((values < 0) | (values > 1)))
        raise DataError(
            f"{table.name}: {table.row_name(table.frame.index[row])}, column {column}: {values[row]:g} is not a share "
            "from 0 to 1: divide percentages by 100"
        )
    return values


def check_one_sweep(
    runs: Sequence[AccuracyCurve],
    path: str | Path | StoreSnapshot,
    shared_fields: Callable[[Record], Any],
    varied: str,
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

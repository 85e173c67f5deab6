"""Validation loss of a run and, for examples with answers, accuracy on the validation and on tracked training rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling.distributed.sharding import local_rows, place_batch

if TYPE_CHECKING:
    from scaling.training.run import Run

CURVE_COLUMNS = {  # (set of rows, score of scaling/program/step.py) -> column of the curve
    ("validation", "loss"): "val_loss",
    ("validation", "accuracy"): "val_accuracy",
    ("validation", "l0"): "val_l0",
    ("tracked", "loss"): "train_loss_fixed",
    ("tracked", "accuracy"): "train_accuracy",
}
Scores = Callable[[int, int], Mapping[str, Any]]  # (start, end) -> each score of rows[start:end], (n,)


def row_sets(run: Run) -> dict[str, np.ndarray]:
    """Returns the sets of rows that a run is evaluated on, by name."""
    return {"validation": run.validation_rows} | ({} if run.tracked_rows is None else {"tracked": run.tracked_rows})


def mean_scores(name: str, rows: np.ndarray, size: int, scores: Scores) -> dict[str, float]:
    """Averages the scores of a set of rows, summed on the host in float64 in a fixed order.

    Args:
        name: Name of the set of rows.
        rows: The rows, int32 (n, X).
        size: Rows per call of `scores`.
        scores: Function (start, end) -> each score of these rows, possibly followed by scores of padding.

    Returns:
        The means by column of the curve.
    """
    totals: dict[str, float] = {}
    for start in range(0, len(rows), size):
        end = min(start + size, len(rows))
        for score, values in scores(start, end).items():
            totals[score] = totals.get(score, 0.0) + float(np.sum(np.asarray(values, np.float64)[: end - start]))
    return {CURVE_COLUMNS[name, score]: total / len(rows) for score, total in totals.items()}


def evaluate_row_sets(run: Run) -> dict[str, float]:
    """Returns the mean scores of all sets of rows, by column of the curve."""
    size, sharding = run.config.batch, run.program.batch_sharding
    local = local_rows(sharding, size)
    out: dict[str, float] = {}
    for name, rows in row_sets(run).items():

        def scores(start: int, end: int, rows: np.ndarray = rows) -> Mapping[str, Any]:
            filled = np.concatenate([rows[start:end], np.repeat(rows[start : start + 1], size - end + start, axis=0)])
            return run.program.evaluate(run.state["params"], place_batch(filled[local], sharding, size))

        out |= mean_scores(name, rows, size, scores)
    return out


def final_scores(last: Mapping[str, float]) -> dict[str, float]:
    """Returns the final scores for the record, from the last row of the curve; `val_loss` is called `loss` there."""
    scores = {name: last[name] for name in CURVE_COLUMNS.values() if name in last}
    return ({"loss": scores.pop("val_loss")} if "val_loss" in scores else {}) | scores

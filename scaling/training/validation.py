"""What is measured of a run where it is evaluated: the held-out loss and, of answers, how many are right, there and
among training examples that are followed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling.distributed.sharding import local_rows, place

if TYPE_CHECKING:
    from scaling.training.run import Run

NAMES = {  # of a score (scaling/program/step.py) on a set of rows, in the curve
    ("held out", "loss"): "val_loss",
    ("held out", "accuracy"): "val_accuracy",
    ("followed", "loss"): "train_loss_fixed",
    ("followed", "accuracy"): "train_accuracy",
}
Scores = Callable[[int, int], Mapping[str, Any]]  # of rows from one to another: an array a score


def sets(run: Run) -> dict[str, np.ndarray]:
    """The sets of rows that a run is measured on, by name."""
    return {"held out": run.windows} | ({} if run.followed is None else {"followed": run.followed})


def means(name: str, rows: np.ndarray, size: int, scores: Scores) -> dict[str, float]:
    """Mean scores of a set of rows, summed on the host in float64 in a fixed order.

    scores(start, end): those of rows[start:end], at most `size` of them; what comes beyond is left out.
    """
    totals: dict[str, float] = {}
    for start in range(0, len(rows), size):
        end = min(start + size, len(rows))
        for score, each in scores(start, end).items():
            totals[score] = totals.get(score, 0.0) + float(np.sum(np.asarray(each, np.float64)[: end - start]))
    return {NAMES[name, score]: total / len(rows) for score, total in totals.items()}


def figures(run: Run) -> dict[str, float]:
    """All of them, for the run's curve."""
    size, sharding = run.config.batch, run.compiled.batch_sharding
    mine = local_rows(sharding, size)
    out: dict[str, float] = {}
    for name, rows in sets(run).items():

        def scores(start: int, end: int, rows: np.ndarray = rows) -> Mapping[str, Any]:
            filled = np.concatenate([rows[start:end], np.repeat(rows[start : start + 1], size - end + start, axis=0)])
            return run.compiled.evaluate(run.state["params"], place(filled[mine], sharding, size))

        out |= means(name, rows, size, scores)
    return out


def final(last: Mapping[str, float]) -> dict[str, float]:
    """What the record says at the end of what was measured in the curve's last row."""
    known = {name: last[name] for name in NAMES.values() if name in last}
    return ({"loss": known.pop("val_loss")} if "val_loss" in known else {}) | known

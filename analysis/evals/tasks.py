"""Tasks: metrics by run with intervals, curves by scale, and findings.

Key: r runs, n scales, I items, B bootstrap samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import pandas as pd

from analysis.errors import DataError
from analysis.evals.options import ALL_TASKS
from analysis.evals.verdict import Verdict
from analysis.format import join_names
from analysis.uncertainty import intervals
from scaling.store.score_intervals import wilson_interval

BOOTSTRAP_SAMPLES = 1000  # for the interval of a metric over items


@dataclass(frozen=True)
class TaskMetric:
    """A metric of one task for each run.

    Attributes:
        name: Name in `analysis.evals.metrics.METRICS`.
        mean: Mean over items (r,).
        variance: Variance of the mean over items (r,).
        interval: Interval of the mean (r, 2).
        items: Number of items (r,), 0 if it is not known.
        share: Whether the metric is a share of correct answers.
        values: Value of each item, r arrays of (I,); empty if they are not known.
    """

    name: str
    mean: np.ndarray
    variance: np.ndarray
    interval: np.ndarray
    items: np.ndarray
    share: bool = False
    values: tuple[np.ndarray, ...] = ()


@dataclass(frozen=True)
class Task:
    """A task with its metrics for each run.

    Attributes:
        name: Name of the task, with its number of shots if there are several.
        family: Family of tasks that it belongs to.
        difficulty: Difficulty within the family, NaN if unknown.
        shots: Number of solved examples in the prompt.
        chance: Score of a random guess, NaN if unknown.
        runs: One row per run: run, step, N, D, C, L (NaN if unknown).
        measures: Metrics by name.
        score: Name of the score, the metric that may jump; None if there is none.
        continuous: Name of the continuous metric to compare it with; None if there is none.
        notes: Guesses, derived values and left-out rows of the reading, one line each.
    """

    name: str
    family: str
    difficulty: float
    shots: int
    chance: float
    runs: pd.DataFrame
    measures: dict[str, TaskMetric] = field(repr=False)
    score: str | None = None
    continuous: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class TaskScores:
    """All tasks of a source.

    Attributes:
        tasks: The tasks.
        notes: Notes on the reading of the whole source, one line each.
        loss_unit: Unit of the loss L of the runs, as it is printed.
    """

    tasks: tuple[Task, ...]
    notes: tuple[str, ...] = ()
    loss_unit: str = "nats per token"


def select_tasks(names: Sequence[str], patterns: Sequence[str], source: object) -> list[bool]:
    """Returns for each task whether a name or pattern selects it.

    Args:
        names: Names of the tasks, with or without the number of shots (addition@2).
        patterns: Names, or patterns such as mmlu_*; empty selects all.
        source: Name of the source, for the error message.

    Raises:
        DataError: A pattern selects no task.
    """
    for pattern in patterns:
        if not any(_matches(name, pattern) for name in names):
            raise DataError(f"{source}: tasks {pattern}: no such task: it has {join_names(dict.fromkeys(names))}")
    return [not patterns or any(_matches(name, pattern) for pattern in patterns) for name in names]


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(name.split("@")[0], pattern)


def chance_level(
    name: str, options: Mapping[str, float], stated: float, choices: float, *, exact: bool
) -> tuple[float, tuple[str, ...]]:
    """Returns the score of a random guess in a task, NaN if it is not known, and notes on its origin.

    Args:
        name: Name of the task.
        options: `EmergenceOptions.chance`.
        stated: Chance level in the source, NaN if it has none.
        choices: Number of choices of an item, NaN if unknown.
        exact: Whether the score compares a generated text with the answer, which a guess does not match.
    """
    for key in (name, name.split("@")[0], ALL_TASKS):
        if key in options:
            return options[key], ()
    if np.isfinite(stated):
        return stated, ()
    if np.isfinite(choices) and choices >= 1:
        return 1 / choices, (f"chance level {1 / choices:.4g}: a guess among {choices:.4g} choices",)
    if exact:
        return 0.0, ("chance level 0: exact match of a generated answer",)
    remedy = f"--chance {name.split('@')[0]}=0.25, or a column chance or choices (0 for free answers)"
    return float("nan"), (f"chance level unknown, not taken as 0: give {remedy}",)


def summarise_metric(name: str, values: list[np.ndarray], share: bool, level: float, seed: int = 0) -> TaskMetric:
    """Returns the mean of a metric over items with its interval: Wilson's for a share, a bootstrap otherwise.

    Args:
        name: Name of the metric.
        values: Value of each item, an array (I,) for each run; items with NaN are left out.
        share: Whether an item is either right or wrong.
        level: Coverage of the interval.
        seed: Seed of the bootstrap.
    """
    values = [v_I[np.isfinite(v_I)] for v_I in values]
    binary = all(bool(np.isin(v_I, (0.0, 1.0)).all()) for v_I in values)
    if share and binary:
        interval = [wilson_interval(v_I.sum(), len(v_I), level) for v_I in values]
    else:
        weights = {items: bootstrap_weights(items, seed) for items in {len(v_I) for v_I in values}}
        interval = [intervals.percentile_interval(weights[len(v_I)] @ v_I, level) for v_I in values]
    return TaskMetric(
        name,
        mean=np.array([v_I.mean() for v_I in values]),
        variance=np.array([v_I.var() / len(v_I) for v_I in values]),
        interval=np.array(interval),
        items=np.array([len(v_I) for v_I in values]),
        share=share,
        values=tuple(values),
    )


def bootstrap_weights(items: int, seed: int, samples: int = BOOTSTRAP_SAMPLES) -> np.ndarray:
    """Returns the share of each item (B, I) in bootstrap samples.

    Args:
        items: Number of items.
        seed: Seed; the same samples are used for runs with the same number of items.
        samples: Number of samples.
    """
    rng = np.random.default_rng([seed, items])
    return rng.multinomial(items, np.full(items, 1 / items), samples) / items


@dataclass(frozen=True)
class Curve:
    """A metric by scale.

    Attributes:
        metric: Name of the metric.
        x: Scale (n,) as C, N, D or L.
        mean: Mean over runs and items (n,).
        interval: Interval of the mean (n, 2).
        runs: Number of runs (n,).
    """

    metric: str
    x: np.ndarray
    mean: np.ndarray
    interval: np.ndarray
    runs: np.ndarray


@dataclass(frozen=True)
class Finding:
    """Curves, verdict and predictions of a task.

    Attributes:
        task: The task.
        verdict: Verdict on whether the rise of the score is sudden.
        included: Mask of the runs in the curves (r,).
        curves: Curve of each metric by name.
        notes: Notes, one line each.
        target: Scale at which the score was predicted; {} without predictions.
        predictions: Prediction at the target by method, or {"failed": reason}.
    """

    task: Task
    verdict: Verdict
    included: np.ndarray
    curves: dict[str, Curve]
    notes: tuple[str, ...] = ()
    target: dict[str, float] = field(default_factory=dict)
    predictions: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def score(self) -> Curve | None:
        """Curve of the score, None if there is none."""
        return self.curves.get(self.task.score or "")

    @property
    def continuous(self) -> Curve | None:
        """Curve of the continuous metric, None if there is none."""
        return self.curves.get(self.task.continuous or "")

"""analysis.evals.tasks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from analysis.evals.metrics import wilson
from analysis.evals.verdict import Verdict

AXES = ("C", "N", "D", "L")

DRAWS = 1000


@dataclass(frozen=True)
class Measure:
    """A metric of one task over runs: mean (r,), variance of it over items (r,), interval (r, 2); items (r,), 0 where
    that is not known; by item, where it is known (r arrays of (I,))."""

    name: str
    mean: np.ndarray
    variance: np.ndarray
    interval: np.ndarray
    items: np.ndarray
    share: bool = False
    values: tuple[np.ndarray, ...] = ()


@dataclass(frozen=True)
class Task:
    """A task over runs. runs: a row each of run, step, N, D, C, L (NaN where not known). chance: score of a guess.

    score, continuous: names of the metrics that the verdict compares, None where there is none.
    """

    name: str
    family: str
    difficulty: float
    shots: int
    chance: float
    runs: pd.DataFrame
    measures: dict[str, Measure] = field(repr=False)
    score: str | None = None
    continuous: str | None = None


def measure(name: str, values: list[np.ndarray], share: bool, level: float, seed: int = 0) -> Measure:
    """A metric from what each item has of it: items without it are left out.

    Intervals: Wilson's of a share, a bootstrap over items of anything else.
    """
    values = [v[np.isfinite(v)] for v in values]
    whole = all(bool(np.isin(v, (0.0, 1.0)).all()) for v in values)
    count = np.array([len(v) for v in values])
    mean = np.array([v.mean() for v in values])
    if share and whole:
        interval = [wilson(v.sum(), len(v), level) for v in values]
    else:
        ends = [(1 - level) / 2, (1 + level) / 2]
        drawn = {size: weights(size, seed) for size in {len(v) for v in values}}
        interval = [tuple(np.quantile(drawn[len(v)] @ v, ends)) for v in values]
    variance = np.array([v.var() / len(v) for v in values])
    return Measure(name, mean, variance, np.array(interval), count, share, tuple(values))


def weights(items_: int, seed: int, draws: int = DRAWS) -> np.ndarray:
    """Shares (B, I) that items have in draws with replacement."""
    rng = np.random.default_rng([seed, items_])
    return rng.multinomial(items_, np.full(items_, 1 / items_), draws) / items_


@dataclass(frozen=True)
class Curve:
    """A metric by scale: x (n,) as C, N, D or L, mean (n,), interval (n, 2), runs (n,) of each."""

    metric: str
    x: np.ndarray
    mean: np.ndarray
    interval: np.ndarray
    runs: np.ndarray


@dataclass(frozen=True)
class Finding:
    """What is found of a task. kept: which of its runs the curves are of. told: of a target, where one was given."""

    task: Task
    verdict: Verdict
    kept: np.ndarray
    curves: dict[str, Curve]
    notes: tuple[str, ...] = ()
    told: dict[str, Any] = field(default_factory=dict)

    @property
    def score(self) -> Curve | None:
        """The curve of the score."""
        return self.curves.get(self.task.score or "")

    @property
    def continuous(self) -> Curve | None:
        """The curve of the metric beside it."""
        return self.curves.get(self.task.continuous or "")

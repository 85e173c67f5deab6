"""What a backtest comes to: each law's error and interval on what was held out, and the forecast of all of them.

Key: K laws, n held-out points, v points foretold, B draws.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from analysis.errors import FitError
from analysis.format import plain
from analysis.studies.backtest import combine

COMBINED = "combined"


@dataclass(frozen=True)
class Result:
    """A law on one group, or why not: measured, predicted (n,), draws with noise (B, n), errors (v,) at each origin."""

    group: str
    law: str
    measured: np.ndarray
    predicted: np.ndarray
    draws: np.ndarray
    foretold: list[np.ndarray]
    failed: str | None = None


@dataclass(frozen=True)
class Score:
    """A law against what was held out, means over groups.

    rmsle: √mean (ln ŷ − ln y)². relative: mean |ŷ/y − 1|. bias: mean of ln ŷ − ln y. coverage: share of points within
    the prediction interval, which is `width` wide in ln y. weight: of the law in the combined forecast. groups: how
    many it could be fitted to.
    """

    law: str
    rmsle: float
    relative: float
    bias: float
    coverage: float
    width: float
    groups: int
    foretold: float
    weight: float | None = None


@dataclass(frozen=True)
class Backtest:
    """Scores of laws, the combined forecast last; by_group: {group: {law: rmsle}}; points and held: how many.

    predicted: {group: {law: ŷ (n,)}} and measured {group: y (n,)} of what was held out.
    """

    source: str
    holdout: str
    level: float
    points: int
    held: int
    scores: tuple[Score, ...]
    by_group: dict[str, dict[str, float]]
    weights: dict[str, float]
    notes: tuple[str, ...]
    predicted: dict[str, dict[str, np.ndarray]] = field(repr=False)
    measured: dict[str, np.ndarray] = field(repr=False)

    @property
    def combined(self) -> Score:
        """The combined forecast's."""
        return self.scores[-1]

    @property
    def best(self) -> Score:
        """The single law that turned out best, which nobody could have known."""
        return min(self.scores[:-1], key=lambda one: (-one.groups, one.rmsle))

    def to_json(self) -> dict[str, Any]:
        """What `backtest --json` writes."""
        return dict(
            plain(
                {
                    "source": self.source,
                    "holdout": self.holdout,
                    "points": self.points,
                    "held": self.held,
                    "groups": len(self.by_group),
                    "level": self.level,
                    "scores": [vars(one) for one in self.scores],
                    "weights": self.weights,
                    "best": self.best.law,
                    "by_group": self.by_group,
                    "notes": list(self.notes),
                }
            )
        )


def judge(by: dict[str, dict[str, Result]], source: str, holdout: str, level: float, points: int) -> Backtest:
    """What results, {group: {law: ...}}, come to. Raises FitError where no law could be fitted."""
    names = list(next(iter(by.values())))
    fitted = [name for name in names if any(results[name].failed is None for results in by.values())]
    if not fitted:
        raise FitError(next(one.failed for results in by.values() for one in results.values() if one.failed))
    weights, notes = _weights(by, fitted)
    for name in names:
        why = [results[name].failed for results in by.values() if results[name].failed]
        if why:
            notes.append(f"{name}: not fitted to {len(why)} of {len(by)} groups: {why[0]}")
    everyone = {group: {**results, COMBINED: _combine(results, weights)} for group, results in by.items()}
    shown = (*fitted, COMBINED)
    return Backtest(
        source=source,
        holdout=holdout,
        level=level,
        points=points,
        held=sum(len(next(iter(results.values())).measured) for results in by.values()),
        scores=tuple(_score(name, everyone, level, weights) for name in shown),
        by_group={group: {name: _rmsle(results[name]) for name in shown} for group, results in everyone.items()},
        weights=weights,
        notes=tuple(notes),
        predicted={g: {name: one.predicted for name, one in results.items()} for g, results in everyone.items()},
        measured={g: results[COMBINED].measured for g, results in everyone.items()},
    )


def _weights(by: dict[str, dict[str, Result]], names: list[str]) -> tuple[dict[str, float], list[str]]:
    """Of each law in the combined forecast, by what it foretold in all groups, and what there is to say of them."""
    errors = []
    for results in by.values():
        told = [results[name].foretold for name in names]
        count = max(len(one) for one in told)
        group = []
        for origin in range(count):
            size = max(len(one[origin]) for one in told if one)
            group.append(np.stack([one[origin] if one else np.full(size, combine.LOST) for one in told]))
        errors.append(group)
    if not any(errors):
        return {name: 1 / len(names) for name in names}, [
            "too few points to try the laws on their own end: all count alike"
        ]
    return dict(zip(names, map(float, combine.weigh(errors)), strict=True)), []


def _combine(results: dict[str, Result], weights: dict[str, float]) -> Result:
    """The weighted geometric mean of what could be fitted; its draws are theirs, as many of each as it counts."""
    told = [one for one in results.values() if one.failed is None and np.isfinite(one.predicted).all()]
    some = next(iter(results.values()))
    if not told:
        return Result(some.group, COMBINED, some.measured, some.predicted, some.draws, [], "no law could be fitted")
    w = np.array([weights[one.law] for one in told])
    w = w / w.sum() if w.sum() > 0 else np.full(len(w), 1 / len(w))
    predicted = np.exp(sum(share * np.log(one.predicted) for share, one in zip(w, told, strict=True)))
    rng = np.random.default_rng(0)
    size = max(len(one.draws) for one in told)
    counts = np.maximum(np.round(w * size).astype(int), 0)
    draws = [one.draws[rng.integers(len(one.draws), size=count)] for count, one in zip(counts, told, strict=True)]
    return Result(some.group, COMBINED, some.measured, predicted, np.concatenate(draws), [])


def _errors(result: Result) -> np.ndarray:
    with np.errstate(all="ignore"):
        return np.log(result.predicted) - np.log(result.measured)


def _rmsle(result: Result) -> float:
    return float(np.sqrt(np.mean(_errors(result) ** 2)))


def _score(name: str, by: dict[str, dict[str, Result]], level: float, weights: dict[str, float]) -> Score:
    some = [results[name] for results in by.values() if results[name].failed is None]
    rows, told = [], []
    for one in some:
        low, high = np.nanquantile(one.draws, [(1 - level) / 2, (1 + level) / 2], axis=0)
        error = _errors(one)
        inside, width = np.mean((low <= one.measured) & (one.measured <= high)), np.mean(np.log(high / low))
        rows.append([_rmsle(one), np.mean(np.abs(np.expm1(error))), error.mean(), inside, width])
        told += [float(np.sqrt(np.mean(e**2))) for e in one.foretold]
    rmsle, relative, bias, coverage, width = (float(value) for value in np.mean(rows, 0))
    back = float(np.mean(told)) if told else float("nan")
    return Score(name, rmsle, relative, bias, coverage, width, len(some), back, weights.get(name))

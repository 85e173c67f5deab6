"""Result of a backtest: errors and intervals of each law and of the ensemble on the held-out points.

Key: K laws, n held-out points, v validation points, B bootstrap samples.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from analysis.errors import FitError
from analysis.format import json_ready
from analysis.studies.backtest import ensemble
from analysis.uncertainty.intervals import percentile_band
from scaling.store.origin.paths import public_path

COMBINED = "combined"  # name of the ensemble among the laws

Forecasts = dict[str, dict[str, "Forecast"]]  # by group and law


@dataclass(frozen=True)
class Forecast:
    """Prediction of one law for the held-out points of one group.

    Attributes:
        group: Name of the group.
        law: Name of the law.
        measured: Measured output (n,).
        predicted: Predicted output (n,).
        samples: Predictions of the bootstrap samples, with noise (B, n).
        validation_errors: Log errors (v,) of each validation split.
        failed: Reason that the law could not be fitted; None if it was fitted.
    """

    group: str
    law: str
    measured: np.ndarray
    predicted: np.ndarray
    samples: np.ndarray
    validation_errors: list[np.ndarray]
    failed: str | None = None


@dataclass(frozen=True)
class Score:
    """Errors of a law on the held-out points, averaged over groups.

    Attributes:
        law: Name of the law.
        rmsle: Root mean square of ln(predicted / measured).
        relative: Mean of |predicted / measured - 1|.
        bias: Mean of ln(predicted / measured).
        coverage: Share of points within the prediction interval.
        mean_interval_width: Mean width of the prediction interval in ln of the output.
        groups: Number of groups that the law could be fitted to.
        validation_error: Mean over validation splits of the root mean square log error.
        ensemble_weight: Weight in the ensemble, None for the ensemble itself.
    """

    law: str
    rmsle: float
    relative: float
    bias: float
    coverage: float
    mean_interval_width: float
    groups: int
    validation_error: float
    ensemble_weight: float | None = None


@dataclass(frozen=True)
class Backtest:
    """Scores of laws on held-out points.

    Attributes:
        source: Name of the source.
        holdout: Expression that selects the held-out points.
        level: Coverage of the intervals.
        points: Number of fitted points.
        held_out: Number of held-out points.
        scores: One per law, the ensemble last.
        by_group: Root mean square log error by group and law.
        weights: Weight in the ensemble by law.
        notes: Notes, one line each.
        predicted: Prediction (n,) by group and law.
        measured: Measured output (n,) by group.
    """

    source: str
    holdout: str
    level: float
    points: int
    held_out: int
    scores: tuple[Score, ...]
    by_group: dict[str, dict[str, float]]
    weights: dict[str, float]
    notes: tuple[str, ...]
    predicted: dict[str, dict[str, np.ndarray]] = field(repr=False)
    measured: dict[str, np.ndarray] = field(repr=False)

    @property
    def combined(self) -> Score:
        """Score of the ensemble."""
        return self.scores[-1]

    @property
    def best(self) -> Score:
        """Best single law in hindsight."""
        return min(self.scores[:-1], key=lambda score: (-score.groups, score.rmsle))

    def to_json(self) -> dict[str, Any]:
        """Returns what `backtest --json` writes."""
        data = {
            "source": public_path(self.source),
            "holdout": self.holdout,
            "points": self.points,
            "held_out": self.held_out,
            "groups": len(self.by_group),
            "level": self.level,
            "scores": [vars(score) for score in self.scores],
            "weights": self.weights,
            "best": self.best.law,
            "by_group": self.by_group,
            "notes": list(self.notes),
        }
        return dict(json_ready(data))


def summarise(forecasts: Forecasts, source: str, holdout: str, level: float, points: int) -> Backtest:
    """Summarises forecasts in a backtest result.

    Args:
        forecasts: Forecasts by group and law.
        source: Name of the source.
        holdout: Expression that selects the held-out points.
        level: Coverage of the intervals.
        points: Number of fitted points.

    Raises:
        FitError: No law could be fitted.
    """
    names = list(next(iter(forecasts.values())))
    fitted = [name for name in names if any(laws[name].failed is None for laws in forecasts.values())]
    if not fitted:
        raise FitError(next(f.failed for laws in forecasts.values() for f in laws.values() if f.failed))
    weights, notes = _weights(forecasts, fitted)
    for name in names:
        failures = [laws[name].failed for laws in forecasts.values() if laws[name].failed]
        if failures:
            notes.append(f"{name}: not fitted to {len(failures)} of {len(forecasts)} groups: {failures[0]}")
    with_ensemble = {group: {**laws, COMBINED: _combine(laws, weights)} for group, laws in forecasts.items()}
    columns = (*fitted, COMBINED)
    return Backtest(
        source=source,
        holdout=holdout,
        level=level,
        points=points,
        held_out=sum(len(laws[COMBINED].measured) for laws in with_ensemble.values()),
        scores=tuple(_score(name, with_ensemble, level, weights) for name in columns),
        by_group={group: {name: _rmsle(laws[name]) for name in columns} for group, laws in with_ensemble.items()},
        weights=weights,
        notes=tuple(notes),
        predicted={group: {name: f.predicted for name, f in laws.items()} for group, laws in with_ensemble.items()},
        measured={group: laws[COMBINED].measured for group, laws in with_ensemble.items()},
    )


def _weights(forecasts: Forecasts, names: list[str]) -> tuple[dict[str, float], list[str]]:
    """Weight of each law in the ensemble, from its validation errors in all groups, with notes."""
    errors = []
    for laws in forecasts.values():
        errors_by_law = [laws[name].validation_errors for name in names]
        group = []
        for split in range(max(len(law_errors) for law_errors in errors_by_law)):
            size = max(len(law_errors[split]) for law_errors in errors_by_law if law_errors)
            failed = np.full(size, ensemble.FAILED_ERROR)
            group.append(np.stack([law_errors[split] if law_errors else failed for law_errors in errors_by_law]))
        errors.append(group)
    if not any(errors):
        equal = {name: 1 / len(names) for name in names}
        return equal, ["too few points for a validation of the laws: all laws have the same weight"]
    return dict(zip(names, map(float, ensemble.ensemble_weights(errors)), strict=True)), []


def _combine(laws: dict[str, Forecast], weights: dict[str, float]) -> Forecast:
    """Weighted geometric mean of the fitted laws, with samples of each law in proportion to its weight."""
    usable = [f for f in laws.values() if f.failed is None and np.isfinite(f.predicted).all()]
    first = next(iter(laws.values()))
    if not usable:
        failed = "no law could be fitted"
        return Forecast(first.group, COMBINED, first.measured, first.predicted, first.samples, [], failed)
    w = np.array([weights[f.law] for f in usable])
    w = w / w.sum() if w.sum() > 0 else np.full(len(w), 1 / len(w))
    predicted = np.exp(sum(share * np.log(f.predicted) for share, f in zip(w, usable, strict=True)))
    rng = np.random.default_rng(0)
    size = max(len(f.samples) for f in usable)
    counts = np.maximum(np.round(w * size).astype(int), 0)
    samples = [f.samples[rng.integers(len(f.samples), size=count)] for count, f in zip(counts, usable, strict=True)]
    return Forecast(first.group, COMBINED, first.measured, predicted, np.concatenate(samples), [])


def _log_errors(forecast: Forecast) -> np.ndarray:
    with np.errstate(all="ignore"):
        return np.log(forecast.predicted) - np.log(forecast.measured)


def _rmsle(forecast: Forecast) -> float:
    return float(np.sqrt(np.mean(_log_errors(forecast) ** 2)))


def _score(name: str, forecasts: Forecasts, level: float, weights: dict[str, float]) -> Score:
    fitted = [laws[name] for laws in forecasts.values() if laws[name].failed is None]
    rows, validation = [], []
    for forecast in fitted:
        low, high = percentile_band(forecast.samples, level)
        error = _log_errors(forecast)
        inside = np.mean((low <= forecast.measured) & (forecast.measured <= high))
        width = np.mean(np.log(high / low))
        rows.append([_rmsle(forecast), np.mean(np.abs(np.expm1(error))), error.mean(), inside, width])
        validation += [float(np.sqrt(np.mean(e**2))) for e in forecast.validation_errors]
    rmsle, relative, bias, coverage, width = (float(value) for value in np.mean(rows, 0))
    return Score(
        law=name,
        rmsle=rmsle,
        relative=relative,
        bias=bias,
        coverage=coverage,
        mean_interval_width=width,
        groups=len(fitted),
        validation_error=float(np.mean(validation)) if validation else float("nan"),
        ensemble_weight=weights.get(name),
    )

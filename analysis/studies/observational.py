"""Observational laws: a task's score from the public benchmark scores of many models (Ruan 2024).

Scores that are missing are filled in by principal components, the scores are turned into a few components, and the
task is a sigmoid of those: y = h·σ(w·PC + c) + 1 − h.

Key: m models, s scores, K components, y the task's score (0 to 1).
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit, logit

from analysis.data.points import Points
from analysis.errors import DataError, FitError
from analysis.fitting.fit import fit as fit_law
from analysis.fitting.result import Fit
from analysis.format import plain
from analysis.laws.law import Array, Law
from analysis.studies.components import Components, Models, fill, principal, read
from analysis.uncertainty.intervals import interval

FLOOR = 0.2  # the highest chance level, 1 − h (Ruan 2024, section 3.3)


@dataclass(frozen=True)
class Observed:
    """A law over models. fit: of y on components, with its doubt. weights: of each score inside the sigmoid.

    train, held: mean squared error of y over the models fitted to, and over those held out (None where none were).
    rows: of every model its name, y, what is predicted with its interval, and whether it was held out.
    """

    fit: Fit
    components: Components
    weights: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    train: float
    held: float | None
    rows: list[dict[str, Any]]
    target: str

    def to_json(self) -> dict[str, Any]:
        """Plain Python numbers."""
        return plain(
            {
                "target": self.target,
                **self.fit.to_json(),
                "scores": {"weights": self.weights, "intervals": self.intervals},
                "components": {
                    "mean": self.components.mean.tolist(),
                    "loadings": self.components.loadings.tolist(),
                    "share": self.components.share.tolist(),
                },
                "error": {"train": self.train, "held_out": self.held},
                "models": self.rows,
            }
        )


def fit(
    source: Any,
    *,
    scores: Sequence[str],
    target: str,
    holdout: str | None = None,
    full: float = 1.0,
    components: int = 3,
    filled: int = 1,
    name: str | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Observed:
    """The law of one task over models, a row each.

    source: a table's file, a DataFrame or columns by name. scores: columns of benchmarks, shares from 0 to 1; cells may
    be empty. target: the task's column, of which `full` is full marks; models without it are left out. holdout: rows
    to hold out (analysis/data/filter.py). components: that the task is fitted to; filled: that empty cells are filled
    with.
    name: column that names a model. Raises DataError and FitError.
    """
    models = read(source, scores, target, holdout, full, name)
    x, known = models.scores, ~np.isnan(models.y)
    train = known & ~models.held
    if not 1 <= components <= len(scores) or not 1 <= filled <= len(scores):
        raise DataError(f"components {components}, filled {filled}: from 1 to {len(scores)}, the number of scores")
    if train.sum() <= components + 2:
        raise FitError(
            f"{models.source}: {int(train.sum())} models for {components + 2} parameters: use fewer components"
        )
    for score, values in zip(scores, x[train].T, strict=True):
        if np.isnan(values).all():
            raise DataError(f"{models.source}: no model that is fitted to has a {score}: leave that score out")
    whole = np.full(x.shape, np.nan)
    whole[train], whole[models.held] = fill(x[train], x[models.held], filled)
    found = principal(whole[train], components)
    gone = int((~known).sum())
    notes = (
        f"{int(np.isnan(x[known]).sum())} of {x[known].size} scores are missing and filled in",
        *([f"{gone} models have no {target}"] if gone else []),
        "intervals take the components as given",
    )
    points = _points(found.of(whole[train]), models, train, notes)
    one = fit_law(points, sigmoid_of(components), bootstrap=bootstrap, seed=seed, level=level)
    return _observed(one, found, whole, models, train, scores, target)


def sigmoid_of(components: int) -> Law:
    """y = h·σ(w1·PC1 + … + c) + 1 − h as a law of that many components (Ruan 2024, equation 7)."""
    inputs = [f"PC{k}" for k in range(1, components + 1)]
    weights = [f"w{k}" for k in range(1, components + 1)]

    def observational(*pcs: Array, **p: Array) -> Array:
        inside = sum((p[w] * x for w, x in zip(weights, pcs, strict=True)), p["c"])
        return p["h"] * expit(inside) + 1 - p["h"]

    take = [inspect.Parameter(x, inspect.Parameter.POSITIONAL_OR_KEYWORD) for x in inputs]
    keep = [inspect.Parameter(p, inspect.Parameter.KEYWORD_ONLY) for p in (*weights, "c", "h")]
    observational.__signature__ = inspect.Signature(take + keep)  # type: ignore[attr-defined]

    def seeds(pcs: tuple[np.ndarray, ...], y: np.ndarray) -> dict[str, np.ndarray]:
        """Straight lines through the logits, for each height; and flat ones."""
        X = np.stack([*pcs, np.ones_like(y)], -1)
        rows = []
        for h in (1.0, 1 - FLOOR / 4, 1 - FLOOR):
            inside = logit(np.clip((y - 1 + h) / h, 0.01, 0.99))
            line = np.linalg.lstsq(X, inside, rcond=None)[0]
            rows += [[*(line * times), h] for times in (0.3, 1.0, 2.0)]
        return dict(zip((*weights, "c", "h"), np.array(rows).T, strict=True))

    wide = dict.fromkeys((*weights, "c"), (-1e6, 1e6))
    return Law(
        observational,
        "Ruan 2024, equation 7",
        {},
        bounds={**wide, "h": (1 - FLOOR, 1.0)},
        output="y",
        objective="mse",
        units={"y": "share of full marks"},
        signed=("y", *inputs),
        seeds=seeds,
    )


def _observed(
    one: Fit,
    found: Components,
    whole: np.ndarray,
    models: Models,
    train: np.ndarray,
    scores: Sequence[str],
    target: str,
) -> Observed:
    y, held = models.y, models.held
    letters = [f"w{k}" for k in range(1, len(found.loadings) + 1)]
    w = np.array([one.params[k] for k in letters]) @ found.loadings
    drawn = np.stack([one.draws[k] for k in letters], -1) @ found.loadings
    shown = train | held
    pcs = {f"PC{k}": column for k, column in enumerate(found.of(whole[shown]).T, 1)}
    predicted, (low, high) = one.predict(**pcs), one.predict_interval(**pcs)
    error = np.full(len(y), np.nan)
    error[shown] = (predicted - y[shown]) ** 2
    rows = [
        {
            "name": models.names[i],
            "y": float(y[i]),
            "predicted": float(p),
            "interval": (float(a), float(b)),
            "held_out": bool(h),
        }
        for i, p, a, b, h in zip(np.flatnonzero(shown), predicted, low, high, held[shown], strict=True)
    ]
    return Observed(
        fit=one,
        components=found,
        weights=dict(zip(scores, w.tolist(), strict=True)),
        intervals={s: interval(drawn[:, j], one.level) for j, s in enumerate(scores)},
        train=float(error[train].mean()),
        held=float(error[held].mean()) if held.any() else None,
        rows=rows,
        target=target,
    )


def _points(pcs: np.ndarray, models: Models, train: np.ndarray, notes: tuple[str, ...]) -> Points:
    nothing = np.full(len(pcs), np.nan)
    more = {f"PC{k}": column for k, column in enumerate(pcs.T, 1)} | {"y": models.y[train]}
    return Points(
        N=nothing,
        D=nothing,
        C=nothing,
        L=nothing,
        names=[models.names[i] for i in np.flatnonzero(train)],
        source=models.source,
        notes=notes,
        convention="scores from 0 to 1",
        more=more,
    )

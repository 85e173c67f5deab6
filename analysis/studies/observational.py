"""Observational laws: the score of a task from public benchmark scores of many models (Ruan 2024).

Missing scores are imputed, scores are reduced to a few principal components, and the score of the task is fitted by a
sigmoid of these components: y = h·sigmoid(w·PC + c) + 1 - h.

Key: m models, s scores, K components, B bootstrap samples; y the score of the task (0 to 1).
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
from analysis.fitting.fit import fit
from analysis.fitting.options import FitOptions
from analysis.fitting.result import Fit
from analysis.format import json_ready
from analysis.laws.law import Array, Law
from analysis.studies.components import (
    ModelScores,
    PrincipalComponents,
    impute_scores,
    principal_components,
    read_model_scores,
)
from analysis.studies.options import ObservationalOptions
from analysis.uncertainty.intervals import percentile_band, percentile_interval
from analysis.uncertainty.resampling.score_noise import ScoreNoise, estimate_noise

MAX_CHANCE = 0.2  # the highest chance level, 1 - h (Ruan 2024, section 3.3)


@dataclass(frozen=True)
class ObservationalFit:
    """A law of one task over models.

    Attributes:
        fit: Fit of y to the components; its intervals treat the components as fixed.
        components: The components.
        weights: Weight of each score inside the sigmoid.
        intervals: Interval of each weight.
        train_error: Mean squared error of y over the fitted models.
        held_out_error: The same over the held-out models, None if there are none.
        rows: For each model: name, y, prediction, prediction interval of a new model with its scores (`interval`),
            interval of the curve (`curve_interval`), and whether it was held out.
        noise: Scatter of the scores about the curve.
        target: Name of the task.
    """

    fit: Fit
    components: PrincipalComponents
    weights: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    train_error: float
    held_out_error: float | None
    rows: list[dict[str, Any]]
    noise: ScoreNoise
    target: str

    @property
    def covered(self) -> tuple[int, int]:
        """Number of held-out models whose score is in its prediction interval, and number of held-out models."""
        held_out = [row for row in self.rows if row["held_out"]]
        return sum(row["interval"][0] <= row["y"] <= row["interval"][1] for row in held_out), len(held_out)

    def to_json(self) -> dict[str, Any]:
        """Returns the fit in types of JSON."""
        data = {
            "target": self.target,
            **self.fit.to_json(),
            "scores": {"weights": self.weights, "intervals": self.intervals},
            "components": {
                "mean": self.components.mean.tolist(),
                "loadings": self.components.loadings.tolist(),
                "share": self.components.share.tolist(),
            },
            "error": {"train": self.train_error, "held_out": self.held_out_error},
            "interval_of": "interval: a new model's score; curve_interval: the curve",
            "dispersion": self.noise.dispersion,
            "models": self.rows,
        }
        return dict(json_ready(data))


def fit_observational(
    source: Any, scores: Sequence[str], target: str, options: ObservationalOptions = ObservationalOptions()
) -> ObservationalFit:
    """Fits the score of one task to the benchmark scores of models.

    Args:
        source: A table's file, a DataFrame or columns by name, with one row per model.
        scores: Columns of benchmarks, shares from 0 to 1; cells may be empty.
        target: Column of the task; models without it are left out.
        options: Components, held-out models, highest possible score and bootstrap.

    Raises:
        DataError: The table cannot be read, or the number of components is not allowed.
        FitError: There are too few models.
    """
    models = read_model_scores(source, scores, target, options)
    train = ~np.isnan(models.y) & ~models.held_out & ~models.undecided
    _check_models(models, train, scores, options)
    imputed = np.full(models.scores.shape, np.nan)
    imputed[train], imputed[models.held_out] = impute_scores(
        models.scores[train], models.scores[models.held_out], options.filled
    )
    components = principal_components(imputed[train], options.components)
    points = _points(components.transform(imputed[train]), models, train, target)
    law = component_sigmoid(options.components)
    fit_options = FitOptions(bootstrap=options.bootstrap, seed=options.seed, level=options.level)
    result = fit(points, law, fit_options)
    names = [f"w{k}" for k in range(1, options.components + 1)]
    weights = np.array([result.params[name] for name in names]) @ components.loadings
    samples_Bs = np.stack([result.samples[name] for name in names], -1) @ components.loadings
    # The directions of the components are fitted to the same models: each costs one more degree of freedom.
    fitted = np.asarray(result.predict(**_inputs(components, imputed[train])))
    counts = None if options.items is None else np.full(len(fitted), options.items)
    noise = estimate_noise(models.y[train], fitted, counts, len(result.params) + options.components)
    rows = _model_rows(result, noise, _inputs(components, imputed), models, train, options)
    error, held_out = _squared_errors(rows)
    return ObservationalFit(
        fit=result,
        components=components,
        weights=dict(zip(scores, weights.tolist(), strict=True)),
        intervals={s: percentile_interval(samples_Bs[:, j], options.level) for j, s in enumerate(scores)},
        train_error=float(error[~held_out].mean()),
        held_out_error=float(error[held_out].mean()) if held_out.any() else None,
        rows=rows,
        noise=noise,
        target=target,
    )


def component_sigmoid(components: int) -> Law:
    """Returns the law y = h·sigmoid(w1·PC1 + ... + c) + 1 - h of `components` components (Ruan 2024, equation 7)."""
    inputs = [f"PC{k}" for k in range(1, components + 1)]
    weights = [f"w{k}" for k in range(1, components + 1)]

    def observational(*pcs: Array, **p: Array) -> Array:
        inside = sum((p[w] * x for w, x in zip(weights, pcs, strict=True)), p["c"])
        return p["h"] * expit(inside) + 1 - p["h"]

    positional = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in inputs]
    keyword = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in (*weights, "c", "h")]
    observational.__signature__ = inspect.Signature(positional + keyword)  # type: ignore[attr-defined]

    def starts(pcs: tuple[np.ndarray, ...], y: np.ndarray) -> dict[str, np.ndarray]:
        """Starting values: linear fits of the logits for each h, with their slopes scaled."""
        X = np.stack([*pcs, np.ones_like(y)], -1)
        rows = []
        for h in (1.0, 1 - MAX_CHANCE / 4, 1 - MAX_CHANCE):
            inside = logit(np.clip((y - 1 + h) / h, 0.01, 0.99))
            line = np.linalg.lstsq(X, inside, rcond=None)[0]
            rows += [[*(line * factor), h] for factor in (0.3, 1.0, 2.0)]
        return dict(zip((*weights, "c", "h"), np.array(rows).T, strict=True))

    unbounded = dict.fromkeys((*weights, "c"), (-1e6, 1e6))
    return Law(
        observational,
        "Ruan 2024, equation 7",
        {},
        bounds={**unbounded, "h": (1 - MAX_CHANCE, 1.0)},
        output="y",
        objective="mse",
        units={"y": "share of the highest score"},
        signed=("y", *inputs),
        starts_from_data=starts,
    )


def _check_models(models: ModelScores, train: np.ndarray, scores: Sequence[str], options: ObservationalOptions) -> None:
    components, filled = options.components, options.filled
    if not 1 <= components <= len(scores) or not 1 <= filled <= len(scores):
        raise DataError(
            f"components {components}, filled {filled}: must be from 1 to {len(scores)}, the number of scores"
        )
    if train.sum() <= components + 2:
        raise FitError(
            f"{models.source}: {int(train.sum())} models for {components + 2} parameters: use fewer components"
        )
    for score, values in zip(scores, models.scores[train].T, strict=True):
        if np.isnan(values).all():
            raise DataError(f"{models.source}: no fitted model has the score {score}: leave this column out")


def _inputs(components: PrincipalComponents, scores: np.ndarray) -> dict[str, np.ndarray]:
    """Inputs of the law by name, from scores (m, s) without gaps."""
    return {f"PC{k}": column for k, column in enumerate(components.transform(scores).T, 1)}


def _model_rows(
    result: Fit,
    noise: ScoreNoise,
    inputs: dict[str, np.ndarray],
    models: ModelScores,
    train: np.ndarray,
    options: ObservationalOptions,
) -> list[dict[str, Any]]:
    used = np.flatnonzero(train | models.held_out)
    inputs = {name: column[used] for name, column in inputs.items()}
    predicted, (low, high) = result.predict(**inputs), result.predict_interval(**inputs)
    rng = np.random.default_rng(options.seed + 1)
    curve_Bm = result.predict_samples(**inputs)
    new_low, new_high = percentile_band(noise.draw(curve_Bm, options.items, rng), options.level)
    return [
        {
            "name": models.names[i],
            "y": float(models.y[i]),
            "predicted": float(predicted[row]),
            "interval": (float(new_low[row]), float(new_high[row])),
            "curve_interval": (float(low[row]), float(high[row])),
            "held_out": bool(models.held_out[i]),
        }
        for row, i in enumerate(used)
    ]


def _squared_errors(rows: list[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """Squared error of each model, and whether it was held out."""
    predicted, y = (np.array([row[name] for row in rows]) for name in ("predicted", "y"))
    return (predicted - y) ** 2, np.array([row["held_out"] for row in rows])


def _points(components: np.ndarray, models: ModelScores, train: np.ndarray, target: str) -> Points:
    missing = np.full(len(components), np.nan)
    scores = models.scores[~np.isnan(models.y) & ~models.undecided]
    without_target = int(np.isnan(models.y).sum())
    notes = [f"{int(np.isnan(scores).sum())} of {scores.size} scores are missing and were imputed"]
    if without_target:
        notes.append(f"{without_target} models have no {target}")
    if models.left_out:
        notes.append(models.left_out)
    notes.append("intervals treat the components as fixed")
    return Points(
        N=missing,
        D=missing,
        C=missing,
        L=missing,
        names=[models.names[i] for i in np.flatnonzero(train)],
        source=models.source,
        notes=tuple(notes),
        convention="scores from 0 to 1",
        extra={f"PC{k}": column for k, column in enumerate(components.T, 1)} | {"y": models.y[train]},
    )

"""Predicts a score at a target scale by three methods: a sigmoid of scale, a broken power law, and a two-step law.

sigmoid   the score as a sigmoid of log scale, from chance to a fitted maximum;
broken    1 - score as a power law with one break (Caballero 2023);
two-step  the loss of the task (minus the log-probability of the correct answer, nats per token) as a power law of
          scale, or of N and D if the target gives both; then the score from that loss (Bhagia 2024).

`interval` is the prediction interval of a new run's score on as many items, with the scatter between runs and the
binomial noise; `curve_interval` is that of the curve.

Key: r runs, B bootstrap samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.special import expit

from analysis import laws
from analysis.data.points import Points
from analysis.errors import DataError, FitError
from analysis.evals.noise import fit_noise, prediction
from analysis.evals.tasks import Finding
from analysis.fitting import two_step
from analysis.fitting.fit import fit
from analysis.fitting.options import FitOptions
from analysis.fitting.result import Fit
from analysis.laws.law import Array, Law
from analysis.uncertainty.resampling.score_noise import JEFFREYS, ScoreNoise

LOSS_LAWS = {"C": "power-c", "N": "power-n", "D": "power-d"}  # law of the task's loss by axis


def add_predictions(finding: Finding, axis: str, target: Mapping[str, float], options: FitOptions) -> Finding:
    """Adds the prediction of each method at the target to a finding.

    Args:
        finding: A task; without a score it is returned unchanged.
        axis: Scale of its curves: C, N, D or L.
        target: {axis: value}, or {"N": ..., "D": ...}.
        options: Bootstrap, level and seed of the fits.

    Returns:
        The finding with predictions; for a method that cannot be fitted, {"failed": reason}.
    """
    if finding.task.score is None:
        return finding
    points = _points(finding, axis)
    predictions: dict[str, dict[str, Any]] = {}
    for name, method in (("sigmoid", _sigmoid), ("broken", _broken), ("two-step", _two_step)):
        try:
            predictions[name] = method(points, axis, target, finding.task.chance, options)
        except (FitError, DataError) as error:
            predictions[name] = {"failed": str(error)}
    return replace(finding, target=dict(target), predictions=predictions)


def check_target(axis: str, target: Mapping[str, float]) -> None:
    """Raises DataError for a target that no method can predict from fits along this axis.

    Args:
        axis: Scale of the curves: C, N, D or L.
        target: Scale at which scores are predicted, by letter.
    """
    if not (set(target) == {axis} or (set(target) == {"N", "D"} and axis in "CND")):
        raise DataError(f"target {', '.join(target)}: allowed are {axis}, or N and D together")
    for name, value in target.items():
        if not 0 < value < float("inf"):
            raise DataError(f"target {name} = {value:g}: must be greater than 0")


def _points(finding: Finding, axis: str) -> Points:
    """The runs as points. Acc: score with Jeffreys' prior; Err: 1 - Acc; L: loss of the task; P: loss of the text."""
    task, included = finding.task, finding.included
    assert task.score is not None
    score = task.measures[task.score]
    n = np.maximum(score.items[included], 1.0)
    Acc = (score.mean[included] * n + JEFFREYS) / (n + 2 * JEFFREYS)
    logp = task.measures["logp"].mean[included] if "logp" in task.measures else np.full(included.sum(), np.nan)
    scales = {name: task.runs[name].to_numpy(float)[included] for name in "NDCL"}
    return Points(
        N=scales["N"],
        D=scales["D"],
        C=scales["C"],
        L=-logp,
        names=[str(run) for run in task.runs["run"][included]],
        weights=n / (Acc * (1 - Acc)),  # inverse binomial variance
        source=task.name,
        extra={"Acc": Acc, "Err": 1 - Acc, "x": scales[axis], "P": scales["L"], "items": n},
    )


def _sigmoid(
    points: Points, axis: str, target: Mapping[str, float], chance: float, options: FitOptions
) -> dict[str, Any]:
    if axis not in target:
        raise FitError(f"a sigmoid has one input: give the target in {axis}")
    if not np.isfinite(chance):
        raise FitError(f"the chance level is unknown: give --chance {points.source}=0.25 (0 for free answers)")
    law = score_sigmoid(axis == "L")
    return _prediction(points, law, {"x": target[axis]}, replace(options, fix={"floor": chance}))


def _broken(
    points: Points, axis: str, target: Mapping[str, float], chance: float, options: FitOptions
) -> dict[str, Any]:
    if axis not in target or axis == "L":
        raise FitError("a broken power law has one input, C, N or D: give the target in one of them")
    return _prediction(replace(points, L=points["Err"], weights=None), "bnsl", {"x": target[axis]}, options)


def _two_step(
    points: Points, axis: str, target: Mapping[str, float], chance: float, options: FitOptions
) -> dict[str, Any]:
    points = replace(points, weights=None)
    if not (np.isfinite(points.L).all() and (points.L > 0).all()):
        raise FitError("the task has no loss: its items have no log-probabilities of correct answers")
    inputs = {"x": target["L"]} if "L" in target else dict(target)
    if axis == "L":
        loss = fit(replace(points, extra={**points.extra, "x": points["P"]}), task_loss_law(), options)
    else:
        loss = fit(points, two_step.LOSS_LAW if len(target) > 1 else LOSS_LAWS[axis], options)
    losses_B = np.squeeze(loss.predict_samples(**inputs))
    steps = two_step.with_ideal_point(points)
    steps = replace(steps, extra={**steps.extra, "items": np.append(points["items"], np.nan)})
    score, noise = _fit_score(steps, two_step.ACCURACY_LAW, replace(options, seed=options.seed + 1))
    function = laws.LAWS[two_step.ACCURACY_LAW].function
    samples = function(losses_B, **score.samples)
    value = function(float(loss.predict(**inputs)), **score.params)
    verdict = [f"{line} (step {step})" for step, result in ((1, loss), (2, score)) for line in result.verdict]
    items = float(np.median(points["items"]))
    return prediction(float(value), samples, noise, items, options.level) | {
        "params": {**loss.params, **score.params},
        "verdict": [line for line in verdict if not line.startswith("converged")] or ["converged"],
    }


def _fit_score(points: Points, law: str | Law, options: FitOptions) -> tuple[Fit, ScoreNoise]:
    """A law of a score, with bootstrap samples that have the scatter of the runs and binomial noise, and this noise."""
    result = fit(points, law, replace(options, resampling="binomial"))
    return result, fit_noise(result, points)


def _prediction(points: Points, law: str | Law, inputs: Mapping[str, float], options: FitOptions) -> dict[str, Any]:
    """Prediction of a law of the score, or of the error as the loss L."""
    result, noise = _fit_score(points, law, options)
    value, curve_B = float(result.predict(**inputs)), np.squeeze(result.predict_samples(**inputs))
    if result.form is not None and result.form.output == "L":
        value, curve_B = 1 - value, 1 - curve_B
    items = float(np.median(points["items"]))
    return prediction(value, curve_B, noise, items, options.level) | {
        "params": result.params,
        "verdict": list(result.verdict),
    }


def score_sigmoid(decreasing: bool = False) -> Law:
    """Returns the law floor + (top - floor)·sigmoid(s·ln(x / x0)) of a score (Wei 2022).

    Args:
        decreasing: Whether the score increases as x decreases, as for a loss.
    """
    sign = -1.0 if decreasing else 1.0

    def score_of_scale(x: Array, *, floor: Array, top: Array, x0: Array, s: Array) -> Array:
        return floor + (top - floor) * expit(sign * s * (np.log(x) - np.log(x0)))

    def starts(inputs: tuple[np.ndarray, ...], y: np.ndarray) -> dict[str, np.ndarray]:
        """Starting values: middles within and beyond the points, several slopes, top at the highest point or at 1."""
        x = np.log(inputs[0])
        span = max(float(np.ptp(x)), 1e-9)
        beyond = (x.min() if decreasing else x.max()) + sign * 0.3 * span
        middle = np.append(np.quantile(x, [0.2, 0.5, 0.8]), beyond)
        slopes, tops = np.array([2.0, 8.0, 32.0]) / span, [min(float(y.max()), 0.999), 1.0]
        middles, s, top = (a.ravel() for a in np.meshgrid(middle, slopes, tops))
        return {"floor": np.zeros_like(s), "top": top, "x0": np.exp(middles), "s": s}

    return Law(
        score_of_scale,
        "Wei 2022: a logistic function of log scale from chance to a maximum",
        {},
        bounds={"floor": (0.0, 1.0), "top": (0.0, 1.0), "x0": (1e-6, 1e45), "s": (1e-3, 1e3)},
        output="Acc",
        objective="mse",
        units={"Acc": "share of answers", "x": "FLOPs, parameters, tokens or nats"},
        signed=("Acc",),
        starts_from_data=starts,
    )


def task_loss_law() -> Law:
    """Returns the law E + A·x^gamma of the loss of a task as a function of the held-out loss x of the text."""

    def task_loss(x: Array, *, E: Array, A: Array, gamma: Array) -> Array:
        return E + A * x**gamma

    return Law(
        task_loss,
        "a power of the held-out loss",
        starts={"gamma": (0.5, 1.0, 2.0, 4.0, 8.0)},
        linear=("E", "A"),
        bounds={"gamma": (1e-2, 50.0)},
        constants=("E",),
        units={"x": "nats per token"},
    )

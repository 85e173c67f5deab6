"""A score foretold at a target, three ways: a sigmoid of scale, a broken power law of the errors, and two steps.

sigmoid  the score against log scale, from chance to a top of its own;
broken   1 − score as a power law with one break (Caballero 2023);
two-step the task's loss (minus the log-probability of the right answer, nats a token) by a power law of scale, then the
         score from that loss (Bhagia 2024); of N and D together where the target gives both.

Key: r runs, B draws.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.special import expit

from analysis import laws
from analysis.data.points import Points
from analysis.errors import DataError, FitError
from analysis.evals.tasks import Finding
from analysis.fitting import two_step
from analysis.fitting.fit import fit as fit_law
from analysis.fitting.result import Fit
from analysis.laws.law import Array, Law
from analysis.uncertainty import intervals

SUMS = {"C": "power-c", "N": "power-n", "D": "power-d"}


def at(one: Finding, axis: str, target: Mapping[str, float], bootstrap: int, level: float, seed: int) -> Finding:
    """The finding with what each fit foretells at the target; a fit that cannot be made says why."""
    if one.task.score is None:
        return one
    how: dict[str, Any] = {"bootstrap": max(bootstrap, 100), "level": level, "seed": seed}
    points = _points(one, axis)
    told: dict[str, Any] = {}
    ways: dict[str, Callable[[], dict[str, Any]]] = {
        "sigmoid": lambda: _sigmoid(one, points, axis, target, how),
        "broken": lambda: _broken(points, axis, target, how),
        "two-step": lambda: _two_step(points, axis, target, how),
    }
    for name, way in ways.items():
        try:
            told[name] = way()
        except (FitError, DataError) as error:
            told[name] = {"failed": str(error)}
    return replace(one, told={"target": dict(target), "predicted": told})


def check(axis: str, target: Mapping[str, float]) -> None:
    """DataError for a target that no fit over this axis can be asked for."""
    if not (set(target) == {axis} or (set(target) == {"N", "D"} and axis in "CND")):
        raise DataError(f"target {', '.join(target)}: allowed are {axis}, or N and D together")
    for name, value in target.items():
        if not 0 < value < float("inf"):
            raise DataError(f"target {name} = {value:g}: must be greater than 0")


def _points(one: Finding, axis: str) -> Points:
    """The runs that the curve is of. Acc: the score, half an item added to each side; L: the task's loss."""
    task, kept = one.task, one.kept
    assert task.score is not None
    score = task.measures[task.score]
    n = np.maximum(score.items[kept], 1.0)
    Acc = (score.mean[kept] * n + 0.5) / (n + 1)
    lost = task.measures["logp"].mean[kept] if "logp" in task.measures else np.full(kept.sum(), np.nan)
    place = {name: task.runs[name].to_numpy(float)[kept] for name in "NDCL"}
    more = {"Acc": Acc, "Err": 1 - Acc, "x": place[axis], "P": place["L"]}
    weights = n / (Acc * (1 - Acc))  # binomial
    return Points(
        N=place["N"], D=place["D"], C=place["C"], L=-lost, names=[str(r) for r in task.runs["run"][kept]],
        weights=weights, source=task.name, more=more,
    )  # fmt: skip


def _sigmoid(
    one: Finding, points: Points, axis: str, target: Mapping[str, float], how: dict[str, Any]
) -> dict[str, Any]:
    if axis not in target:
        raise FitError(f"a sigmoid is of one input: give a target in {axis}")
    found = fit_law(points, rise(axis == "L"), fix={"floor": one.task.chance}, **how)
    return _told(found, {"x": target[axis]})


def _broken(points: Points, axis: str, target: Mapping[str, float], how: dict[str, Any]) -> dict[str, Any]:
    if axis not in target or axis == "L":
        raise FitError("a broken power law is of C, N or D alone: give a target in one of them")
    found = fit_law(replace(points, L=points["Err"], weights=None), "bnsl", **how)
    return _told(found, {"x": target[axis]}, turned=True)


def _two_step(points: Points, axis: str, target: Mapping[str, float], how: dict[str, Any]) -> dict[str, Any]:
    points = replace(points, weights=None)
    if not (np.isfinite(points.L).all() and (points.L > 0).all()):
        raise FitError("the task has no loss: no log-probability of right answers was kept")
    if set(target) == {"N", "D"}:
        return _told(two_step.fit(points, **how), target)
    if axis == "L":
        loss = fit_law(replace(points, more={**points.more, "x": points["P"]}), passed_on(), **how)
        first = {"x": target["L"]}
    else:
        loss, first = fit_law(points, SUMS[axis], **how), dict(target)
    score = fit_law(two_step.with_ideal(points), "sigmoid", **{**how, "seed": how["seed"] + 1})
    function = laws.LAWS["sigmoid"].function
    drawn = function(np.squeeze(loss.predict_draws(**first)), **score.draws)
    value = function(float(loss.predict(**first)), **score.params)
    verdict = [f"{said} (step {step})" for step, of in ((1, loss), (2, score)) for said in of.verdict]
    return {
        "value": float(np.clip(value, 0, 1)),
        "interval": [float(np.clip(end, 0, 1)) for end in intervals.interval(drawn, how["level"])],
        "params": {**loss.params, **score.params},
        "verdict": [said for said in verdict if not said.startswith("converged")] or ["converged"],
    }


def _told(found: Fit, target: Mapping[str, float], turned: bool = False) -> dict[str, Any]:
    """Value and interval at the target; of errors turned into a score."""
    value, ends = float(found.predict(**target)), [float(np.squeeze(e)) for e in found.predict_interval(**target)]
    if turned:
        value, ends = 1 - value, [1 - ends[1], 1 - ends[0]]
    ends = [float(np.clip(e, 0, 1)) for e in ends]
    return {
        "value": float(np.clip(value, 0, 1)),
        "interval": ends,
        "params": found.params,
        "verdict": list(found.verdict),
    }


def rise(falls: bool = False) -> Law:
    """floor + (top − floor)·σ(s·ln(x/x0)) as a law; falls: of an input that gets better as it falls, a loss."""
    sign = -1.0 if falls else 1.0

    def ability(x: Array, *, floor: Array, top: Array, x0: Array, s: Array) -> Array:
        return floor + (top - floor) * expit(sign * s * (np.log(x) - np.log(x0)))

    def seeds(inputs: tuple[np.ndarray, ...], y: np.ndarray) -> dict[str, np.ndarray]:
        """Middles from within the points to beyond them, slow and steep, up to the highest point or to 1."""
        x = np.log(inputs[0])
        span = max(float(np.ptp(x)), 1e-9)
        middle = np.append(np.quantile(x, [0.2, 0.5, 0.8]), (x.min() if falls else x.max()) + sign * 0.3 * span)
        middles, s, top = (
            a.ravel() for a in np.meshgrid(middle, np.array([2.0, 8.0, 32.0]) / span, [min(float(y.max()), 0.999), 1.0])
        )
        return {"floor": np.zeros_like(s), "top": top, "x0": np.exp(middles), "s": s}

    return Law(
        ability,
        "Wei 2022: from chance to a top, a logistic of log scale",
        {},
        bounds={"floor": (0.0, 1.0), "top": (0.0, 1.0), "x0": (1e-6, 1e45), "s": (1e-3, 1e3)},
        output="Acc",
        objective="mse",
        units={"Acc": "share of answers", "x": "FLOPs, parameters, tokens or nats"},
        signed=("Acc",),
        seeds=seeds,
    )


def passed_on() -> Law:
    """E + A·x^γ: a task's loss from the loss of the text, x."""

    def on(x: Array, *, E: Array, A: Array, gamma: Array) -> Array:
        return E + A * x**gamma

    return Law(on, "a power of the text's loss", {"gamma": (0.5, 1.0, 2.0, 4.0, 8.0)}, ("E", "A"),
               {"gamma": (1e-2, 50.0)}, constants=("E",), units={"x": "nats a token"})  # fmt: skip

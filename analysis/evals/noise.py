"""Noise of scores in predictions: bootstrap of a curve with binomial noise, and intervals of a new run's score.

Residuals alone do not measure the noise: equal scores of all runs have none, yet each is a share of n items.

Key: B bootstrap samples, r runs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from analysis.data.points import Points
from analysis.evals.series import JEFFREYS
from analysis.fitting.parametric import make_problem
from analysis.fitting.result import Fit
from analysis.laws.law import constrain
from analysis.solver.minimise import minimise
from analysis.solver.objective import make_objective
from analysis.uncertainty.intervals import percentile_interval
from analysis.uncertainty.score_noise import ScoreNoise, estimate_noise

REFIT_STEPS, REFIT_TOLERANCE = 60, 1e-7  # as of other bootstraps


def fit_noise(fit: Fit, points: Points) -> ScoreNoise:
    """Estimates the noise of the measured scores about a fitted curve.

    Args:
        fit: A law of the score "Acc", or of the error as the loss L.
        points: Its points, with "items" in `extra`; points with NaN items have no noise.
    """
    score, fitted = _shares(fit, points[_output(fit)]), _fitted(fit, points)
    noisy = np.isfinite(points["items"])
    free = len(fit.params) - len(fit.constraints)
    return estimate_noise(score[noisy], fitted[noisy], points["items"][noisy], free)


def resample_scores(fit: Fit, points: Points, noise: ScoreNoise, count: int, seed: int) -> Fit:
    """Returns the fit with bootstrap samples from refits to drawn scores: the curve plus scatter and binomial noise.

    Args:
        fit: A law of the score "Acc", or of the error as the loss L.
        points: Its points, with "items" in `extra`.
        noise: Noise of the scores.
        count: Number of samples.
        seed: Seed of the draws.
    """
    assert fit.form is not None
    rng, fixed = np.random.default_rng(seed), {k: v for k, v in fit.constraints.items() if not isinstance(v, str)}
    law = constrain(fit.form, fixed)
    objective = make_objective(fit.objective["name"], None, None)
    problem = make_problem(points, law, objective)
    noisy = np.isfinite(points["items"])
    curve_Br = np.tile(_fitted(fit, points)[noisy], (count, 1))
    items = points["items"][noisy]
    hits_Br = items * noise.draw(curve_Br, items, rng)
    output_Br = np.tile(points[_output(fit)], (count, 1))
    output_Br[:, noisy] = _shares(fit, (hits_Br + JEFFREYS) / (items + 2 * JEFFREYS))
    u_P = problem.coordinates({name: np.array([fit.params[name]]) for name in law.parameters})[0]
    resampled = problem.with_data(objective.transform(output_Br), problem.weights)
    u_BP = minimise(resampled, np.tile(u_P, (count, 1)), REFIT_STEPS, REFIT_TOLERANCE)[0]
    samples = problem.params(u_BP)
    samples |= {name: np.full(count, value) for name, value in fixed.items()}
    intervals = {name: percentile_interval(samples[name], fit.level) for name in fit.params}
    return replace(fit, samples={name: samples[name] for name in fit.params}, intervals=intervals)


def prediction(value: float, curve_B: np.ndarray, noise: ScoreNoise, items: float, level: float) -> dict[str, Any]:
    """Returns a predicted score with the interval of a new run's score and the interval of the curve.

    Args:
        value: The curve at the target.
        curve_B: Bootstrap samples of the curve at the target.
        noise: Noise of the scores.
        items: Number of items of the task.
        level: Coverage of the intervals.
    """
    rng = np.random.default_rng(0)
    curve_B = np.clip(curve_B[np.isfinite(curve_B)], 0, 1)
    new_B = noise.draw(curve_B, items, rng)
    return {
        "value": float(np.clip(value, 0, 1)),
        "interval": list(percentile_interval(new_B, level)),
        "curve_interval": list(percentile_interval(curve_B, level)),
        "items": float(items),
        "dispersion": noise.dispersion,
    }


def _output(fit: Fit) -> str:
    assert fit.form is not None
    return fit.form.output


def _shares(fit: Fit, output: np.ndarray) -> np.ndarray:
    """Shares of correct answers from outputs, and the reverse: a law of the loss L predicts the error."""
    return 1 - output if _output(fit) == "L" else output


def _fitted(fit: Fit, points: Points) -> np.ndarray:
    """Fitted shares of correct answers (r,)."""
    assert fit.form is not None
    return _shares(fit, np.asarray(fit.predict(**{name: points[name] for name in fit.form.inputs}), float))

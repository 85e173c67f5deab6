"""Noise of scores in predictions: intervals of the score of a new run, and of the curve.

Key: B bootstrap samples, r runs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from analysis.data.points import Points
from analysis.fitting.result import Fit
from analysis.uncertainty.intervals import percentile_interval
from analysis.uncertainty.resampling.score_noise import ScoreNoise, estimate_noise


def fit_noise(fit: Fit, points: Points) -> ScoreNoise:
    """Estimates the noise of the measured scores about a fitted curve.

    Args:
        fit: A law of the score, or of the error.
        points: Its points, with "items" in `extra`; points with NaN items have no noise.
    """
    assert fit.form is not None
    fitted = np.asarray(fit.predict(**{name: points[name] for name in fit.form.inputs}), float)
    noisy = np.isfinite(points["items"])
    free = len(fit.params) - len(fit.constraints)
    return estimate_noise(points[fit.form.output][noisy], fitted[noisy], points["items"][noisy], free)


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

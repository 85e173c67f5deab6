"""Noise of scores about a curve: scatter between models and binomial noise of the items.

The variance of a score about the curve p is φ·p(1 − p)/n with n items; the dispersion φ is estimated from the residuals
(quasi-binomial: McCullagh and Nelder 1989, section 4.5) and is at least 1, the binomial variance. Without a number of
items φ is relative to p(1 − p), and has no lower limit.

Key: B samples, n scores.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SMALLEST_SHARE = 0.005  # shares nearer to 0 or 1 have the variance of this share


@dataclass(frozen=True)
class ScoreNoise:
    """Variance of scores about a curve.

    Attributes:
        dispersion: Variance relative to p(1 - p)/items, or to p(1 - p) without items.
        dof: Residual degrees of freedom of the estimate.
        binomial: Whether numbers of items are known.
    """

    dispersion: float
    dof: int
    binomial: bool

    def dispersions(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Returns samples of the dispersion (B,), which a few residuals determine only roughly."""
        samples_B = self.dispersion * self.dof / rng.chisquare(self.dof, count)
        return np.maximum(samples_B, 1.0) if self.binomial else samples_B


def estimate_noise(score: np.ndarray, fitted: np.ndarray, items: np.ndarray | None, parameters: int) -> ScoreNoise:
    """Estimates the noise of scores about a fitted curve.

    Args:
        score: Scores, shares from 0 to 1 (n,).
        fitted: The curve at the scores (n,).
        items: Number of items of each score (n,), None if unknown.
        parameters: Number of fitted parameters.
    """
    p = np.clip(fitted, SMALLEST_SHARE, 1 - SMALLEST_SHARE)
    dof = max(len(score) - parameters, 1)
    squares = (score - fitted) ** 2 / (p * (1 - p)) * (1.0 if items is None else items)
    dispersion = float(squares.sum() / dof)
    return ScoreNoise(dispersion if items is None else max(dispersion, 1.0), dof, items is not None)


def draw_scores(
    curve: np.ndarray, dispersion: np.ndarray | float, items: np.ndarray | float | None, rng: np.random.Generator
) -> np.ndarray:
    """Draws a measured score for each value of the curve.

    Args:
        curve: Values of the curve, of any shape.
        dispersion: As in ScoreNoise; broadcast against `curve`.
        items: Number of items; broadcast against `curve`. None: no binomial part.
        rng: Random generator.
    """
    p = np.clip(curve, SMALLEST_SHARE, 1 - SMALLEST_SHARE)
    between = np.asarray(dispersion) if items is None else np.maximum(np.asarray(dispersion) - 1, 0) / items
    share = np.clip(curve + np.sqrt(between * p * (1 - p)) * rng.standard_normal(np.shape(curve)), 0, 1)
    if items is None:
        return np.asarray(share)
    counts = np.maximum(np.round(items), 1).astype(int)
    return np.asarray(rng.binomial(counts, share) / counts)

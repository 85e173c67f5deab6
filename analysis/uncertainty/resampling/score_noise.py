"""Noise of scores about a curve: scatter between models and binomial noise of the items.

With n items the variance of a score about the curve p is p(1 − p)/n, the binomial variance, plus σ²(p(1 − p))²: scatter
of constant size in the logit (Williams 1982, model III). Without a number of items it is φ·(p(1 − p))^γ, where γ = 1 is
the quasi-binomial model; each γ of EXPONENTS has the weight of its likelihood, because few residuals do not determine
it.

Key: B samples, n scores, G exponents.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

JEFFREYS = 0.5  # pseudo-counts of correct and wrong items (Jeffreys prior), so that a share of 0 has a variance
SMALLEST_SHARE = 0.005  # shares nearer to 0 or 1 have the variance of this share
EXPONENTS = np.array([0.0, 0.5, 1.0, 1.5, 2.0])


@dataclass(frozen=True)
class ScoreNoise:
    """Variance of scores about a curve.

    Attributes:
        factors: φ of each of EXPONENTS (G,).
        weights: Weight of each of EXPONENTS (G,), which sum to 1.
        dispersion: Variance relative to p(1 - p)/items, at least 1; or to p(1 - p) without items.
        dof: Residual degrees of freedom of the estimate.
        moments: With items: sums of the squared residuals, of p(1 - p)/items, and of (p(1 - p))², over the scores; None
            if their numbers are unknown.
    """

    factors: np.ndarray
    weights: np.ndarray
    dispersion: float
    dof: int
    moments: tuple[float, float, float] | None

    def draw(self, curve: np.ndarray, items: np.ndarray | float | None, rng: np.random.Generator) -> np.ndarray:
        """Draws a measured score for each sample of the curve; the size of the scatter is drawn once for each sample.

        Args:
            curve: Samples of the curve (B, ...).
            items: Number of items, broadcast against `curve`; None if unknown.
            rng: Random generator.
        """
        axes = (slice(None), *(None,) * (np.ndim(curve) - 1))
        pq, chi = _binomial_variance(curve), self.dof / rng.chisquare(self.dof, len(curve))
        if self.moments is None or items is None:
            index_B = rng.choice(len(EXPONENTS), len(curve), p=self.weights)
            variance = (self.factors[index_B] * chi)[axes] * pq ** EXPONENTS[index_B][axes]
            return np.clip(curve + np.sqrt(variance) * rng.standard_normal(np.shape(curve)), 0, 1)
        squares, binomial, logit_variance = self.moments
        scatter = np.maximum(squares * chi - binomial, 0)[axes] / logit_variance * pq**2
        share = np.clip(curve + np.sqrt(scatter) * rng.standard_normal(np.shape(curve)), 0, 1)
        counts = np.maximum(np.round(items), 1).astype(int)
        return np.asarray(rng.binomial(counts, share) / counts)


def estimate_noise(score: np.ndarray, fitted: np.ndarray, items: np.ndarray | None, parameters: int) -> ScoreNoise:
    """Estimates the noise of scores about a fitted curve.

    Args:
        score: Scores, shares from 0 to 1 (n,).
        fitted: The curve at the scores (n,).
        items: Number of items of each score (n,), None if unknown.
        parameters: Number of fitted parameters.
    """
    n, pq_n, squares_n = len(score), _binomial_variance(fitted), (score - fitted) ** 2
    dof = max(n - parameters, 1)
    pq_Gn = pq_n ** EXPONENTS[:, None]
    factors = np.maximum((squares_n / pq_Gn).sum(-1) / dof, 1e-12)
    log_likelihood = -0.5 * (dof * np.log(factors) + dof * np.log(pq_Gn).mean(-1))
    weights = np.exp(log_likelihood - log_likelihood.max())
    weights /= weights.sum()
    if items is None:
        return ScoreNoise(factors, weights, float(factors[EXPONENTS == 1][0]), dof, None)
    moments = (float(squares_n.sum()) * n / dof, float((pq_n / items).sum()), float((pq_n**2).sum()))
    dispersion = max(float((squares_n * items / pq_n).sum()) / dof, 1.0)
    return ScoreNoise(factors, weights, dispersion, dof, moments)


def _binomial_variance(share: np.ndarray) -> np.ndarray:
    """Variance p(1 - p) of one answer."""
    p = np.clip(share, SMALLEST_SHARE, 1 - SMALLEST_SHARE)
    return np.asarray(p * (1 - p))

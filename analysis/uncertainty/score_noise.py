"""Noise of scores about a curve: scatter between models and binomial noise of the items.

The variance of a score about the curve p is φ·p(1 − p)/n with n items (quasi-binomial: McCullagh and Nelder 1989,
section 4.5), and at least p(1 − p)/n, the binomial variance. Without a number of items it is φ·(p(1 − p))^γ, where γ = 1
is as above and γ = 2 scatter of constant size in the logit (Williams 1982, models II and III); each γ of EXPONENTS has
the weight of its likelihood, because few residuals do not determine it.

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
        dispersion: Variance relative to p(1 - p)/items, or to p(1 - p) without items: φ at γ = 1.
        dof: Residual degrees of freedom of the estimate.
        binomial: Whether numbers of items are known.
    """

    factors: np.ndarray
    weights: np.ndarray
    dispersion: float
    dof: int
    binomial: bool

    def draw(self, curve: np.ndarray, items: np.ndarray | float | None, rng: np.random.Generator) -> np.ndarray:
        """Draws a measured score for each sample of the curve; φ and γ are drawn once for each sample.

        Args:
            curve: Samples of the curve (B, ...).
            items: Number of items, broadcast against `curve`; None if unknown.
            rng: Random generator.
        """
        count, axes = len(curve), (slice(None), *(None,) * (np.ndim(curve) - 1))
        index_B = rng.choice(len(EXPONENTS), count, p=self.weights)
        factor = (self.factors[index_B] * self.dof / rng.chisquare(self.dof, count))[axes]
        pq = _binomial_variance(curve)
        variance = factor * pq ** EXPONENTS[index_B][axes]
        between = variance if items is None else np.maximum(variance - pq, 0) / items
        share = np.clip(curve + np.sqrt(between) * rng.standard_normal(np.shape(curve)), 0, 1)
        if items is None:
            return np.asarray(share)
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
    dof, pq_n = max(len(score) - parameters, 1), _binomial_variance(fitted)
    squares_n = (score - fitted) ** 2 * (1.0 if items is None else items)
    pq_Gn = pq_n ** EXPONENTS[:, None]
    factors = np.maximum((squares_n / pq_Gn).sum(-1) / dof, 1e-12)
    log_likelihood = -0.5 * (dof * np.log(factors) + dof * np.log(pq_Gn).mean(-1))
    weights = np.exp(log_likelihood - log_likelihood.max()) if items is None else (EXPONENTS == 1).astype(float)
    dispersion = float(factors[EXPONENTS == 1][0])
    return ScoreNoise(
        factors, weights / weights.sum(), dispersion if items is None else max(dispersion, 1.0), dof, items is not None
    )


def _binomial_variance(share: np.ndarray) -> np.ndarray:
    """Variance p(1 - p) of one answer."""
    p = np.clip(share, SMALLEST_SHARE, 1 - SMALLEST_SHARE)
    return np.asarray(p * (1 - p))

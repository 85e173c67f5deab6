"""Predictive distribution of the loss of a new run: a mixture of laws, their uncertainty, and the scatter of runs.

Each component is a law with samples of its prediction; a new run scatters about a sample by Student's t in ln L, whose
scale and degrees of freedom come from the residuals of the fit (as `analysis.uncertainty.new_run.draw_scatter`).

Key: K laws, B samples, Q probabilities or losses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import stdtr, stdtrit

BISECTIONS = 80  # halvings of the bracket of a quantile: to the last bit
LEVELS = 999  # quantiles, at 1/1000 to 999/1000, over which the CRPS is integrated
DIGITS = 7  # decimals of ln L in JSON: relative errors of 5e-8
MIN_SCALE = 1e-9  # scale of the scatter of points that a law fits exactly


@dataclass(frozen=True)
class Component:
    """One law of the mixture.

    Attributes:
        law: Name of the law.
        weight: Weight in the mixture; the weights sum to 1.
        locations: ln of the predicted loss for each sample of the law (B,).
        scale: Scale of the scatter of runs in ln L.
        dof: Degrees of freedom of the scatter: points minus parameters.
    """

    law: str
    weight: float
    locations: np.ndarray
    scale: float
    dof: int


@dataclass(frozen=True)
class Predictive:
    """Distribution of the loss of a new run."""

    components: tuple[Component, ...]

    def cdf(self, loss: float | np.ndarray) -> np.ndarray:
        """Returns the probability of a loss of at most `loss` (Q,)."""
        return self._mix(loss, lambda z, dof, scale: stdtr(dof, z))

    def density(self, loss: float | np.ndarray) -> np.ndarray:
        """Returns the probability density at `loss` (Q,), per unit of the loss."""
        from scipy.stats import t  # here: its import takes 0.3 s, and only scores need it

        loss = np.asarray(loss, np.float64)
        return np.asarray(self._mix(loss, lambda z, dof, scale: t.pdf(z, dof) / scale) / loss)

    def quantile(self, probability: float | np.ndarray) -> np.ndarray:
        """Returns the losses (Q,) below which a new run lies with the given probabilities, by bisection."""
        p_Q = np.asarray(probability, np.float64)
        ends = [c.locations + c.scale * stdtrit(c.dof, q) for c in self.components for q in (p_Q.min(), p_Q.max())]
        low, high = (np.full(p_Q.shape, f([f(e) for e in ends])) for f in (min, max))
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            below = self.cdf(np.exp(middle)) < p_Q
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return np.asarray(np.exp((low + high) / 2))

    def interval(self, level: float) -> tuple[float, float]:
        """Returns the central interval with a coverage of `level`."""
        low, high = self.quantile(np.array([(1 - level) / 2, (1 + level) / 2]))
        return float(low), float(high)

    def crps(self, loss: float) -> float:
        """Returns the continuous ranked probability score, in the unit of the loss; 0 is best (Gneiting 2007)."""
        from scoringrules import crps_quantile  # here, because only scores need it

        levels = np.arange(1, LEVELS + 1) / (LEVELS + 1)
        return float(crps_quantile(loss, self.quantile(levels), levels, backend="numpy"))

    def log_score(self, loss: float) -> float:
        """Returns minus the logarithm of the density at the loss; lower is better (Good 1952)."""
        return float(-np.log(self.density(loss)))

    def _mix(self, loss: float | np.ndarray, term: Any) -> np.ndarray:
        y = np.log(np.asarray(loss, np.float64))[..., None]
        parts = (c.weight * np.mean(term((y - c.locations) / c.scale, c.dof, c.scale), -1) for c in self.components)
        return np.asarray(sum(parts))

    def to_json(self) -> list[dict[str, Any]]:
        """Returns the components in types of JSON, with ln L rounded to DIGITS decimals."""
        return [
            {
                "law": c.law,
                "weight": c.weight,
                "ln_loss": [round(float(x), DIGITS) for x in c.locations],
                "scale": c.scale,
                "dof": c.dof,
            }
            for c in self.components
        ]


def from_json(components: Sequence[dict[str, Any]]) -> Predictive:
    """Returns the distribution whose `to_json` is given."""
    return Predictive(
        tuple(
            Component(
                c["law"], float(c["weight"]), np.asarray(c["ln_loss"], np.float64), float(c["scale"]), int(c["dof"])
            )
            for c in components
        )
    )


def mixture(
    laws: Sequence[str], locations: Sequence[np.ndarray], residuals: Sequence[tuple[np.ndarray, int]],
    weights: Sequence[float], spread: float,
) -> Predictive:  # fmt: skip
    """Returns the mixture of laws.

    Args:
        laws: Names of the K laws.
        locations: ln of the predicted loss for the samples of each law (B,).
        residuals: Residuals of each law in ln L (n,), and its number of fitted parameters.
        weights: Weight of each law.
        spread: Factor by which the samples are moved away from the mean of the mixture (`calibrated_spread`).
    """
    centre = float(sum(w * np.mean(x) for w, x in zip(weights, locations, strict=True)))
    components = []
    for law, x, (residual, parameters), weight in zip(laws, locations, residuals, weights, strict=True):
        dof = max(len(residual) - parameters, 1)
        scale = max(float(np.sqrt(np.sum(residual**2) / dof)), MIN_SCALE)
        components.append(Component(law, float(weight), centre + spread * (x - centre), scale, dof))
    return Predictive(tuple(components))

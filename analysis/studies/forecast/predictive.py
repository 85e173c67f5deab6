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
from scipy.special import gammaln, stdtr, stdtrit

GRID = 1001  # losses at which the distribution function is computed for quantiles
NEWTON_STEPS = 4  # from an error of 1e-6 to the last bits
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
        return self._mix(loss, _t_distribution)

    def density(self, loss: float | np.ndarray) -> np.ndarray:
        """Returns the probability density at `loss` (Q,), per unit of the loss."""
        loss = np.asarray(loss, np.float64)
        return np.asarray(self._mix(loss, _t_density) / loss)

    def quantile(self, probability: float | np.ndarray) -> np.ndarray:
        """Returns the losses (Q,) below which a new run lies with the given probabilities.

        The distribution function is interpolated on a grid; Newton's method inside the grid's cell does the rest.
        """
        p_Q = np.asarray(probability, np.float64)
        ends = [c.locations + c.scale * stdtrit(c.dof, q) for c in self.components for q in (p_Q.min(), p_Q.max())]
        low, high = (f([f(e) for e in ends]) for f in (min, max))
        grid = np.linspace(low - MIN_SCALE, high + MIN_SCALE, GRID)
        with np.errstate(over="ignore"):  # of samples that are infinite
            below = self.cdf(np.exp(grid))
        cell = np.clip(np.searchsorted(below, p_Q), 1, GRID - 1)
        x = np.interp(p_Q, below, grid)
        for _ in range(NEWTON_STEPS):
            with np.errstate(divide="ignore", invalid="ignore"):
                step = (self._mix(np.exp(x), _t_distribution) - p_Q) / self._mix(np.exp(x), _t_density)
            x = np.clip(np.where(np.isfinite(step), x - step, x), grid[cell - 1], grid[cell])
        return np.asarray(np.exp(x))

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


def _t_distribution(z: np.ndarray, dof: int, scale: float) -> np.ndarray:
    return np.asarray(stdtr(dof, z))


def _t_density(z: np.ndarray, dof: int, scale: float) -> np.ndarray:
    """Density of Student's t with a scale, per unit of ln L."""
    constant = gammaln((dof + 1) / 2) - gammaln(dof / 2) - 0.5 * np.log(dof * np.pi)
    return np.asarray(np.exp(constant - (dof + 1) / 2 * np.log1p(z**2 / dof)) / scale)


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

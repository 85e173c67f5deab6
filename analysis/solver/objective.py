"""Objectives of a fit: a sum over points of ρ(r), with r the predicted minus the measured output on a link scale.

Key: n points; r residuals, ρ the loss of a residual, τ the asymmetry.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from analysis.errors import DataError


@dataclass(frozen=True)
class Link:
    """The scale of residuals: a function of the output, its inverse and its derivative."""

    forward: Callable[[Any], Any]
    inverse: Callable[[Any], Any]
    derivative: Callable[[Any], Any]
    infimum: float  # outputs must be greater than this


LINKS = {
    "log": Link(np.log, np.exp, lambda x: 1 / x, 0.0),
    "log1p": Link(np.log1p, np.expm1, lambda x: 1 / (1 + x), -1.0),
    "identity": Link(lambda x: x, lambda y: y, np.ones_like, -np.inf),
}


@dataclass(frozen=True)
class Objective:
    """A sum (not a mean) over points of ρ(r), with r = link(L̂) − link(L).

    Attributes:
        name: Name in OBJECTIVES.
        link: Name in LINKS.
        delta: Residual at which Huber's ρ becomes linear, on the link scale; None is least squares.
        smooth: As delta, for least absolute deviations; used only in the search.
        undertuned: τ of Newey and Powell (1987), at most 1/2. Points above the law have the weight 2τ, points below it
            2(1 − τ); 1/2 is symmetric.
    """

    name: str
    link: str
    delta: float | None = None
    smooth: float | None = None
    undertuned: float = 0.5

    def transform(self, output: np.ndarray) -> np.ndarray:
        """Returns the link of an output."""
        return np.asarray(LINKS[self.link].forward(output))

    def inverse(self, y: np.ndarray) -> np.ndarray:
        """Returns the output whose link is y."""
        return np.asarray(LINKS[self.link].inverse(y))

    def link_derivative(self, output: np.ndarray) -> np.ndarray:
        """Returns the derivative of the link at an output."""
        return np.asarray(LINKS[self.link].derivative(output))

    @property
    def threshold(self) -> float | None:
        """|r| at which ρ becomes linear in the search; None for least squares."""
        return self.smooth if self.delta is None else self.delta

    def _asymmetry(self, r: np.ndarray) -> np.ndarray | float:
        """Weight of each point by the sign of its residual."""
        if self.undertuned == 0.5:
            return 1.0
        return np.where(r < 0, 2 * self.undertuned, 2 * (1 - self.undertuned))

    def rho(self, r: np.ndarray) -> np.ndarray:
        """Returns ρ(r), the terms of the sum in the search (half of squares)."""
        if self.threshold is None:
            return 0.5 * r * r * self._asymmetry(r)
        clipped = np.clip(r, -self.threshold, self.threshold)
        return clipped * (r - 0.5 * clipped) * self._asymmetry(r)

    def psi(self, r: np.ndarray) -> np.ndarray:
        """Returns ψ(r) = ρ′(r)."""
        return (r if self.threshold is None else np.clip(r, -self.threshold, self.threshold)) * self._asymmetry(r)

    def curvature(self, r: np.ndarray, tail: np.ndarray | float) -> np.ndarray:
        """Returns the curvature of a step in place of ρ″(r): 1 where ρ is quadratic, tail·(ds/dr)² where it is linear.

        Args:
            r: Residuals.
            tail: 1 gives Levenberg–Marquardt steps on s = sign(r)·√(2ρ(r)), which are safe far from the minimum; 0
                gives Newton steps (ρ″ = 0 where ρ is linear), which are fast near the minimum.
        """
        if self.threshold is None:
            return np.ones_like(r) * self._asymmetry(r)
        excess = 2 * np.abs(r) - self.threshold
        return np.where(excess <= self.threshold, 1.0, tail * self.threshold / excess) * self._asymmetry(r)

    def terms(self, r: np.ndarray, tail: np.ndarray | float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns ρ(r), ψ(r) and the curvature of a step, in fewer passes over the residuals than each on its own.

        Args:
            r: Residuals.
            tail: As in `curvature`.
        """
        if self.threshold is None or self.undertuned != 0.5:
            return self.rho(r), self.psi(r), self.curvature(r, tail)
        psi = np.clip(r, -self.threshold, self.threshold)
        rho = psi * -0.5
        rho += r
        rho *= psi
        curvature = np.abs(r)
        quadratic = curvature <= self.threshold
        curvature *= 2
        curvature -= self.threshold
        np.divide(tail * self.threshold, curvature, out=curvature)
        curvature[quadratic] = 1.0
        return rho, psi, curvature

    def value(self, r: np.ndarray, weights: np.ndarray) -> float:
        """Returns the objective as reported: the sum of Huber's ρ, of squares (not halved), or of absolute values.

        Args:
            r: Residuals (n,).
            weights: Weights (n,).
        """
        if self.smooth is not None:
            return float(np.sum(weights * np.abs(r) * self._asymmetry(r)))
        return float(np.sum(weights * self.rho(r)) * (2 if self.delta is None else 1))

    def to_json(self) -> dict[str, Any]:
        """Returns the name and the settings that differ from least squares."""
        settings: dict[str, Any] = {"name": self.name}
        if self.delta is not None:
            settings["delta"] = self.delta
        if self.undertuned != 0.5:
            settings["undertuned"] = self.undertuned
        return settings


HUBER_DELTA = 1e-3  # Hoffmann 2022, equation 3
OBJECTIVES: dict[str, Objective] = {
    "huber-log": Objective("huber-log", "log", HUBER_DELTA),
    "lse": Objective("lse", "log", HUBER_DELTA),  # Hoffmann 2022 solves for ln A, ln B, ln E: the optimum of huber-log
    "mse-log": Objective("mse-log", "log"),
    "mse-log1p": Objective("mse-log1p", "log1p"),  # for outputs near 0
    "mse": Objective("mse", "identity"),
    "huber": Objective("huber", "identity", HUBER_DELTA),
    "lad": Objective("lad", "log", smooth=1e-4),
}


def make_objective(name: str, delta: float | None = None, undertuned: float | None = None) -> Objective:
    """Returns an objective in OBJECTIVES with changed settings.

    Args:
        name: Name in OBJECTIVES.
        delta: Residual at which Huber's ρ becomes linear; None keeps the default of the objective.
        undertuned: Asymmetry τ, at most 1/2; None is 1/2.

    Raises:
        DataError: The objective has no delta to set.
    """
    objective = OBJECTIVES[name]
    if delta is not None:
        if objective.delta is None:
            allowed = ", ".join(key for key, known in OBJECTIVES.items() if known.delta is not None)
            raise DataError(f"delta {delta}: objective {name} has no delta; only {allowed} have one")
        objective = replace(objective, delta=delta)
    return objective if undertuned is None else replace(objective, undertuned=undertuned)

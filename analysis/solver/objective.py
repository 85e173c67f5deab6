"""What a fit makes least: a sum over points of ρ(r), r predicted less measured output on the scale of a link."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from analysis.errors import DataError

LINKS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any], Callable[[Any], Any]]] = {
    # the link, its inverse, and the link's derivative, all of the output
    "log": (np.log, np.exp, lambda x: 1 / x),
    "log1p": (np.log1p, np.expm1, lambda x: 1 / (1 + x)),
    "identity": (lambda x: x, lambda y: y, np.ones_like),
}


@dataclass(frozen=True)
class Objective:
    """A sum, not a mean, over points of ρ(r), with r = link(L̂) − link(L).

    delta: where Huber's ρ turns linear, on the link's scale; None is least squares. smooth: as delta, of least absolute
    deviations, for the search alone. undertuned: τ of Newey and Powell (1987), at most 1/2: points that lie above the
    law count 2τ, those below it 2(1 − τ); 1/2 treats both alike.
    """

    name: str
    link: str
    delta: float | None = None
    smooth: float | None = None
    undertuned: float = 0.5

    def of(self, output: np.ndarray) -> np.ndarray:
        """The link of an output."""
        return np.asarray(LINKS[self.link][0](output))

    def back(self, y: np.ndarray) -> np.ndarray:
        """The output whose link is y."""
        return np.asarray(LINKS[self.link][1](y))

    def steepness(self, output: np.ndarray) -> np.ndarray:
        """The link's derivative at an output."""
        return np.asarray(LINKS[self.link][2](output))

    @property
    def turn(self) -> float | None:
        """Where ρ turns linear in the search."""
        return self.smooth if self.delta is None else self.delta

    def _sides(self, r: np.ndarray) -> np.ndarray | float:
        """What each point counts for the side of the law that it lies on."""
        if self.undertuned == 0.5:
            return 1.0
        return np.where(r < 0, 2 * self.undertuned, 2 * (1 - self.undertuned))

    def rho(self, r: np.ndarray) -> np.ndarray:
        """ρ(r): what is summed in the search (squares halved)."""
        if self.turn is None:
            return 0.5 * r * r * self._sides(r)
        near = np.clip(r, -self.turn, self.turn)
        return near * (r - 0.5 * near) * self._sides(r)

    def slope(self, r: np.ndarray) -> np.ndarray:
        """ρ′(r)."""
        return (r if self.turn is None else np.clip(r, -self.turn, self.turn)) * self._sides(r)

    def bend(self, r: np.ndarray, linear: np.ndarray | float) -> np.ndarray:
        """What stands for ρ″(r) in a step: 1 where ρ is quadratic, `linear` times (ds/dr)² where it is linear.

        s = sign(r)·√(2ρ(r)), the residual of Levenberg–Marquardt. 1 is its step, safe from afar; 0 is Newton's, for ρ″
        is 0 there, and fast near by.
        """
        if self.turn is None:
            return np.ones_like(r) * self._sides(r)
        over = 2 * np.abs(r) - self.turn
        return np.where(over <= self.turn, 1.0, linear * self.turn / over) * self._sides(r)

    def value(self, r: np.ndarray, weights: np.ndarray) -> float:
        """The objective as reported: the sum of Huber, of squares (not halved), or of absolute values."""
        if self.smooth is not None:
            return float(np.sum(weights * np.abs(r) * self._sides(r)))
        return float(np.sum(weights * self.rho(r)) * (2 if self.delta is None else 1))

    def to_json(self) -> dict[str, Any]:
        """Its name and what it was told."""
        out: dict[str, Any] = {"name": self.name}
        if self.delta is not None:
            out["delta"] = self.delta
        if self.undertuned != 0.5:
            out["undertuned"] = self.undertuned
        return out


OBJECTIVES: dict[str, Objective] = {
    "huber-log": Objective("huber-log", "log", 1e-3),
    "lse": Objective("lse", "log", 1e-3),  # Hoffmann 2022 solves for ln A, ln B, ln E: the same optimum as huber-log
    "mse-log": Objective("mse-log", "log"),
    "mse-log1p": Objective("mse-log1p", "log1p"),  # of outputs that come near 0
    "mse": Objective("mse", "identity"),
    "huber": Objective("huber", "identity", 1e-3),
    "lad": Objective("lad", "log", smooth=1e-4),
}


def objective_of(name: str, delta: float | None = None, undertuned: float | None = None) -> Objective:
    """An objective of OBJECTIVES with what it is told. Raises DataError for a delta where there is none to choose."""
    chosen = OBJECTIVES[name]
    if delta is not None:
        if chosen.delta is None:
            having = ", ".join(k for k, one in OBJECTIVES.items() if one.delta is not None)
            raise DataError(f"delta = {delta}: objective {name} has none: {having} do")
        if not 0 < delta < np.inf:
            raise DataError(f"delta = {delta}: must be greater than 0")
        chosen = replace(chosen, delta=delta)
    if undertuned is not None:
        if not 0 < undertuned <= 0.5:
            raise DataError(f"undertuned = {undertuned}: must be above 0 and at most 0.5 (all alike)")
        chosen = replace(chosen, undertuned=undertuned)
    return chosen

"""Published laws of the compute-optimal size, on which the grids of a sweep are centred.

Sizes and tokens satisfy C = 6ND. Fits of the trained runs do not depend on these laws.
"""

from __future__ import annotations

from typing import NamedTuple

from sweeps.errors import SweepError


class Surface(NamedTuple):
    """A loss surface L(N, D) = E + A/N^alpha + B/D^beta (Hoffmann 2022); the optimal size does not depend on E."""

    A: float
    B: float
    alpha: float
    beta: float

    def best_size(self, flops: float) -> float:
        """Returns the number of parameters with the lowest loss at a budget in FLOPs (Hoffmann 2022, equation 4)."""
        scale = (self.alpha * self.A / (self.beta * self.B)) ** (1 / (self.alpha + self.beta))
        return float(scale * (flops / 6) ** (self.beta / (self.alpha + self.beta)))


PRIORS = {
    "besiroglu": Surface(A=482.01, B=2085.43, alpha=0.3478, beta=0.3658),  # 2024, table 1: refit of Hoffmann's points
    "hoffmann": Surface(A=406.4, B=410.7, alpha=0.34, beta=0.28),  # 2022, appendix D.3
}


def find_prior(name: str) -> Surface:
    """Looks up a law; SweepError lists the known ones."""
    if name not in PRIORS:
        raise SweepError(f"--set prior={name}: must be one of {', '.join(PRIORS)}")
    return PRIORS[name]

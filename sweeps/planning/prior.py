"""Where the best size of a budget is thought to lie before anything is trained: published laws, to centre grids by.

Sizes and tokens on the line C = 6 N D. Only centres: nothing that is fitted later depends on them.
"""

from __future__ import annotations

from typing import NamedTuple

from sweeps.errors import SweepError


class Surface(NamedTuple):
    """L = E + A / N^alpha + B / D^beta."""

    A: float
    B: float
    alpha: float
    beta: float

    def best_size(self, flops: float) -> float:
        """Parameters at which the loss of a budget is least (Hoffmann 2022, equation 4)."""
        scale = (self.alpha * self.A / (self.beta * self.B)) ** (1 / (self.alpha + self.beta))
        return float(scale * (flops / 6) ** (self.beta / (self.alpha + self.beta)))


PRIORS = {
    "besiroglu": Surface(A=482.01, B=2085.43, alpha=0.3478, beta=0.3658),  # 2024, table 1: refit of Hoffmann's points
    "hoffmann": Surface(A=406.4, B=410.7, alpha=0.34, beta=0.28),  # 2022, appendix D.3
}


def prior(name: str) -> Surface:
    """The law of that name; SweepError lists the known ones."""
    if name not in PRIORS:
        raise SweepError(f"--set prior={name}: known are {', '.join(PRIORS)}")
    return PRIORS[name]

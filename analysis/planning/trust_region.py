"""The region near the existing runs, to which designs are restricted while the fit is in doubt.

A c-optimal design on a law that does not hold proposes the runs at which the law is most certain of its own
extrapolation. Near the data a wrong law is still close to the losses, and runs there decide whether it holds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis import format
from analysis.fitting.result import Fit
from analysis.uncertainty.verdicts import has_warnings

NEAR_FACTOR = 2.0  # largest N and D of a recommended run, relative to the largest of the runs
NEAR_COMPUTE_FACTOR = 4.0  # and its largest C: both N and D may be NEAR_FACTOR times as large


@dataclass(frozen=True)
class TrustRegion:
    """Bounds of the recommended runs.

    Attributes:
        N: Largest number of parameters.
        D: Largest number of tokens.
        C: Largest FLOPs.
        ratios: Smallest and largest tokens per parameter.
        reason: Why there are bounds, and which, in one line; empty: there are none.
    """

    N: float = np.inf
    D: float = np.inf
    C: float = np.inf
    ratios: tuple[float, float] = (0.0, np.inf)
    reason: str = ""


def trust_region(fit: Fit) -> TrustRegion:
    """Returns the region near the runs of a fit with warnings; without bounds for a fit without warnings."""
    if not has_warnings(fit.verdict):
        return TrustRegion()
    points = fit.points
    N, D = NEAR_FACTOR * float(points.N.max()), NEAR_FACTOR * float(points.D.max())
    C, ratio = NEAR_COMPUTE_FACTOR * float(points.C.max()), points.D / points.N
    ratios = float(ratio.min()), float(ratio.max())
    codes = ", ".join(dict.fromkeys(line.partition(":")[0] for line in fit.verdict))
    low, high = (format.three_digits(value) for value in ratios)
    reason = (
        f"the fit is in doubt ({codes}): only runs near the existing ones are considered, with at most "
        f"{format.count(N)} parameters, {format.count(D)} tokens and {format.scientific(C, 2)} FLOPs, and {low} to "
        f"{high} tokens per parameter"
    )
    return TrustRegion(N, D, C, ratios, reason)

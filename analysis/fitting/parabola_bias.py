"""How far approach 2 is off by itself: what it makes of losses without noise, of a law whose optimum is known.

A parabola has no third derivative, and a law with α ≠ β, or runs off the middle of their minimum, has: the minimum
moves, noise or not. Key: N parameters, D tokens, C FLOPs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.data.points import Points
from analysis.errors import FitError
from analysis.fitting import isoflop, minima
from analysis.fitting.fit import fit

MATERIAL = 0.5  # of the way to the end of the interval: one standard error, which costs a 95% interval 12% of coverage


@dataclass(frozen=True)
class Bias:
    """On a surface's own losses: approach 2's exponent less the true one, and the ratio of its N* to the true one
    at multiples of the largest C. doubted: the surface says so of itself."""

    a: float
    ratios: dict[float, float]
    doubted: bool

    @property
    def note(self) -> str:
        """One sentence."""
        sizes = ", ".join(
            f"N* at {times:g}× the largest budget {ratio - 1:+.2g}" for times, ratio in self.ratios.items()
        )
        doubt = " (a surface that is itself in doubt)" if self.doubted else ""
        return (
            f"approach 2's own error, from noiseless losses of approach 3's surface{doubt} at these runs: "
            f"a {self.a:+.2g}" + (f", {sizes} (relative)" if sizes else "")
        )


def bias(points: Points, found: isoflop.IsoFlop, extrapolate: tuple[float, ...]) -> Bias | None:
    """None where approach 3 cannot be fitted to the same points, or has no minimum at the same budgets."""
    sound = [one for one in found.budgets if one.sound]
    if found.weights is None:
        return None
    try:
        surface = fit(points, "chinchilla", bootstrap=100)
    except FitError:
        return None
    if surface.optimum is None:
        return None
    groups, at = [], 0
    for one in sound:
        groups.append((one.budget, np.arange(at, at + one.count)))
        at += one.count
    parts = [one.points for one in sound]
    N, D = (np.concatenate([getattr(part, letter) for part in parts]) for letter in "ND")
    clean = Points(N, D, 6 * N * D, surface.predict(N=N, D=D), [str(i) for i in range(len(N))])
    best = minima.centres(clean, groups, found.minimum)
    if not np.isfinite(best).all():
        return None
    slope, start = isoflop.line(np.log([one.C for one in sound]), best[None], found.weights)
    ratios = {}
    for times in extrapolate:
        C = times * float(points.C.max())
        ratios[times] = float(np.exp(start[0] + slope[0] * np.log(C)) / surface.optimum.at(C)["N"])
    return Bias(float(slope[0]) - surface.optimum.a, ratios, tuple(surface.verdict) != ("converged",))


def verdict(found: Bias, params: dict[str, np.ndarray], largest: float, level: float) -> tuple[str, ...]:
    """Said where the error is more than MATERIAL of the interval's reach: of a, or of N* somewhere."""
    if found.doubted:
        return ()
    said = []
    if _material(found.a, params["a"], level):
        said.append(f"a is {found.a:+.2g} off")
    for times, ratio in found.ratios.items():
        ln_n = np.log(params["G_N"]) + params["a"] * np.log(times * largest)
        if _material(float(np.log(ratio)), ln_n, level):
            said.append(f"N* at {times:g}× the largest budget is {ratio - 1:+.0%} off")
    if not said:
        return ()
    return (f"bias: approach 2 on these budgets without noise: {', '.join(said)}: approach 3 (chinchilla) is not",)


def _material(off: float, values: np.ndarray, level: float) -> bool:
    low, high = np.nanquantile(values[1:], [(1 - level) / 2, (1 + level) / 2])
    return abs(off) > MATERIAL * (high - low) / 2 + 1e-9

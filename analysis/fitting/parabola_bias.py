"""Bias of approach 2 for a design, from its result on noiseless losses of a law with a known optimum.

A parabola has no third derivative, but a law with α ≠ β has. This biases the minimum, even without noise, and more so
if the runs are not centred on the minimum.

Key: N parameters, D tokens, C FLOPs; B bootstrap samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.data.points import Points
from analysis.errors import FitError
from analysis.fitting import isoflop, minima
from analysis.fitting.options import FitOptions
from analysis.fitting.parametric import fit_law
from analysis.laws import LAWS
from analysis.uncertainty.intervals import percentile_interval
from analysis.uncertainty.options import LEAST_BOOTSTRAP
from analysis.uncertainty.verdicts import has_warnings, warning

MATERIAL = 0.5  # reported bias in half interval widths: one standard error reduces the coverage of 95% by 12%


@dataclass(frozen=True)
class Bias:
    """Bias of approach 2 on the losses of a fitted surface.

    Attributes:
        a: Exponent of approach 2 minus exponent of the surface.
        ratios: Ratio of N* of approach 2 to N* of the surface, by multiple of the largest C.
        has_warnings: Whether the fit of the surface has warnings.
    """

    a: float
    ratios: dict[float, float]
    has_warnings: bool

    @property
    def note(self) -> str:
        """Sentence that describes the bias."""
        sizes = ", ".join(
            f"N* at {multiple:g}× the largest budget {ratio - 1:+.2g}" for multiple, ratio in self.ratios.items()
        )
        surface = "fitted surface, whose fit has warnings" if self.has_warnings else "fitted surface"
        return (
            f"estimated bias of approach 2 for this design, on noiseless losses of the {surface}: a {self.a:+.2g}"
            + (f", {sizes} (relative)" if sizes else "")
        )


def estimate_bias(points: Points, result: isoflop.IsoFlop, budget_multiples: tuple[float, ...]) -> Bias | None:
    """Estimates the bias of approach 2 for the design of the points.

    Args:
        points: The runs.
        result: Result of approach 2.
        budget_multiples: Multiples of the largest C at which N* is compared.

    Returns:
        The bias; None if approach 3 cannot be fitted to the same points or has no minimum at the same budgets.
    """
    if result.weights is None:
        return None
    try:
        surface = fit_law(points, "chinchilla", LAWS["chinchilla"], FitOptions(bootstrap=LEAST_BOOTSTRAP))
    except FitError:
        return None
    if surface.optimum is None:
        return None
    sound = [parabola for parabola in result.budgets if parabola.sound]
    budgets, start = [], 0
    for parabola in sound:
        budgets.append((parabola.budget, np.arange(start, start + parabola.count)))
        start += parabola.count
    N, D = (np.concatenate([getattr(parabola.points, letter) for parabola in sound]) for letter in "ND")
    noiseless = Points(N, D, 6 * N * D, surface.predict(N=N, D=D), [str(i) for i in range(len(N))])
    ln_N = minima.noiseless_minima(noiseless, budgets, result.minimum)
    if not np.isfinite(ln_N).all():
        return None
    slope, intercept = isoflop.weighted_line(np.log([parabola.C for parabola in sound]), ln_N[None], result.weights)
    ratios = {}
    for multiple in budget_multiples:
        C = multiple * float(points.C.max())
        ratios[multiple] = float(np.exp(intercept[0] + slope[0] * np.log(C)) / surface.optimum.at(C)["N"])
    return Bias(float(slope[0]) - surface.optimum.a, ratios, has_warnings(surface.verdict))


def check_bias(bias: Bias, params: dict[str, np.ndarray], largest: float, level: float) -> list[str]:
    """Warns if the bias of a, or of N* at some budget, exceeds MATERIAL times half the interval width.

    Args:
        bias: The bias.
        params: a and G_N of approach 2: estimate and samples (1 + B,).
        largest: The largest C of the points.
        level: Coverage of the intervals.
    """
    if bias.has_warnings:
        return []
    biased = []
    if _is_material(bias.a, params["a"], level):
        biased.append(f"a by {bias.a:+.2g}")
    for multiple, ratio in bias.ratios.items():
        ln_n = np.log(params["G_N"]) + params["a"] * np.log(multiple * largest)
        if _is_material(float(np.log(ratio)), ln_n, level):
            biased.append(f"N* at {multiple:g}× the largest budget by {ratio - 1:+.0%}")
    if not biased:
        return []
    sentence = f"approach 2 is biased for this design: {', '.join(biased)}; approach 3 (chinchilla) is not biased"
    return [warning("parabola-bias", sentence)]


def _is_material(bias: float, values: np.ndarray, level: float) -> bool:
    low, high = percentile_interval(values[1:], level)
    return abs(bias) > MATERIAL * (high - low) / 2 + 1e-9

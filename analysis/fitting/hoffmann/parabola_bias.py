"""Bias of approach 2 for a design, from its minima on noiseless losses of Chinchilla's curve.

A parabola has no third derivative, but a law with α ≠ β has. This biases the minimum, even without noise, and more so
if the runs are not centred on the minimum.

Key: N parameters, C FLOPs; R rows (the estimate, then the bootstrap samples), K budgets.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.fitting.hoffmann import isoflop, minima
from analysis.format import estimate, signed
from analysis.uncertainty.intervals import percentile_interval
from analysis.uncertainty.verdicts import warning

MATERIAL = 0.5  # reported bias in half interval widths: one standard error reduces the coverage of 95% by 12%


@dataclass(frozen=True)
class Bias:
    """Bias of approach 2 for a design.

    Attributes:
        a: Exponent of the minima minus exponent of Chinchilla's curves (R,).
        ln_N: Log ratio of their N* (R,), by multiple of the largest C.
        level: Coverage of the intervals.
        corrected: Whether the intervals of approach 2 are corrected for the bias.
    """

    a: np.ndarray
    ln_N: dict[float, np.ndarray]
    level: float
    corrected: bool

    @property
    def note(self) -> str:
        """Sentence that describes the bias."""
        parts = [f"a {_exponent_text(self.a, self.level)}"]
        parts += [f"N* at {m:g}× the largest budget {_size_text(rows, self.level)}" for m, rows in self.ln_N.items()]
        end = "; the intervals are corrected for it, the values are not" if self.corrected else ""
        return f"estimated bias of approach 2 for this design: {', '.join(parts)}{end}"


def estimate_bias(result: isoflop.IsoFlop, largest: float, budget_multiples: tuple[float, ...]) -> Bias | None:
    """Estimates the bias of approach 2 for the design of its runs.

    Args:
        result: Result of approach 2.
        largest: The largest C of the points.
        budget_multiples: Multiples of the largest C at which N* is compared.

    Returns:
        The bias; None if the minima are those of Chinchilla's curves, or a curve has no minimum.
    """
    if result.curves is None or result.weights is None or result.minimum == "chinchilla":
        return None
    parts = [parabola.points for parabola in result.sound]
    ln_N = np.vstack([result.curves.ln_N, result.curves.samples_BK])
    difference = minima.minima_of_curves(parts, result.curves.losses, result.minimum) - ln_N
    difference = np.where(result.curves.usable_RK, difference, np.nan)
    if not np.isfinite(difference[0]).all():
        return None
    x = np.log([parabola.C for parabola in result.sound])
    slope, intercept = isoflop.weighted_line(x, difference, result.weights)
    multiples = {m: intercept + slope * np.log(m * largest) for m in budget_multiples}
    return Bias(slope, multiples, result.level, corrected=result.minimum == "parabola")


def check_bias(bias: Bias, params: dict[str, np.ndarray], largest: float) -> list[str]:
    """Warns if the bias of a, or of N* at some budget, differs from 0 and exceeds MATERIAL times half the interval.

    Args:
        bias: The bias.
        params: a and G_N of approach 2: estimate and samples (1 + B,).
        largest: The largest C of the points.
    """
    biased = []
    if _is_material(bias.a, params["a"], bias.level):
        biased.append(f"a by {_exponent_text(bias.a, bias.level)}")
    for multiple, rows in bias.ln_N.items():
        ln_n = np.log(params["G_N"]) + params["a"] * np.log(multiple * largest)
        if _is_material(rows, ln_n, bias.level):
            biased.append(f"N* at {multiple:g}× the largest budget by {_size_text(rows, bias.level)}")
    if not biased:
        return []
    advice = "--minimum chinchilla and approach 3 (chinchilla) are not biased"
    sentence = f"approach 2 is biased for this design: {', '.join(biased)}; {advice}"
    return [warning("parabola-bias", sentence)]


def _exponent_text(rows: np.ndarray, level: float) -> str:
    return estimate(float(rows[0]), percentile_interval(rows[1:], level), lambda value: signed(value, ".2g"))


def _size_text(rows: np.ndarray, level: float) -> str:
    ratios = np.expm1(rows)
    return estimate(float(ratios[0]), percentile_interval(ratios[1:], level), _percent)


def _percent(value: float) -> str:
    return signed(value, ".1%")


def _is_material(bias: np.ndarray, values: np.ndarray, level: float) -> bool:
    low, high = percentile_interval(values[1:], level)
    lowest, highest = percentile_interval(bias[1:], level)
    return not lowest <= 0 <= highest and abs(bias[0]) > MATERIAL * (high - low) / 2 + 1e-9

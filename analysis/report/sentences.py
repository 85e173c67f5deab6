"""Sentences on fits: verdicts, exponents, predictions and agreement of the approaches."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from analysis.format import count, entry_estimate, estimate, flops, number, percent
from analysis.uncertainty.verdicts import CONVERGED, has_warnings

if TYPE_CHECKING:
    from analysis.data.points import Points
    from analysis.fitting.hoffmann.isoflop import IsoFlop
    from analysis.fitting.result import Fit

NAMES = {"chinchilla-1": "Approach 1", "chinchilla-2": "Approach 2", "chinchilla": "Approach 3"}

LONG_NAMES = {
    "chinchilla-1": "1: the lowest loss over runs at each compute",
    "chinchilla-2": "2: isoFLOP parabolas",
    "chinchilla": "3: the parametric law",
}

FILE = re.compile(r"\S+[./]\w")  # a name at the start of a message, which keeps its case
RUN_ID = re.compile(r"\b[0-9a-f]{64}\b")
SHORT_ID = 12  # characters of a run id that are shown


def excess_compute(entry: dict[str, Any], loss_unit: str) -> str:
    """Describes the compute that a run wasted.

    Args:
        entry: Entry of `wasted_compute`.
        loss_unit: Unit of the loss.
    """
    return (
        f"{count(entry['N'])} parameters on {count(entry['D'])} tokens: {entry_estimate(entry, 'share', percent)} of "
        f"the compute could have been saved; the optimal size for this compute is "
        f"{entry_estimate(entry, 'best_N', count)}, with a loss lower by {entry_estimate(entry, 'more_loss')} "
        f"{loss_unit}."
    )


def verdict_text(fit: Fit) -> str:
    """Returns the verdict as sentences."""
    if not has_warnings(fit.verdict):
        return "The fit converged without warnings."
    return " ".join(sentence(line) for line in fit.verdict if line != CONVERGED)


def sentence(text: str) -> str:
    """Returns a verdict or message as a sentence with short run ids: 'outliers: run' becomes 'Outliers: run.'."""
    code, colon, rest = text.partition(": ")
    if FILE.match(text):
        line = text
    elif colon and " " not in code:
        line = f"{code.replace('-', ' ').capitalize()}: {rest}"
    else:
        line = text[:1].upper() + text[1:]
    return RUN_ID.sub(lambda match: match[0][:SHORT_ID], line.rstrip(".") + ".")


def objective(fit: Fit) -> str:
    """Describes the objective: its name, delta and value at the optimum."""
    delta = fit.objective.get("delta")
    text = f"{fit.objective.get('name', 'unnamed')}" + (f", δ = {delta:g}" if delta is not None else "")
    return text + f", value {fit.objective['value']:.4g}" if "value" in fit.objective else text


def allocation(fit: Fit) -> str:
    """Describes the exponents of N* and D* for ten times the compute."""
    assert fit.optimum is not None
    a, b = fit.optimum.a, fit.optimum.b
    low, high = interval = fit.optimum.intervals["a"]
    line = (
        f"For ten times the compute, use {10**a:.3g} times the parameters and {10**b:.3g} times the tokens "
        f"(a = {number(a, interval)}, b = {number(b, fit.optimum.intervals['b'])})."
    )
    if low <= 0.5 <= high:
        return line + " Equal growth of both (a = 0.5) is within the interval of a."
    faster = "parameters" if a > 0.5 else "data"
    return line + f" Equal growth of both (a = 0.5) is outside the interval of a: {faster} should grow faster."


def prediction(optimum: dict[str, Any], times: float, level: float, loss_unit: str) -> str:
    """Describes the prediction of a law for compute-optimal training at a budget.

    Args:
        optimum: Entry of `Optimum.at`.
        times: The budget as a multiple of the largest one.
        level: Coverage of the intervals.
        loss_unit: Unit of the loss.
    """
    intervals = optimum["intervals"]
    N, D = (estimate(optimum[letter], intervals[letter], count) for letter in "ND")
    line = (
        f"At {times:g}× the largest budget (C = {flops(optimum['C'])} FLOPs): N* = {N} parameters, D* = {D} tokens, "
        f"{optimum['D'] / optimum['N']:.3g} tokens per parameter"
    )
    if optimum.get("L") is not None and "L" in intervals:
        line += f", and a loss of {estimate(optimum['L'], intervals['L'])} {loss_unit}"
    return f"{line} ({level:.0%} intervals)."


def agreement(fits: dict[str, Fit]) -> str:
    """Compares a and its intervals over the approaches; "" for fewer than two approaches."""
    optima = {NAMES[name]: fit.optimum for name, fit in fits.items() if fit.optimum is not None}
    if len(optima) < 2:
        return ""
    a = {name: optimum.a for name, optimum in optima.items()}
    lowest, highest = min(a, key=a.__getitem__), max(a, key=a.__getitem__)
    apart = optima[lowest].intervals["a"][1] < optima[highest].intervals["a"][0]
    *others, last = (name.removeprefix("Approach ") for name in optima)
    return (
        f"Approaches {', '.join(others)} and {last} give a between {a[lowest]:.3f} ({lowest.lower()}) and "
        f"{a[highest]:.3f} ({highest.lower()}). "
        + ("Their intervals do not overlap: at least one is biased." if apart else "Their intervals overlap.")
    )


def parabola_coverage(isoflop: IsoFlop) -> str:
    """Describes the budgets that approach 2 uses, and its assumption."""
    used, budgets = sum(parabola.sound for parabola in isoflop.budgets), len(isoflop.budgets)
    return (
        f"Approach 2 uses {used} of {budgets} budgets: those with a minimum between the smallest and largest model. It "
        "assumes that the loss is a parabola in ln N, which biases the minima if α ≠ β or if the sizes are not centred "
        "on the optimum, even without noise."
    )


def extrapolation(points: Points) -> str:
    """Describes the range of compute of the points, and the assumption of predictions beyond it."""
    factor = float(points.C.max() / points.C.min())
    span = f"{factor:.2g}" if factor < 100 else f"{factor:,.0f}"
    return (
        f"The runs span a factor of {span} in compute. 10× and 100× the largest budget are extrapolations: the "
        "intervals assume that the law remains valid, and do not account for a change of regime."
    )

"""Fits in words: numbers with their doubt, said so that a person who opens a report cold can follow. Plain text."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from analysis.data.points import Points
    from analysis.fitting.isoflop import IsoFlop
    from analysis.fitting.result import Fit
    from analysis.laws.law import Law

RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
NAMES = {"chinchilla-1": "Approach 1", "chinchilla-2": "Approach 2", "chinchilla": "Approach 3"}
LONG_NAMES = {
    "chinchilla-1": "1: the lowest loss over runs at each compute",
    "chinchilla-2": "2: isoFLOP parabolas",
    "chinchilla": "3: the parametric law",
}
SYMBOLS = {"alpha": "α", "beta": "β", "gamma": "γ"}
MISSING = "—"
RUN_ID = re.compile(r"\b[0-9a-f]{64}\b")


def scientific(value: float, digits: int = 2) -> str:
    """3.2×10¹⁸."""
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa}×10{str(int(exponent)).translate(RAISED)}"


def count(value: float | None) -> str:
    """Parameters or tokens as people say them: 1.3M, 410B."""
    if value is None or not math.isfinite(value):
        return "∞" if value == math.inf else MISSING
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if 0.9995 * size <= value < 999.5 * size:
            digits = max(0, 2 - math.floor(math.log10(value / size) + 1e-3))
            return f"{value / size:.{digits}f}{letter}"
    return scientific(value, 3) if value >= 1e15 else f"{value:.3g}"


def flops(value: float | None) -> str:
    """Compute in FLOPs."""
    if value is None or not math.isfinite(value):
        return "∞" if value == math.inf else MISSING
    return scientific(value)


def number(value: float, interval: Any = None) -> str:
    """A value with the digits that its interval leaves it."""
    if not math.isfinite(value):
        return str(value)
    if value != 0 and not 1e-4 <= abs(value) < 1e5:
        return scientific(value, 3)
    if interval is None or not all(math.isfinite(v) for v in interval) or interval[0] == interval[1]:
        return f"{value:.4g}"
    decimals = 1 - math.floor(math.log10(abs(interval[1] - interval[0])))
    return f"{value:.{min(max(decimals, 0), 6)}f}"


def between(interval: Any, show: Any = None) -> str:
    """[low, high], or that there is none."""
    if interval is None or any(v is None or math.isnan(v) for v in interval):
        return "no interval"
    low, high = (show(v) if show else number(v, interval) for v in interval)
    return f"[{low}, {high}]"


def estimate(value: float, interval: Any, show: Any = None) -> str:
    """value [low, high]."""
    return f"{show(value) if show else number(value, interval)} {between(interval, show)}"


def aligned(rows: Sequence[tuple[str, ...]]) -> str:
    """Rows as lines, each column as wide as its widest cell."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def three(value: float) -> str:
    """A plain number with three digits."""
    return "∞" if value == math.inf else f"{value:,.0f}" if 1000 <= value < 1e6 else f"{value:.3g}"


def estimate_of(entry: dict[str, Any], name: str, show: Any = None) -> str:
    """value [low, high] of one name of an entry of `analysis/planning/compute_optimal.py`; MISSING where it has
    none."""
    if entry.get(name) is None:
        return MISSING
    return estimate(entry[name], entry["intervals"][name], show)


def form(law: Law) -> str:
    """A law's first sentence and where it comes from."""
    first = " ".join((law.function.__doc__ or "").strip().split("\n\n")[0].split()).rstrip(".")
    output, inputs = law.output, ", ".join(law.inputs)
    return f"{output}({inputs}) = {first}" if first else f"{output}({inputs}), {law.source}"


def share(value: float) -> str:
    """A share as per cent."""
    return f"{100 * value:.3g}%" if math.isfinite(value) else MISSING if math.isnan(value) else "∞"


def wasted(entry: dict[str, Any]) -> str:
    """How much of a run's compute the cheapest run of the same loss would have left over."""
    return (
        f"{count(entry['N'])} parameters on {count(entry['D'])} tokens: {estimate_of(entry, 'share', share)} of the "
        f"compute could have been saved; the best size for it is {estimate_of(entry, 'best_N', count)}, "
        f"{estimate_of(entry, 'more_loss')} lower in loss."
    )


def doubtful(fit: Fit) -> bool:
    """Whether there is anything to doubt about a fit."""
    return tuple(fit.verdict) != ("converged",)


def verdict(fit: Fit) -> str:
    """The verdict as sentences."""
    if not doubtful(fit):
        return "Nothing to doubt: the fit converged."
    return " ".join(sentence(v) for v in fit.verdict if v != "converged")


def sentence(text: str) -> str:
    """'at-bound: alpha is ...' as a sentence: code in words first, full stop last."""
    code, colon, rest = text.partition(": ")
    said = (
        f"{code.replace('-', ' ').capitalize()}: {rest}" if colon and " " not in code else text[:1].upper() + text[1:]
    )
    return RUN_ID.sub(lambda found: found[0][:12], said.rstrip(".") + ".")


def objective(fit: Fit) -> str:
    """What was minimised."""
    delta = fit.objective.get("delta")
    said = f"{fit.objective.get('name', 'unnamed')}" + (f", δ = {delta:g}" if delta is not None else "")
    return said + f", value {fit.objective['value']:.4g}" if "value" in fit.objective else said


def allocation(fit: Fit) -> str:
    """What the exponents mean for the next run."""
    assert fit.optimum is not None
    a, b = fit.optimum.a, fit.optimum.b
    low, high = interval = fit.optimum.intervals["a"]
    said = (
        f"For ten times the compute, take {10**a:.3g} times the parameters and {10**b:.3g} times the tokens "
        f"(a = {number(a, interval)}, b = {number(b, fit.optimum.intervals['b'])})."
    )
    if low <= 0.5 <= high:
        return said + " An even split of growth between the two, a = 0.5, lies within the interval of a."
    side = "parameters" if a > 0.5 else "data"
    return said + f" An even split, a = 0.5, lies outside of the interval of a: growth favours {side}."


def forecast(at: dict[str, Any], times: int, level: float) -> str:
    """What a law expects at a budget: one sentence."""
    intervals = at["intervals"]
    N, D = (estimate(at[letter], intervals[letter], count) for letter in "ND")
    said = (
        f"At {times}× the largest budget (C = {flops(at['C'])} FLOPs): N* = {N} parameters, D* = {D} tokens, "
        f"{at['D'] / at['N']:.3g} tokens a parameter"
    )
    if at.get("L") is not None and "L" in intervals:
        said += f", and a loss of {estimate(at['L'], intervals['L'])} nats a token"
    return f"{said} ({level:.0%} intervals)."


def disagreement(fits: dict[str, Fit]) -> str | None:
    """How far the approaches lie apart in a; None where fewer than two gave one."""
    found = {NAMES[k]: f.optimum for k, f in fits.items() if f.optimum is not None}
    if len(found) < 2:
        return None
    values = {name: optimum.a for name, optimum in found.items()}
    lowest, highest = min(values, key=values.__getitem__), max(values, key=values.__getitem__)
    apart = found[lowest].intervals["a"][1] < found[highest].intervals["a"][0]
    return (
        f"{_listed(list(found))} give a between {values[lowest]:.3f} ({lowest.lower()}) and "
        f"{values[highest]:.3f} ({highest.lower()}). "
        + ("Their intervals do not overlap: at least one of them is wrong about itself." if apart else
           "Their intervals overlap.")
    )  # fmt: skip


def _listed(words: list[str]) -> str:
    numbers = [word.removeprefix("Approach ") for word in words]
    return f"Approaches {', '.join(numbers[:-1])} and {numbers[-1]}"


def parabolas(found: IsoFlop) -> str:
    """How much approach 2 stands on, and what it takes for granted."""
    sound, budgets = sum(one.sound for one in found.budgets), len(found.budgets)
    return (
        f"Approach 2 stands on {sound} of {budgets} budgets: those whose minimum lies between their smallest and "
        "largest model. It takes the loss for a parabola in ln N, which leans its minima to one side where α ≠ β or a "
        "grid is off-centre, noise or not."
    )


def extrapolation(points: Points) -> str:
    """What stands behind a forecast beyond the data."""
    factor = float(points.C.max() / points.C.min())
    span = f"{factor:.2g}" if factor < 100 else f"{factor:,.0f}"
    return (
        f"The runs span a factor of {span} in compute. 10× and 100× the largest budget lie outside of it: the "
        "intervals there hold only if the law keeps its form, and they do not know of a change of regime."
    )


def plain(value: Any) -> Any:
    """JSON's own types; a number that is not finite is null."""
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, float):
        return float(value) if np.isfinite(value) else None
    return value

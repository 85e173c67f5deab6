"""analysis.report.sentences."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from analysis.format import count, estimate, estimate_of, flops, number, share

if TYPE_CHECKING:
    from analysis.data.points import Points
    from analysis.fitting.isoflop import IsoFlop
    from analysis.fitting.result import Fit

NAMES = {"chinchilla-1": "Approach 1", "chinchilla-2": "Approach 2", "chinchilla": "Approach 3"}

LONG_NAMES = {
    "chinchilla-1": "1: the lowest loss over runs at each compute",
    "chinchilla-2": "2: isoFLOP parabolas",
    "chinchilla": "3: the parametric law",
}

RUN_ID = re.compile(r"\b[0-9a-f]{64}\b")


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

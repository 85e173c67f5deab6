r"""Names of the numbers of a paper as LaTeX macros, each number with its interval and unit.

A name is the law, then the number: \ChinchillaAlpha. Digits are words, because names of macros have letters only. A
number with an interval has the macros NAME, NAMEInterval, NAMEEstimate (with both and the unit) and, with a unit,
NAMEUnit.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis import format
from analysis.data.points import Points
from analysis.fitting.result import Fit
from analysis.paper.latex import escape, greek_name
from analysis.report.findings import Findings
from scaling.config.text import printable

DIGITS = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")
NUMBERS = {"10": "Ten", "100": "Hundred", "1000": "Thousand"}
PART = re.compile(r"[A-Za-z]+|[0-9]+|[^\W\d_]")
COPIES = ("", "Second", "Third", "Fourth", "Fifth")  # suffixes of equal names, which only laws of a user can have
FIXED = "fixed"


@dataclass(frozen=True)
class Macro:
    """A macro.

    Attributes:
        name: Its name without the backslash: ASCII letters.
        text: What it prints, as plain text.
        meaning: What it is, for the comment in the file.
    """

    name: str
    text: str
    meaning: str


def macro_name(*parts: object) -> str:
    r"""Returns the name of a macro, such as ChinchillaTwoExponentN for ("chinchilla-2", "exponent", "N").

    Args:
        *parts: Names or numbers. A part that is one small letter is preceded by Small, as in \LawSmallA and \LawA.
    """
    return "".join(_words(str(part)) for part in parts)


def _words(text: str) -> str:
    if len(text) == 1 and "a" <= text <= "z":
        return f"Small{text.upper()}"
    return "".join(map(_word, PART.findall(text)))


def _word(part: str) -> str:
    if part in NUMBERS:
        return NUMBERS[part]
    if part.isascii():
        return "".join(DIGITS[int(digit)] for digit in part) if part.isdigit() else part[0].upper() + part[1:]
    name = greek_name(part) or unicodedata.name(part, "Letter")
    return "".join(word.capitalize() for word in re.findall("[A-Za-z]+", name))


def law_label(law: str) -> str:
    """Returns the name of a law in names of macros: the function alone of a law in a user's file."""
    return law.rpartition(":")[2]


def all_macros(findings: Findings, others: Sequence[Macro] = ()) -> list[Macro]:
    """Returns the macros of the runs and of each fit, in a fixed order and with distinct names.

    Args:
        findings: The fits.
        others: Macros that follow.
    """
    fits = findings.fits
    macros = [*run_macros(findings.source.points), *_interval_macros(next(iter(fits.values())))]
    for fit in fits.values():
        macros += fit_macros(fit)
    return list(_distinct([*macros, *others]))


def _distinct(macros: Iterable[Macro]) -> Iterator[Macro]:
    used: set[str] = set()
    for macro in macros:
        name = next(name for suffix in (*COPIES, *DIGITS) if (name := macro.name + suffix) not in used)
        used.add(name)
        yield replace(macro, name=name)


def estimate_macros(
    name: str,
    value: float,
    interval: format.Interval,
    unit: str,
    meaning: str,
    formatter: format.Formatter | None = None,
) -> list[Macro]:
    """Returns the macros of a number: its value, interval, both with the unit, and the unit if it has one.

    Args:
        name: Name of the macro of the value.
        value: The number.
        interval: Its interval.
        unit: Its unit; "" if it has none.
        meaning: What it is.
        formatter: Formats each number; `analysis.format.number` by default.
    """
    number = format.without_zero_sign(formatter(value)) if formatter else format.number(value, interval)
    whole = " ".join(filter(None, (format.estimate(value, interval, formatter), unit)))
    macros = [
        Macro(name, number, f"{meaning}{f', in {unit}' if unit else ''}"),
        Macro(f"{name}Interval", format.interval_text(interval, formatter), f"interval of {name}"),
        Macro(f"{name}Estimate", whole, f"{name} with its interval{' and unit' if unit else ''}"),
    ]
    return [*macros, Macro(f"{name}Unit", unit, f"unit of {name}")] if unit else macros


def run_macros(points: Points) -> list[Macro]:
    """Returns the macros of the fitted runs: their number, ranges and counting convention."""
    macros = [Macro("RunsCount", str(len(points)), "number of fitted runs")]
    formatters: dict[str, tuple[Callable[[float], str], str]] = {
        "N": (format.count, "parameters"),
        "D": (format.count, "tokens"),
        "C": (format.flops, "FLOPs"),
        "L": (lambda loss: f"{loss:.4f}", points.loss_unit),
    }
    for letter, (formatter, unit) in formatters.items():
        values = points[letter]
        if np.isfinite(values).all() and len(values):
            for word, value in (("Smallest", values.min()), ("Largest", values.max())):
                macros.append(Macro(f"Runs{word}{letter}", formatter(float(value)), f"{word.lower()} {letter}: {unit}"))
    macros.append(Macro("RunsLossUnit", points.loss_unit, "unit of the losses"))
    return [*macros, Macro("RunsCounting", points.convention, "what N and C count")]


def _interval_macros(fit: Fit) -> list[Macro]:
    return [Macro("IntervalLevel", f"{fit.level:.0%}", "coverage of all intervals")]


def fit_macros(fit: Fit) -> list[Macro]:
    """Returns the macros of a fit: parameters, exponents, optima, objective, starts and verdict."""
    law = macro_name(law_label(fit.law))
    macros = [Macro(f"{law}Runs", str(len(fit.points)), f"{fit.law}: number of runs")]
    units = fit.form.units if fit.form else {}
    for name, value in fit.params.items():
        if fit.optimum is None or name not in ("a", "b"):
            macros += _parameter_macros(fit, name, value, units.get(name, ""))
    return [*macros, *_optimum_macros(fit, law), *_method_macros(fit, law)]


def _parameter_macros(fit: Fit, name: str, value: float, unit: str) -> list[Macro]:
    full, meaning = macro_name(law_label(fit.law), name), f"{fit.law}: parameter {name}"
    constraint = fit.constraints.get(name)
    if constraint is None:
        return estimate_macros(full, value, fit.intervals.get(name), unit, meaning)
    reason = FIXED if not isinstance(constraint, str) else f"= {constraint}"
    text = format.number(value)
    return [
        Macro(full, text, meaning),
        Macro(f"{full}Interval", reason, f"interval of {full}"),
        Macro(f"{full}Estimate", " ".join(filter(None, (text, unit, f"({reason})"))), f"{full}, which was not fitted"),
    ]


def _optimum_macros(fit: Fit, law: str) -> list[Macro]:
    r"""Macros of compute-optimal training, \LawExponentN and \LawAtTenN for ten times the largest budget."""
    if fit.optimum is None:
        return []
    optimum, macros = fit.optimum, []
    for letter, name, value in (("N", "a", optimum.a), ("D", "b", optimum.b)):
        meaning = f"{fit.law}: exponent {name} of {letter}*(C)"
        macros += estimate_macros(f"{law}Exponent{letter}", value, optimum.intervals[name], "", meaning)
    for multiple in fit.budget_multiples:
        macros += _budget_macros(fit, f"{law}{macro_name('at', f'{multiple:g}')}", multiple)
    return macros


def _budget_macros(fit: Fit, prefix: str, multiple: float) -> list[Macro]:
    assert fit.optimum is not None
    entry, unit = fit.optimum.at(multiple * fit.optimum.largest), fit.points.loss_unit
    where = f"at {multiple:g} times the largest budget"
    macros = [Macro(f"{prefix}C", format.flops(entry["C"]), f"{fit.law}: the budget {where}, in FLOPs")]
    quantities = (
        ("N", "N", format.count, "parameters", "compute-optimal parameters"),
        ("D", "D", format.count, "tokens", "compute-optimal tokens"),
        ("tokens_per_parameter", "Ratio", format.three_digits, "tokens per parameter", "compute-optimal ratio"),
        ("L", "L", None, unit, "loss of compute-optimal training"),
    )
    for key, letter, formatter, quantity, meaning in quantities:
        if entry.get(key) is not None:
            text = f"{fit.law}: {meaning} {where}"
            macros += estimate_macros(
                f"{prefix}{letter}", entry[key], entry["intervals"].get(key), quantity, text, formatter
            )
    if "L" in entry["new_run_intervals"]:
        interval = format.interval_text(entry["new_run_intervals"]["L"])
        macros.append(
            Macro(f"{prefix}LNewRunInterval", interval, f"interval of the loss of a new run there, in {unit}")
        )
    return macros


def _method_macros(fit: Fit, law: str) -> list[Macro]:
    objective = fit.objective
    macros = [Macro(f"{law}Objective", str(objective.get("name", "")), f"{fit.law}: objective")]
    if "delta" in objective:
        macros.append(Macro(f"{law}ObjectiveDelta", f"{objective['delta']:g}", "residual at which it becomes linear"))
    if "value" in objective:
        macros.append(Macro(f"{law}ObjectiveValue", f"{objective['value']:.4g}", "value at the optimum"))
    if fit.starts.get("tried"):
        macros.append(Macro(f"{law}Starts", str(fit.starts["tried"]), "number of starts of the search"))
        macros.append(Macro(f"{law}StartsAgreed", str(fit.starts["agreed"]), "number of starts at the optimum"))
    macros.append(Macro(f"{law}IntervalMethod", fit.interval_method, "method of the intervals"))
    macros.append(Macro(f"{law}Draws", str(len(next(iter(fit.samples.values())))), "number of bootstrap samples"))
    codes = dict.fromkeys(line.partition(":")[0] for line in fit.verdict)
    return [*macros, Macro(f"{law}Verdict", ", ".join(codes), "codes of the verdict")]


def macro_file(macros: Iterable[Macro]) -> str:
    """Returns the file of macros: a definition per line, with its meaning as a comment."""
    lines = [
        "% Numbers of the paper, written by `python -m analysis paper`; do not edit. A space after a macro is lost:",
        r"% write \RunsCount{} runs. Counts and FLOPs are rounded to three and two digits, other numbers to what their",
        "% intervals determine.",
    ]
    for macro in macros:
        comment = printable(" ".join(macro.meaning.split())).encode("ascii", "replace").decode()
        lines.append(rf"\newcommand{{\{macro.name}}}{{{escape(macro.text)}}}% {comment}")
    return "\n".join([*lines, ""])

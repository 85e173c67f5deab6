"""The methods paragraph: what was counted and fitted, how, with which intervals, and every warning of the verdicts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis import format, laws
from analysis.fitting.result import Fit, starts_text
from analysis.laws.law import formula
from analysis.paper.forecasts import forecast_sentences
from analysis.paper.latex import escape
from analysis.report import sentences
from analysis.report.findings import Findings
from analysis.report.page import lead
from analysis.studies.forecast.scores import Outcome
from analysis.uncertainty.verdicts import has_warnings

OBJECTIVES = {  # names of OBJECTIVES in words
    "huber-log": "Huber's loss of the residuals of the logarithm",
    "lse": "Huber's loss of the residuals of the logarithm",
    "mse-log": "squared residuals of the logarithm",
    "mse-log1p": "squared residuals of ln(1 + y)",
    "mse": "squared residuals",
    "huber": "Huber's loss of the residuals",
    "lad": "absolute residuals of the logarithm",
}
SYMBOLS = {"delta": "δ", "undertuned": "τ"}  # settings of an objective
RESAMPLING = {  # schemes of the bootstrap in words
    "residuals": "the residuals of the fit are resampled",
    "cases": "the runs are drawn with replacement",
    "groups": "whole groups of runs are drawn with replacement",
    "sizes": "the runs of a model size are drawn together",
    "runs": "all rows of a run are drawn together",
    "parametric": "losses are drawn from the fitted law and its noise",
    "binomial": "scores are drawn from binomial distributions",
}


def methods(findings: Findings, outcomes: Sequence[Outcome] = ()) -> str:
    """Returns the paragraph as LaTeX: one on the runs, then one on each fit, and one on sealed forecasts.

    Args:
        findings: The fits.
        outcomes: Sealed forecasts of the store with their outcomes.
    """
    points = findings.source.points
    first = ["We fit scaling laws to " + lead(findings.source), f"Counting: {points.convention}."]
    first += [sentences.sentence(note) for note in points.notes]
    if len(points) and np.isfinite(points.C).all():
        first.append(sentences.extrapolation(points))
    paragraphs = [" ".join(map(escape, first))]
    paragraphs += [fit_paragraph(fit) for fit in findings.fits.values()]
    failed = [
        f"{name} could not be fitted: {sentences.sentence(why.removeprefix(f'{name}: '))}"
        for name, why in findings.failures.items()
    ]
    for texts in (failed, forecast_sentences(outcomes)):
        paragraphs += [" ".join(map(escape, texts))] if texts else []
    return "\n\n".join([*paragraphs, ""])


def fit_paragraph(fit: Fit) -> str:
    """Returns the paragraph on a fit: law, runs, objective, starts, intervals, resampling, notes and verdict.

    Args:
        fit: The fit.
    """
    text = [f"It was fitted to {format.plural(len(fit.points), 'run')} {_objective(fit)}; {starts_text(fit)}."]
    if fit.constraints:
        text.append(f"Not fitted: {', '.join(_constraint(name, value) for name, value in fit.constraints.items())}.")
    if fit.bounds:
        ranges = (f"{name} between {low:.4g} and {high:.4g}" for name, (low, high) in fit.bounds.items())
        text.append(f"Bounds: {', '.join(ranges)}.")
    text.append(_intervals(fit))
    text += [sentences.sentence(note) for note in fit.notes]
    warned = has_warnings(fit.verdict)
    text.append(f"Verdict: {sentences.verdict_text(fit)}" if not warned else "The verdict has warnings.")
    text += [_warning(line) for line in fit.verdict if warned]
    return " ".join([_law(fit), *map(escape, text)])


def _warning(line: str) -> str:
    """A line of a verdict with its code, such as (outliers) as sentences with short ids of runs."""
    code = line.partition(":")[0]
    return f"({code}) {sentences.sentence(line.removeprefix(f'{code}: '))}"


def _law(fit: Fit) -> str:
    """Name, source and equations of the law."""
    if fit.form is None:
        return rf"\textbf{{{escape(fit.law)}.}} {escape(laws.APPROACHES[fit.law])}."
    equations = ", ".join(f"${equation}$" for equation in fit.form.latex) or escape(formula(fit.form))
    return rf"\textbf{{{escape(fit.law)}.}} The law is {equations} ({escape(fit.form.source)})."


def _objective(fit: Fit) -> str:
    name = str(fit.objective.get("name", ""))
    words = f"by minimising the sum of {OBJECTIVES[name]}" if name in OBJECTIVES else f"with {name}"
    settings = [f"{symbol} = {fit.objective[key]:g}" for key, symbol in SYMBOLS.items() if key in fit.objective]
    if "value" in fit.objective:
        settings.append(f"value {fit.objective['value']:.4g}")
    return f"{words} ({', '.join(settings)})" if settings else words


def _constraint(name: str, value: float | str) -> str:
    return f"{name} = {value}" if isinstance(value, str) else f"{name} = {value:.4g}"


def _intervals(fit: Fit) -> str:
    draws = len(next(iter(fit.samples.values())))
    bootstrap = f"{draws} bootstrap samples, in which {RESAMPLING.get(fit.resampling, fit.resampling)}"
    if fit.profiler is not None:
        return f"Intervals are {fit.level:.0%} intervals by profile likelihood; those of other numbers use {bootstrap}."
    return f"Intervals are {fit.level:.0%} intervals of the law from {bootstrap}, without the scatter of a single run."

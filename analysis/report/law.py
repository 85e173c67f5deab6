"""The sections on fitted laws: the parametric law, warnings, refits, and power laws of one quantity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis import format
from analysis.figures.source import Source
from analysis.fitting.result import Fit, starts_text
from analysis.format import MISSING
from analysis.laws.law import LOSS_UNIT
from analysis.report import sentences
from analysis.report.findings import POWER_LAWS, Findings
from analysis.report.html import Table
from analysis.uncertainty.verdicts import has_warnings

MEANING = {
    "E": "irreducible loss",
    "A": "scale of the loss due to the number of parameters",
    "B": "scale of the loss due to the amount of data",
    "alpha": "exponent of the parameters",
    "beta": "exponent of the data",
}


@dataclass(frozen=True)
class LawSection:
    """The parametric law (approach 3).

    Attributes:
        error: Reason that the law could not be fitted, else "". With an error the other fields are empty.
        params: Parameters as text.
        irreducible: E with its interval and unit.
        table: Parameters with intervals.
        method: Data, objective and starts of the fit.
        verdict: Verdict of the fit.
        has_warnings: Whether the verdict has warnings.
        entropy_rate: Sentence that compares the entropy rate of the text with E; "" if the rate is not known.
    """

    error: str = ""
    params: dict[str, str] | None = None
    irreducible: str = ""
    table: Table | None = None
    method: str = ""
    verdict: str = ""
    has_warnings: bool = False
    entropy_rate: str = ""


@dataclass(frozen=True)
class Remark:
    """An item of the list of warnings.

    Attributes:
        about: Approach that it concerns; "" for the whole report.
        text: Text of the warning.
    """

    about: str
    text: str


def describe_law(findings: Findings) -> LawSection:
    """Returns the section on the parametric law."""
    fit = findings.fits.get("chinchilla")
    if fit is None:
        return LawSection(error=findings.failures.get("chinchilla", "not fitted").rstrip(".") + ".")
    rows = [
        (
            format.SYMBOLS.get(name, name),
            format.number(value, fit.intervals.get(name)),
            format.interval_text(fit.intervals.get(name)),
            MEANING.get(name, "") + (f", {fit.points.loss_unit}" if name == "E" else ""),
        )
        for name, value in fit.params.items()
    ]
    return LawSection(
        params={name: format.number(value, fit.intervals.get(name)) for name, value in fit.params.items()},
        irreducible=f"{format.estimate(fit.params['E'], fit.intervals['E'])} {fit.points.loss_unit}",
        table=Table(("parameter", "value", f"{fit.level:.0%} interval", "meaning"), "tnnt", rows),
        method=(
            f"Fitted to {len(fit.points)} runs (Hoffmann 2022, approach 3). Objective: {sentences.objective(fit)}. "
            f"{starts_text(fit).capitalize()}."
        ),
        verdict=sentences.verdict_text(fit),
        has_warnings=has_warnings(fit.verdict),
        entropy_rate=_entropy_rate(findings.source, fit),
    )


def _entropy_rate(source: Source, fit: Fit) -> str:
    rate, (low, high) = source.entropy_rate, fit.intervals["E"]
    if rate is None or fit.points.loss_unit != LOSS_UNIT:
        return ""
    side = "inside" if low <= rate <= high else "outside"
    return (
        f"The entropy rate of the text is known: {rate:.4f} {LOSS_UNIT}, {side} the interval of E. No model can "
        "have a lower loss on long text."
    )


def describe_warnings(findings: Findings) -> list[Remark]:
    """Returns failures and warnings of the approaches, then limits that apply to all results."""
    remarks = []
    for name, label in sentences.NAMES.items():
        if name in findings.failures:
            reason = sentences.sentence(findings.failures[name])
            remarks.append(Remark(label, f"could not be fitted: {reason}"))
        elif name in findings.fits and has_warnings(findings.fits[name].verdict):
            remarks.append(Remark(f"{label}.", sentences.verdict_text(findings.fits[name])))
    remarks += describe_departures(findings.source)
    points = findings.source.points
    if len(points):
        if np.isfinite(points.C).all():
            remarks.append(Remark("", sentences.extrapolation(points)))
        if "chinchilla-2" in findings.fits:
            remarks.append(Remark("", sentences.parabola_coverage(findings.source.isoflop())))
        counting = (
            f"Counting: {points.convention}. The exponents depend on the counting convention, most of all for small "
            "models (Porian 2024)."
        )
        remarks.append(Remark("", counting))
    return remarks + [Remark("", sentences.sentence(note)) for note in points.notes]


def describe_departures(source: Source) -> list[Remark]:
    """Returns a warning for each run whose learning curve left the band of the other runs of its sweep."""
    if source.store is None:
        return []
    return [
        Remark(
            f"Run {run_id[: sentences.SHORT_ID]}.",
            f"Its learning curve left the band at step {departure.step:,} ({departure.share:.0%} of its tokens): "
            f"{departure.reason}.",
        )
        for sweep in source.health().values()
        for run_id, departure in sweep.departures.items()
    ]


def describe_refits(fit: Fit | None) -> Table | None:
    """Returns the parameters fitted without each part of the runs; None if there are no such refits."""
    if fit is None or not fit.refits:
        return None
    names = [name for name in fit.params if name not in fit.constraints]
    rows = [
        (refit.omitted, str(refit.points), *(f"{refit.params[name]:.4g}" for name in names), f"{refit.p:.2g}")
        for refit in fit.refits
    ]
    rows.append(("none", str(len(fit.points)), *(f"{fit.params[name]:.4g}" for name in names), ""))
    head = ("omitted runs", "remaining runs", *(format.SYMBOLS.get(name, name) for name in names), "p")
    caption = (
        "The parametric law fitted without each part of the runs. p: probability of at least this deviation of the "
        "omitted runs from the law by chance."
    )
    return Table(head, "wn" + "n" * len(names) + "n", rows, caption)


def describe_power_laws(findings: Findings) -> Table:
    """Returns the parameters of each power law of one quantity, or the reason of a failed fit."""
    rows = []
    for name in POWER_LAWS:
        fit = findings.fits.get(name)
        if fit is None:
            rows.append((name, MISSING, f"no fit: {findings.failures.get(name, 'not fitted')}", ""))
            continue
        params = ", ".join(
            f"{format.SYMBOLS.get(param, param)} = {format.estimate(value, fit.intervals.get(param))}"
            for param, value in fit.params.items()
        )
        warnings = sentences.verdict_text(fit) if has_warnings(fit.verdict) else "none"
        rows.append((name, str(len(fit.points)), params, warnings))
    return Table(("law", "runs", "parameters", "warnings"), "wntt", rows)

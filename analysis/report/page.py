"""The contents of a report as plain data for the template templates/report.html.j2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis import format
from analysis.figures.evals import common
from analysis.figures.source import Source
from analysis.report import sentences
from analysis.report.evals import TITLES, Evaluations, describe_evaluations
from analysis.report.findings import Findings
from analysis.report.html import Table
from analysis.report.law import (
    LawSection,
    Remark,
    describe_law,
    describe_power_laws,
    describe_refits,
    describe_warnings,
)
from analysis.report.model_sizes import Counting, ModelSizes, describe_counting, describe_model_sizes
from analysis.report.optimum import OptimumSection, describe_optimum, predicted_optima, preferred_optimum
from analysis.report.pictures import Picture
from analysis.report.runs import describe_left_out, describe_origin, describe_runs
from analysis.report.sections import autoencoders, forecasts
from analysis.report.sections.autoencoders import Autoencoders, describe_autoencoders
from analysis.report.sections.forecasts import Forecasts, describe_forecasts
from analysis.uncertainty.verdicts import has_warnings
from scaling.store.origin.paths import public_corpus

SECTIONS = {  # title by anchor, in the order of the page
    "law": "The law",
    "optimum": "Compute-optimal training by three approaches",
    "sizes": "Optimal and other model sizes",
    "counting": "Counting conventions",
    "forecasts": "Sealed forecasts",
    "autoencoders": "Sparse autoencoders",
    "warnings": "Warnings and limits",
    "figures": "Figures",
    "evaluations": "Evaluations",
    "power-laws": "Power laws of one quantity",
    "runs": "The runs",
    "left-out": "Left out",
    "origin": "Origin",
}
IN_OTHER_SECTIONS = TITLES | forecasts.TITLES | autoencoders.TITLES  # figures that "figures" does not show


@dataclass(frozen=True)
class Summary:
    """The summary at the top, after the law.

    Attributes:
        lines: Sentences.
        warned: Approaches with warnings or without a fit.
    """

    lines: list[str]
    warned: list[str]


@dataclass(frozen=True)
class Page:
    """The contents of a report, in the order of the page.

    Attributes:
        title: Title of the page.
        lead: Number and range of the runs.
        summary: The summary.
        law: The parametric law; None for a table of scores.
        optimum: Compute-optimal training; None for a table of scores.
        model_sizes: Larger budgets and other sizes; None if no run is finished.
        counting: Counting conventions; None if no run is finished.
        forecasts: Sealed forecasts; None if there are none.
        autoencoders: Laws of sparse autoencoders; None if there are none.
        remarks: Warnings and limits.
        refits: The parametric law without each part of the runs.
        pictures: Figures of fits and training.
        evaluations: Scores by scale; None if no run was evaluated.
        power_laws: Power laws of one quantity; None for a table of scores.
        runs: The runs; None for a table of scores.
        left_out: Damaged files of the store; None if there are none.
        origin: Origin of the numbers.
    """

    title: str
    lead: str
    summary: Summary
    law: LawSection | None
    optimum: OptimumSection | None
    model_sizes: ModelSizes | None
    counting: Counting | None
    forecasts: Forecasts | None
    autoencoders: Autoencoders | None
    remarks: list[Remark]
    refits: Table | None
    pictures: list[Picture]
    evaluations: Evaluations | None
    power_laws: Table | None
    runs: Table | None
    left_out: Table | None
    origin: dict[str, str]

    @property
    def sections(self) -> dict[str, str]:
        """Titles of the sections that the page has, by their anchors."""
        parts = (
            self.law,
            self.optimum,
            self.model_sizes,
            self.counting,
            self.forecasts,
            self.autoencoders,
            self.remarks,
            self.pictures,
            self.evaluations,
            self.power_laws,
            self.runs,
            self.left_out,
            self.origin,
        )
        return {anchor: title for (anchor, title), part in zip(SECTIONS.items(), parts, strict=True) if part}


def describe(findings: Findings, pictures: Sequence[Picture]) -> Page:
    """Returns the contents of a report.

    Args:
        findings: The fits.
        pictures: The figures.
    """
    source, law = findings.source, findings.fits.get("chinchilla")
    if source.has_only_scores:
        return _describe_scores(source, pictures)
    return Page(
        title=_title(source),
        lead=lead(source),
        summary=_summary(findings),
        law=describe_law(findings),
        optimum=describe_optimum(findings),
        model_sizes=describe_model_sizes(law) if len(source.points) else None,
        counting=describe_counting(source) if len(source.points) else None,
        forecasts=describe_forecasts(source, pictures),
        autoencoders=describe_autoencoders(source, pictures),
        remarks=describe_warnings(findings),
        refits=describe_refits(law),
        pictures=[picture for picture in pictures if picture.name not in IN_OTHER_SECTIONS],
        evaluations=describe_evaluations(source, pictures),
        power_laws=describe_power_laws(findings),
        runs=describe_runs(source),
        left_out=describe_left_out(source),
        origin=describe_origin(source),
    )


def _describe_scores(source: Source, pictures: Sequence[Picture]) -> Page:
    """The page of a table of scores, which has no losses to fit."""
    return Page(
        title=f"Scores: {Path(source.name).resolve().name}",
        lead="The table has scores of tasks and no losses of runs, so that no law of the loss is fitted.",
        summary=Summary(list(common.emergence_study(source).notes), []),
        law=None,
        optimum=None,
        model_sizes=None,
        counting=None,
        forecasts=None,
        autoencoders=None,
        remarks=[],
        refits=None,
        pictures=[],
        evaluations=describe_evaluations(source, pictures),
        power_laws=None,
        runs=None,
        left_out=None,
        origin=describe_origin(source),
    )


def _title(source: Source) -> str:
    corpora = sorted(
        {public_corpus(record.config.data.corpus) for record in source.records if record.config.data.corpus}
    )
    sweeps = sorted({record.sweep for record in source.records if record.sweep})
    name = ", ".join(sweeps) or Path(source.name).resolve().name
    return f"Scaling laws: {name}" + (f" on {', '.join(corpora)}" if corpora else "")


def lead(source: Source) -> str:
    """Returns a sentence on the number of runs and the ranges of N, D and C."""
    points = source.points
    if not len(points):
        return "No run is finished yet, so there is nothing to fit. The runs are listed below."
    ranges = [
        f"{name} {format.count(values.min())} to {format.count(values.max())}"
        for name, values in (("parameters", points.N), ("tokens", points.D))
        if np.isfinite(values).all()
    ]
    if np.isfinite(points.C).all():
        ranges.append(f"compute {format.flops(points.C.min())} to {format.flops(points.C.max())} FLOPs")
    return f"{len(points)} runs; {'; '.join(ranges)}. Losses are in {points.loss_unit}."


def _summary(findings: Findings) -> Summary:
    lines = []
    fit = preferred_optimum(findings)
    if fit is not None:
        lines.append(sentences.allocation(fit))
        lines += [
            sentences.prediction(optimum, times, fit.level, fit.points.loss_unit)
            for times, optimum in predicted_optima(fit)
        ]
    warned = [sentences.NAMES[name] for name, fit in findings.approaches.items() if has_warnings(fit.verdict)]
    warned += [f"{label} (no fit)" for name, label in sentences.NAMES.items() if name in findings.failures]
    if not warned and findings.approaches:
        lines.append("The three approaches converged without warnings.")
    if not lines and not warned and "chinchilla" not in findings.fits:
        lines.append("No law could be fitted. The reasons are below.")
    return Summary(lines, warned)

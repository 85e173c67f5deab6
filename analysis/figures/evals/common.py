"""Shared functions of the figures of evaluations: the study, its findings by family, and marks of metrics."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from analysis.data.options import ReadOptions
from analysis.data.record_cache import StoreSnapshot
from analysis.errors import DataError
from analysis.evals import emergence
from analysis.evals.emergence import EmergenceStudy
from analysis.evals.tasks import Curve, Finding
from analysis.evals.verdict import ARTEFACT, BREAK, INCONCLUSIVE, SMOOTH
from analysis.figures import marks, style
from analysis.figures.options import SourceOptions
from analysis.figures.source import Source, source_of_study

VERDICT_MARKERS = {SMOOTH: "o", ARTEFACT: "D", BREAK: "^", INCONCLUSIVE: "o"}
VERDICT_SIZES = {SMOOTH: 13, ARTEFACT: 13, BREAK: 20, INCONCLUSIVE: 13}
VERDICT_KEY = f"Discs: smooth; diamonds: {ARTEFACT}; triangles: break; hollow: {INCONCLUSIVE}."
SCALE_LABELS = {"C": style.C_LABEL, "N": style.N_LABEL, "D": style.D_LABEL}


def read(path: Path | StoreSnapshot, options: SourceOptions = SourceOptions(), axis: str | None = None) -> Source:
    """Reads a store whose runs were evaluated, or a table of scores.

    Args:
        path: The store, its folder, or the file of the table.
        options: Reading of the source, and scale, tasks and metrics of the scores.
        axis: Scale of the curves for a figure that shows one scale only; None uses that of the options.

    Raises:
        DataError: Bad input.
    """
    scores = replace(options.scores, level=options.fits.level, seed=options.fits.seed, x=axis or options.scores.x)
    study = emergence.emergence_study(path, scores, options.reading)
    return source_of_study(path, "emergence", study, options)


def emergence_study(source: Source) -> EmergenceStudy:
    """Returns the study of a source, computed at first use. Raises DataError if the runs were not evaluated."""
    if "emergence" not in source.results:
        scores = replace(source.scores, level=source.level, seed=source.options.seed)
        reading = source.reading
        if source.store is not None:  # whose columns are known
            reading = ReadOptions(where=reading.where, flops=reading.flops, params=reading.params)
        source.results["emergence"] = emergence.emergence_study(source.store or source.name, scores, reading)
    study: EmergenceStudy = source.results["emergence"]
    return study


def findings_by_family(study: EmergenceStudy) -> dict[str, list[Finding]]:
    """Returns the findings of tasks with a score by family, easy tasks first. Raises DataError if there are none."""
    families: dict[str, list[Finding]] = {}
    for finding in with_fewest_shots(study):
        if finding.score is not None:
            families.setdefault(finding.task.family, []).append(finding)
    if not families:
        raise DataError(f"{study.source}: no task has a score; only losses were recorded")
    for findings in families.values():
        findings.sort(key=lambda finding: (np.nan_to_num(finding.task.difficulty), finding.task.name))
    return families


def with_fewest_shots(study: EmergenceStudy) -> list[Finding]:
    """Returns the finding with the fewest shots for each task."""
    chosen: dict[str, Finding] = {}
    for finding in sorted(study.findings, key=lambda finding: finding.task.shots):
        chosen.setdefault(finding.task.name.split("@")[0], finding)
    return [finding for finding in study.findings if finding in chosen.values()]


def scale_label(study: EmergenceStudy, axis: str) -> str:
    """Returns the label of a scale: C, N, D, or L in the unit of the losses of the study."""
    return SCALE_LABELS.get(axis) or style.loss_label(study.loss_unit)


def label_bottom_row(panels: list[Axes], count: int, columns: int, label: str) -> None:
    """Labels the last panel of each column and removes the unused ones.

    Args:
        panels: All panels of a grid, row by row.
        count: Number of panels used.
        columns: Number of columns of the grid.
        label: Label of the horizontal axis.
    """
    for axes in panels[count:]:
        axes.remove()
    for axes in panels[max(0, count - columns) : count]:
        axes.set_xlabel(label, fontsize=7.5)


def draw_curve(axes: Axes, finding: Finding, curve: Curve, color: Any) -> None:
    """Draws a metric by scale: a line, markers that show the verdict, and intervals.

    Args:
        axes: The panel.
        finding: Finding of the task.
        curve: A metric of the task by scale.
        color: Colour of all marks.
    """
    verdict = finding.verdict.verdict
    name, (low, high) = f"{curve.metric} of {finding.task.name}", curve.interval.T
    marks.line(axes, name, curve.x, curve.mean, color=color, linewidth=0.9)
    marks.bars(axes, f"interval of {name}", curve.x, low, high, color=color, linewidth=0.7)
    marks.points(
        axes,
        name,
        curve.x,
        curve.mean,
        filled=np.full(len(curve.x), verdict != INCONCLUSIVE),
        color=color,
        marker=VERDICT_MARKERS[verdict],
        s=VERDICT_SIZES[verdict],
    )


def draw_chance(axes: Axes, level: float) -> None:
    """Draws a dashed line at the score of a random guess, if it is known.

    Args:
        axes: The panel.
        level: The score.
    """
    if np.isfinite(level):
        axes.axhline(level, color=style.GREY, linewidth=0.8, linestyle=(0, (4, 2)), zorder=1, gid="chance")


def shade_changepoint(axes: Axes, finding: Finding, axis: str) -> None:
    """Shades the interval of the changepoint if the score jumps.

    Args:
        axes: The panel.
        finding: Finding of the task.
        axis: Scale of the curves: C, N, D or L.
    """
    sharpness = finding.verdict.score
    if sharpness is None or finding.verdict.verdict not in (ARTEFACT, BREAK):
        return
    low, high = (emergence.scale_value(x, axis) for x in sharpness.interval)
    axes.axvspan(low, high, color=style.GREY, alpha=0.18, linewidth=0, zorder=0)
    if low == high:
        axes.axvline(low, color=style.GREY, alpha=0.6, linewidth=1.2, zorder=0)

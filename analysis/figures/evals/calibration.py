"""Reliability diagram (Guo 2017, figure 1) and risk-coverage curve (Geifman 2017).

SOURCE is a store whose runs were evaluated on tasks with choices. The figure shows the largest run of each task, for at
most as many tasks as COLORS.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from analysis.data.record_cache import StoreSnapshot, as_snapshot
from analysis.errors import DataError
from analysis.evals.calibration import COVERAGES, Calibration, load_answers, measure_calibration, reliability_bins
from analysis.evals.options import CalibrationOptions
from analysis.figures import marks, style
from analysis.figures.options import SourceOptions
from analysis.figures.source import Source, source_of_study
from scaling.store.score_intervals import wilson_interval

COLORS = (style.BLUE, style.VERMILION, style.GREEN, style.PURPLE, style.ORANGE, style.SKY)
CAPTION = (
    "Left: accuracy against the model's confidence in its answers, in ten bins, with {level:.0%} intervals. A "
    "calibrated model lies on the dashed diagonal. Right: error rate among the most confident items against their "
    "share (coverage), with bootstrap intervals."
)


def read(path: Path | StoreSnapshot, options: SourceOptions = SourceOptions()) -> Source:
    """Reads the answers of the largest run to each task. Raises DataError if there are none."""
    store = as_snapshot(path)
    sizes = {record.run_id: record.params.get("total", 0) for record in store.records()}
    fits = options.fits
    measured = CalibrationOptions(fits.bootstrap, fits.level, fits.seed, tasks=options.scores.tasks)
    by_size = sorted(load_answers(store, measured), key=lambda answers: sizes.get(answers.run, 0))
    largest = {answers.task: answers for answers in by_size}
    study = {task: measure_calibration(answers, measured) for task, answers in largest.items()}
    return source_of_study(path, "calibration", study, options)


def figure(source: Source, width: float = style.TEXT_WIDTH) -> Figure:
    """Draws two panels with one colour per task.

    Args:
        source: Result of `read`.
        width: Width in inches.

    Raises:
        DataError: The source has no items with choices.
    """
    study: dict[str, Calibration] | None = source.results.get("calibration")
    if study is None:
        raise DataError(f"{source.name}: has no items with choices: give a store whose runs were evaluated")
    fig, (reliability, risk) = style.panels(width, 1, 2, height=2.6)
    reliability.plot([0, 1], [0, 1], color=style.GREY, linestyle="--", linewidth=0.8)
    for color, (task, calibration) in zip(COLORS, sorted(study.items()), strict=False):
        bins = reliability_bins(calibration.answers.confidence, calibration.answers.correct)
        confidence, accuracy = (np.array([values[i] for values in bins]) for i in (0, 1))
        low, high = np.array([wilson_interval(share * count, count, source.level) for _, share, count in bins]).T
        marks.bars(reliability, task, confidence, low, high, color=color)
        marks.line(reliability, task, confidence, accuracy, color=color, marker="o", markersize=2.6, label=task)
        marks.line(risk, task, COVERAGES, calibration.risk, color=color, label=task)
        marks.band(risk, task, COVERAGES, *calibration.risk_interval.T, color=color)
    reliability.set(xlim=(0, 1), ylim=(0, 1), xlabel="Confidence", ylabel="Accuracy")
    risk.set(xlim=(0, 1), ylim=(0, None), xlabel="Coverage", ylabel="Error rate")
    style.legend_below(fig, reliability, 3)
    return fig

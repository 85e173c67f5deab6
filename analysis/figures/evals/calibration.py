"""Reliability (Guo 2017, figure 1) and abstention (Geifman 2017): confidence against accuracy, error against coverage.

SOURCE is a store whose runs were asked tasks with choices. Of several runs of a task the one with the most parameters
is shown, of several tasks the first of COLORS.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from analysis.data.points import Points
from analysis.errors import DataError
from analysis.evals.calibration import COVERAGES, Calibration, bins, load, study
from analysis.evals.metrics import wilson
from analysis.figures import marks, style
from analysis.figures.source import Source
from scaling.store.record import Store

COLORS = (style.BLUE, style.VERMILION, style.GREEN, style.PURPLE, style.ORANGE, style.SKY)
CAPTION = (
    "Left: share of right answers against the model's confidence in them, in ten bins, with 95% intervals; on the "
    "dashed diagonal confidence is true. Right: error rate among the items it is most sure of, against their share, "
    "with a bootstrap band: what abstaining on the others is worth."
)


def read(path: Path) -> Source:
    """The largest run's answers to each task; DataError where the store has none."""
    records = {record.run_id: record.params.get("total", 0) for record in Store(path).records()}
    best: dict[str, Calibration] = {}
    known = sorted(load(path), key=lambda one: records.get(one.run, 0))
    for one in {one.task: one for one in known}.values():
        best[one.task] = study(one)
    nothing = np.zeros(0)
    points = Points(nothing, nothing, nothing, nothing, [], source=str(path))
    return Source(str(path), points, kept={"calibration": best})


def figure(source: Source, width: float = style.TEXT) -> Figure:
    """Two panels, a colour a task."""
    if "calibration" not in source.kept:
        raise DataError(f"{source.name}: holds no items with choices: give a store whose runs were evaluated")
    fig, (left, right) = style.panels(width, 1, 2, height=2.6)
    left.plot([0, 1], [0, 1], color=style.GREY, linestyle="--", linewidth=0.8)
    for color, (task, one) in zip(COLORS, sorted(source.kept["calibration"].items()), strict=False):
        at = bins(one.of.confidence, one.of.right)
        x, y = (np.array([b[i] for b in at]) for i in (0, 1))
        low, high = np.array([wilson(a * n, n) for _, a, n in at]).T
        marks.bars(left, task, x, low, high, color=color)
        marks.line(left, task, x, y, color=color, marker="o", markersize=2.6, label=task)
        marks.line(right, task, COVERAGES, one.risk, color=color, label=task)
        marks.band(right, task, COVERAGES, *one.risk_interval.T, color=color)
    left.set(xlim=(0, 1), ylim=(0, 1), xlabel="Confidence", ylabel="Accuracy")
    right.set(xlim=(0, 1), ylim=(0, None), xlabel="Coverage", ylabel="Error rate")
    style.legend_below(fig, left, 3)
    return fig

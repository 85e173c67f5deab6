"""The runs that are advised over those there are, and the interval expected for the FLOPs
(analysis/planning/next_runs.py)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.errors import DataError
from analysis.figures import marks, style
from analysis.figures.save import FORMATS, render
from analysis.fitting.result import Fit
from analysis.planning.next_runs import Advice
from scaling.store.files import write_atomic

CAPTION = (
    "Which runs to add. (a) The runs there are and those advised, larger where they narrow the interval more; the line "
    "is the fit's compute-optimal path. (b) The {level:.0%} interval of {target}: now, and as expected for the FLOPs."
)


def figure(fit: Fit, advice: Advice, width: float = style.TEXT) -> Figure:
    """Two panels: sizes against FLOPs; the interval against FLOPs spent."""
    fig, (plane, shrinking) = style.panels(width, 1, 2, height=2.6, ratios=(1.15, 1))
    _plane(plane, fit, advice)
    _shrinking(shrinking, advice)
    return fig


def _plane(axes: Axes, fit: Fit, advice: Advice) -> None:
    points = fit.points
    marks.points(axes, "runs", points.C, points.N, color=style.BLACK, s=9, label="runs")
    C, N = (np.array([run[letter] for run in advice.runs]) for letter in "CN")
    if len(C):
        before = np.array([1.0, *(run["ratio"] for run in advice.runs[:-1])])
        narrows = np.log(before / [run["ratio"] for run in advice.runs])
        size = 10 + 60 * narrows / narrows.max()
        marks.points(axes, "advised", C, N, color=style.VERMILION, marker="D", s=size, label="advised")
    every = np.concatenate([points.C, C])
    if fit.optimum is not None:
        line = np.geomspace(every.min(), every.max(), 50)
        best = [fit.optimum.at(float(c))["N"] for c in line]
        marks.line(axes, "optimal path", line, best, color=style.GREY, linewidth=0.9, zorder=1, label="optimum")
    axes.set(xlabel=style.C_LABEL, ylabel=style.N_LABEL)
    axes.set(xlim=style.limits(every), ylim=style.limits(np.concatenate([points.N, N])))
    style.log_axes(axes)
    axes.legend(loc="upper left")


def _shrinking(axes: Axes, advice: Advice) -> None:
    C = np.array([flops for flops, _ in advice.curve])
    low, high = np.array([advice.expected(ratio) for _, ratio in advice.curve]).T
    marks.band(axes, "expected interval", C, low, high, color=style.VERMILION)
    for bound in advice.interval:
        axes.axhline(bound, color=style.GREY, linewidth=0.8, linestyle=":")
    marks.line(axes, "estimate", C, np.full(len(C), advice.value), color=style.VERMILION)
    spent = sum(run["C"] for run in advice.runs)
    if spent:
        axes.axvline(spent, color=style.BLACK, linewidth=0.8, linestyle="--")
    axes.set(xlabel="FLOPs added", ylabel=str(advice.target))
    axes.set_xscale("log")
    if advice.target.what != "L":
        axes.set_yscale("log")


def save(fit: Fit, advice: Advice, out: Path) -> None:
    """Draws into `out`. Raises DataError for a format that is not known."""
    kind = out.suffix.removeprefix(".").lower()
    if kind not in FORMATS:
        raise DataError(f"{out}: a figure is saved as {', '.join('.' + f for f in FORMATS)}")
    with style.context():
        drawn = figure(fit, advice)
        style.settle(drawn)
    write_atomic(out, render(drawn, kind))

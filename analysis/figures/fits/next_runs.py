"""Recommended runs, and the expected interval against their compute (analysis/planning/next_runs.py)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures import marks, style
from analysis.figures.save import file_format, render
from analysis.fitting.result import Fit
from analysis.planning.next_runs import Advice
from scaling.store.files import write_atomic

CAPTION = (
    "Recommended runs. (a) Existing and recommended runs; larger marks narrow the interval more. The line is the "
    "compute-optimal path of the fit. (b) The {level:.0%} interval of {target}: current (dotted), and expected against "
    "the added compute."
)


def figure(fit: Fit, advice: Advice, width: float = style.TEXT_WIDTH) -> Figure:
    """Draws model size against compute, and the expected interval against the added compute.

    Args:
        fit: The law fitted to the existing runs.
        advice: The recommended runs.
        width: Width in inches.
    """
    fig, (runs, interval) = style.panels(width, 1, 2, height=2.6, ratios=(1.15, 1))
    _runs(runs, fit, advice)
    _interval(interval, advice)
    return fig


def _runs(axes: Axes, fit: Fit, advice: Advice) -> None:
    points = fit.points
    marks.points(axes, "runs", points.C, points.N, color=style.BLACK, s=9, label="runs")
    C, N = (np.array([run[letter] for run in advice.runs]) for letter in "CN")
    if len(C):
        before = np.array([1.0, *(run["ratio"] for run in advice.runs[:-1])])
        narrowing = np.log(before / [run["ratio"] for run in advice.runs])
        size = 10 + 60 * narrowing / narrowing.max()
        marks.points(axes, "recommended", C, N, color=style.VERMILION, marker="D", s=size, label="recommended")
    all_C, all_N = np.concatenate([points.C, C]), np.concatenate([points.N, N])
    if fit.optimum is not None:
        grid = np.geomspace(all_C.min(), all_C.max(), 50)
        best = [fit.optimum.at(float(c))["N"] for c in grid]
        marks.line(axes, "optimal path", grid, best, color=style.GREY, linewidth=0.9, zorder=1, label="optimum")
    axes.set(xlabel=style.C_LABEL, ylabel=style.N_LABEL)
    axes.set(xlim=style.log_limits(all_C), ylim=style.log_limits(all_N))
    style.log_axes(axes)
    axes.legend(loc="upper left")


def _interval(axes: Axes, advice: Advice) -> None:
    C = np.array([flops for flops, _ in advice.curve])
    low, high = np.array([advice.expected(ratio) for _, ratio in advice.curve]).T
    marks.band(axes, "expected interval", C, low, high, color=style.VERMILION)
    for bound in advice.interval:
        axes.axhline(bound, color=style.GREY, linewidth=0.8, linestyle=":")
    marks.line(axes, "estimate", C, np.full(len(C), advice.value), color=style.VERMILION)
    spent = sum(run["C"] for run in advice.runs)
    if spent:
        axes.axvline(spent, color=style.BLACK, linewidth=0.8, linestyle="--")
    axes.set(xlabel="Added compute (FLOPs)", ylabel=str(advice.target))
    axes.set_xscale("log")
    if advice.target.quantity != "L":
        axes.set_yscale("log")


def save(fit: Fit, advice: Advice, out: Path) -> None:
    """Writes the figure to a file.

    Args:
        fit: The law fitted to the existing runs.
        advice: The recommended runs.
        out: File to write: .pdf, .png or .svg.

    Raises:
        DataError: The format is unknown.
    """
    kind = file_format(out)
    with style.style_context():
        drawing = figure(fit, advice)
        style.fix_layout(drawing)
    write_atomic(out, render(drawing, kind))

"""Learning curves against compute, and the compute-efficient frontier.

Kaplan 2020, figure 1; Hoffmann 2022, figure 2.
"""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure

from analysis.errors import DataError
from analysis.figures import marks, style
from analysis.figures.source import LearningCurve, Source
from analysis.fitting.selection import efficient_frontier

BINS = 24  # number of windows per decade of compute
REACH = 300  # ratio of the compute of the smallest run to the start of the axis; earlier, all curves look the same
CAPTION = (
    "Learning curves, coloured by model size. Lines: training loss, averaged within windows of a 24th of a decade of "
    "compute. Small dots: held-out loss during training; large ones: at the end of a finished run. Crosses: runs that "
    "diverged, at their last step. Black: the compute-efficient frontier, finished runs with a lower held-out loss "
    "than all runs with less compute."
)


def figure(source: Source, width: float = style.TEXT_WIDTH) -> Figure:
    """Draws all learning curves in one panel.

    Args:
        source: A store.
        width: Width in inches.

    Raises:
        DataError: The source has no learning curves.
    """
    curves = [curve for curve in source.curves() if len(curve.C)]
    if not curves:
        raise DataError(f"{source.name}: no run has a learning curve yet: train a run first")
    fig, (axes,) = style.panels(width, 1, 1, height=2.7 if style.is_narrow(width) else 3.1)
    colors = LinearSegmentedColormap.from_list(
        "viridis-dark", colormaps["viridis"](np.linspace(*style.VIRIDIS_RANGE, 256))
    )
    sizes = [curve.N for curve in curves]
    norm = LogNorm(min(sizes) / 1.01, max(sizes) * 1.01)
    for curve in curves:
        _draw(axes, curve, colors(norm(curve.N)))
    _draw_frontier(axes, source)
    low, high = style.log_limits(*(curve.C for curve in curves), pad=0.02)
    low = max(low, min(curve.C[-1] for curve in curves) / REACH)
    losses = _draw_entropy_rate(axes, source, (low, high))
    axes.set(
        xlabel=style.C_LABEL,
        ylabel=style.loss_label(source.points.loss_unit),
        xlim=(low, high),
        ylim=_loss_limits(curves, losses, low),
    )
    style.log_axes(axes)
    _legend(axes, curves)
    bar = fig.colorbar(ScalarMappable(norm, colors), ax=axes, pad=0.015, aspect=32)
    bar.set_label(style.N_LABEL)
    bar.outline.set_visible(False)
    style.log_axes(bar.ax, x=False)
    bar.ax.grid(False)
    return fig


def _draw(axes: Axes, curve: LearningCurve, color: tuple[float, float, float, float]) -> None:
    name, done = curve.run_id[:12], curve.status == "done"
    marks.line(axes, f"training loss {name}", *smooth(curve.C, curve.loss), color=color, linewidth=0.7, alpha=0.8)
    middle = slice(None, -1) if done else slice(None)
    marks.points(axes, f"held-out loss {name}", curve.val_C[middle], curve.val_loss[middle], color=color, s=5)
    if done:
        marks.points(axes, f"final held-out loss {name}", curve.val_C[-1:], curve.val_loss[-1:], color=color, s=16)
    elif curve.status == "diverged" and len(curve.C):
        C, loss = curve.C[-1:], curve.loss[-1:]
        marks.points(axes, f"diverged {name}", C, loss, color=style.VERMILION, marker="X", s=26, zorder=6)


def _draw_frontier(axes: Axes, source: Source) -> None:
    points = source.points
    best = efficient_frontier(points.C, points.L) if len(points) else np.zeros(0, int)
    marks.line(
        axes,
        "compute frontier",
        points.C[best],
        points.L[best],
        color=style.BLACK,
        linewidth=1.0,
        zorder=5,
        marker="o",
        markersize=2.6,
        label="compute-efficient frontier",
    )


def _draw_entropy_rate(axes: Axes, source: Source, ends: tuple[float, float]) -> np.ndarray:
    """Draws the entropy rate of the text if it is known; returns the losses of the points and the entropy rate."""
    rate = source.entropy_rate
    if rate is None:
        return np.asarray(source.points.L)
    marks.line(
        axes,
        "entropy rate",
        ends,
        (rate, rate),
        color=style.BLACK,
        linestyle=":",
        linewidth=1.0,
        label="entropy rate of the text",
    )
    return np.append(source.points.L, rate)


def _legend(axes: Axes, curves: list[LearningCurve]) -> None:
    axes.plot([], [], color=style.GREY, linewidth=0.7, label="training loss, smoothed")
    axes.scatter([], [], s=16, color=style.GREY, edgecolors="white", linewidths=0.4, label="held-out loss")
    if any(curve.status == "diverged" for curve in curves):
        axes.scatter([], [], s=26, marker="X", color=style.VERMILION, edgecolors="white", label="diverged")
    axes.legend(loc="upper right")


def _loss_limits(curves: list[LearningCurve], L: np.ndarray, low: float) -> tuple[float, float]:
    """Limits that contain the losses L and the smoothed curves from compute `low` on."""
    visible = [(curve, low <= curve.C) for curve in curves]
    smoothed = [smooth(curve.C[rows], curve.loss[rows])[1] for curve, rows in visible]
    return style.log_limits(*smoothed, L, pad=0.04)


def smooth(C: np.ndarray, loss: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Averages a learning curve within windows of 1/BINS of a decade of compute.

    Args:
        C: Compute in FLOPs (s,).
        loss: Loss (s,).

    Returns:
        Mean compute and mean loss of each window.
    """
    if not len(C):
        return C, loss
    window = np.floor(np.log10(C) * BINS).astype(int)
    _, index = np.unique(window, return_inverse=True)
    count = np.bincount(index)
    return np.bincount(index, C) / count, np.bincount(index, loss) / count

"""Every learning curve against compute, and the frontier of what a budget bought (Kaplan 2020, figure 1; Hoffmann 2022,
figure 2)."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure

from analysis.errors import DataError
from analysis.figures import marks, style
from analysis.figures.source import Curve, Source
from analysis.fitting.selection import frontier

BINS = 24  # a decade of compute
SHOWN = 300  # the axis starts at the smallest run's compute over this: before it, all curves are the same fall
CAPTION = (
    "Learning curves, coloured by model size. Lines: training loss, averaged within windows of a 24th of a decade of "
    "compute. Small dots: held-out loss while training; large ones: at the end of a run that is done. Crosses: runs "
    "that diverged, at their last step. Black: the compute frontier, the finished runs that no cheaper run equals in "
    "held-out loss."
)


def figure(source: Source, width: float = style.TEXT) -> Figure:
    """One panel; DataError where the source keeps no curves."""
    curves = [curve for curve in source.curves() if len(curve.C)]
    if not curves:
        raise DataError(f"{source.name}: no run has a learning curve yet: train one first")
    fig, (axes,) = style.panels(width, 1, 1, height=3.1 if width > 4.5 else 2.7)
    cut = colormaps["viridis"](np.linspace(0.06, 0.86, 256))
    colors = LinearSegmentedColormap.from_list("viridis-ink", cut)
    sizes = [c.N for c in curves]
    norm = LogNorm(min(sizes) / 1.01, max(sizes) * 1.01)
    for curve in curves:
        _draw(axes, curve, colors(norm(curve.N)))
    points = source.points
    best = frontier(points.C, points.L) if len(points) else np.zeros(0, int)
    marks.line(
        axes, "compute frontier", points.C[best], points.L[best], color=style.BLACK, linewidth=1.0, zorder=5,
        marker="o", markersize=2.6, label="compute frontier",
    )  # fmt: skip
    low, high = style.limits(*(c.C for c in curves), pad=0.02)
    low = max(low, min(c.C[-1] for c in curves) / SHOWN)
    floor = source.entropy_rate
    if floor is not None:
        marks.line(axes, "entropy rate", (low, high), (floor, floor), color=style.BLACK, linestyle=":", linewidth=1.0,
                   label="entropy rate of the text")  # fmt: skip
    bottom, top = _loss_limits(curves, np.append(points.L, floor or []), low)
    axes.set(xlabel=style.C_LABEL, ylabel=style.L_LABEL, xlim=(low, high), ylim=(bottom, top))
    style.log_axes(axes)
    _legend(axes, curves)
    bar = fig.colorbar(ScalarMappable(norm, colors), ax=axes, pad=0.015, aspect=32)
    bar.set_label(style.N_LABEL)
    bar.outline.set_visible(False)
    style.log_axes(bar.ax, x=False)
    bar.ax.grid(False)
    return fig


def _draw(axes: Axes, curve: Curve, color: tuple[float, float, float, float]) -> None:
    name = curve.run_id[:12]
    marks.line(axes, f"training loss {name}", *smooth(curve.C, curve.loss), color=color, linewidth=0.7, alpha=0.8)
    ended = curve.status == "done"
    middle = slice(None, -1) if ended else slice(None)
    marks.points(axes, f"held-out loss {name}", curve.val_C[middle], curve.val_loss[middle], color=color, s=5)
    if ended:
        marks.points(axes, f"final held-out loss {name}", curve.val_C[-1:], curve.val_loss[-1:], color=color, s=16)
    elif curve.status == "diverged" and len(curve.C):
        marks.points(
            axes, f"diverged {name}", curve.C[-1:], curve.loss[-1:], color=style.VERMILION, marker="X", s=26, zorder=6
        )


def _legend(axes: Axes, curves: list[Curve]) -> None:
    axes.plot([], [], color=style.GREY, linewidth=0.7, label="training loss, smoothed")
    axes.scatter([], [], s=16, color=style.GREY, edgecolors="white", linewidths=0.4, label="held-out loss")
    if any(c.status == "diverged" for c in curves):
        axes.scatter([], [], s=26, marker="X", color=style.VERMILION, edgecolors="white", label="diverged")
    axes.legend(loc="upper right")


def _loss_limits(curves: list[Curve], L: np.ndarray, low: float) -> tuple[float, float]:
    shown = [(c.C, c.loss, low <= c.C) for c in curves]
    smoothed = [smooth(C[late], loss[late])[1] for C, loss, late in shown]
    return style.limits(*smoothed, L, pad=0.04)


def smooth(C: np.ndarray, loss: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean loss and mean compute within windows of 1/BINS of a decade: no lag, and no more points than can be seen."""
    if not len(C):
        return C, loss
    window = np.floor(np.log10(C) * BINS).astype(int)
    _, where = np.unique(window, return_inverse=True)
    count = np.bincount(where)
    return np.bincount(where, C) / count, np.bincount(where, loss) / count

"""Contours of the fitted surface L(N, D) over compute and size, and slices at fixed compute (Hoffmann 2022, fig. 4)."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.errors import FitError
from analysis.figures import marks, style
from analysis.figures.contrast import text_color
from analysis.figures.fits.common import linestyle
from analysis.figures.source import Source
from analysis.fitting.result import Fit
from analysis.format import short_loss_unit

CAPTION = (
    "The parametric law (approach 3) as a surface. (a) Contours of equal loss over compute and model size, the fitted "
    "runs, and the compute-optimal path N*(C) with its {level:.0%} interval, extrapolated to a hundred times the "
    "largest budget. The law is extrapolated to the right of the dotted line. (b) Slices at fixed compute, with the "
    "nearest runs; crosses: the minima of the law."
)
LEVELS, GRID, SLICES = 14, 120, 6
REACH = 130.0  # upper end of the compute axis, relative to the largest compute of a run
NEAR = 0.25  # largest distance in ln C of a run that is shown with a slice


def figure(source: Source, width: float = style.TEXT_WIDTH, law: str = "chinchilla") -> Figure:
    """Draws the surface over C and N with the compute-optimal path, and slices of it at fixed compute.

    Args:
        source: Points of a store or file.
        width: Width in inches.
        law: A law of N and D.

    Raises:
        FitError: The law cannot be fitted, or is not a law of N and D.
    """
    fit = source.fit(law)
    if fit.form is None or fit.form.inputs != ("N", "D"):
        raise FitError(f"{fit.law} is not a law of N and D: use one, such as chinchilla")
    fig, (plane, slices) = style.panels(width, 1, 2, height=2.6, ratios=(1.15, 1))
    _plane(plane, fit)
    _slices(slices, fit)
    style.legend_below(fig, slices, 3 if style.is_narrow(width) else 6, f"(b): {style.C_LABEL}")
    return fig


def _plane(axes: Axes, fit: Fit) -> None:
    points = fit.points
    largest = float(points.C.max())
    c_low = style.log_limits(points.C)[0]
    C = np.geomspace(c_low, REACH * largest, GRID)
    path = _path(fit, C)
    n_low, n_high = style.log_limits(points.N, [path["N"][-1]] if path else [])
    N = np.geomspace(n_low, n_high, GRID)
    c_CN, n_CN = np.meshgrid(C, N)
    L = np.asarray(fit.predict(N=n_CN, D=fit.points.compute_cost.tokens(c_CN, n_CN)), float)

    # Levels span the best losses along the path. The range of all losses would leave few levels near the path.
    best = L.min(axis=0)
    levels = np.geomspace(best[-1], float(points.L.max()) * 1.05, LEVELS)
    contours = axes.contour(C, N, L, levels=levels, colors=style.sequential_colors(-levels), linewidths=0.7)
    contours.set_gid(f"loss ({short_loss_unit(fit.points.loss_unit)})")
    marks.points(axes, "runs", points.C, points.N, color=style.BLACK, s=9)
    if path:
        _draw_path(axes, fit, C, path)
    axes.axvline(largest, color=style.GREY, linewidth=0.8, linestyle=":")
    axes.set(xlim=(c_low, C[-1]), ylim=(n_low, n_high), xlabel=style.C_LABEL, ylabel=style.N_LABEL)
    axes.grid(False)
    style.log_axes(axes)
    _label_levels(axes, C, N, L, levels)


def _draw_path(axes: Axes, fit: Fit, C: np.ndarray, path: dict[str, np.ndarray]) -> None:
    color, series = style.VERMILION, "optimal path"
    marks.band(axes, f"{series}, {fit.level:.0%} interval", C, path["low"], path["high"], color=color)
    marks.line(axes, series, C, path["N"], color=color, zorder=2.5, linestyle=linestyle(fit.verdict))
    i = int(0.68 * GRID)
    _write(axes, C[i], path["N"][i], "$N^{\\ast}(C)$", offset=(16, -15), color=color, fontsize=8)


def _label_levels(axes: Axes, C: np.ndarray, N: np.ndarray, L: np.ndarray, levels: np.ndarray) -> None:
    """Writes the loss at contours that cross the upper edge of the panel, without overlaps."""
    row = int(0.93 * len(N))
    last = 0.0
    for level in levels[::-1]:
        crossing = np.flatnonzero(np.diff(np.sign(L[row] - level)))
        if len(crossing) and 0.04 < (position := crossing[0] / len(C)) < 0.9 and position - last > 0.11:
            _write(axes, C[crossing[0]], N[row], f"{level:.2f}", fontsize=6.5, color=style.BLACK)
            last = position


def _write(
    axes: Axes, x: float, y: float, text: str, *, color: str, fontsize: float, offset: tuple[float, float] = (0, 0)
) -> None:
    """Writes text on a white background; `offset` is in points."""
    axes.annotate(
        text,
        (x, y),
        offset,
        textcoords="offset points",
        ha="center",
        va="center",
        bbox={"boxstyle": "square,pad=0.12", "facecolor": "white", "edgecolor": "none"},
        zorder=6,
        color=text_color(color),
        fontsize=fontsize,
    )


def _path(fit: Fit, C: np.ndarray) -> dict[str, np.ndarray]:
    """N*(C) and its interval; empty if the law has no optimum."""
    if fit.optimum is None:
        return {}
    optima = [fit.optimum.at(float(c)) for c in C]
    return {
        "N": np.array([optimum["N"] for optimum in optima]),
        "low": np.array([optimum["intervals"]["N"][0] for optimum in optima]),
        "high": np.array([optimum["intervals"]["N"][1] for optimum in optima]),
    }


def _slices(axes: Axes, fit: Fit) -> None:
    points = fit.points
    budgets = _slice_budgets(fit)
    n_low, n_high = style.log_limits(points.N, pad=0.12)
    N = np.geomspace(n_low, n_high, GRID)
    for C, color in zip(budgets, style.sequential_colors(budgets), strict=True):
        near = np.abs(np.log(points.C / C)) < NEAR
        name, label = f"C = {C:.2g} FLOPs", f"${style.math_number(C)}$"
        L = fit.predict(N=N, D=fit.points.compute_cost.tokens(C, N))
        marks.line(axes, f"law, {name}", N, L, color=color, linewidth=0.9, label=label)
        marks.points(axes, f"runs, {name}", points.N[near], points.L[near], color=color, s=11)
        if fit.optimum is not None:
            best = fit.optimum.at(float(C))
            marks.points(axes, f"minimum, {name}", best["N"], best["L"], color=color, marker="P", s=30, zorder=4)
    loss_limits = style.log_limits(points.L, pad=0.1)
    axes.set(xlim=(n_low, n_high), ylim=loss_limits, xlabel=style.N_LABEL, ylabel=style.loss_label(points.loss_unit))
    style.log_axes(axes)


def _slice_budgets(fit: Fit) -> np.ndarray:
    """At most SLICES budgets of the sweep, or values of compute over the range of the points, including both ends."""
    points = fit.points
    if points.budgets is not None:
        distinct = np.unique([np.median(points.C[points.budgets == budget]) for budget in np.unique(points.budgets)])
    else:
        distinct = np.geomspace(points.C.min(), points.C.max(), SLICES)
    chosen = np.unique(np.linspace(0, len(distinct) - 1, SLICES).round().astype(int))
    return distinct[chosen]

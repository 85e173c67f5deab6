"""Loss against compute, data and model size, with power laws through their frontier or all runs (Kaplan 2020)."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.errors import DataError, FitError
from analysis.figures import marks, style
from analysis.figures.contrast import text_color
from analysis.figures.fits.common import linestyle
from analysis.figures.source import Source
from analysis.fitting.result import Fit
from analysis.fitting.selection import rows_of_input

CAPTION = (
    "Held-out loss against (a) compute, (b) training data and (c) model size. Black: the runs that the laws are "
    "fitted to, which are all if their losses fall along one curve, else the frontier: runs with a lower loss than all "
    "runs with a smaller value of that quantity. Grey: other runs, "
    "limited by another quantity. Red: a pure power law; blue: a power law with an irreducible loss E; both with "
    "{level:.0%} intervals, dashed if the fit has warnings."
)
PANELS = (
    ("C", style.C_LABEL, "kaplan-c", "power-c"),
    ("D", style.D_LABEL, "kaplan-d", "power-d"),
    ("N", style.N_LABEL, "kaplan-n", "power-n"),
)
PURE, WITH_FLOOR = "power law", "power law + E"
LIGHT_GREY = "#c4c4c4"


def figure(source: Source, width: float = style.TEXT_WIDTH) -> Figure:
    """Draws L(C), L(D) and L(N), each with a pure power law and one with an irreducible loss.

    Args:
        source: Points of a store or file.
        width: Width in inches.

    Raises:
        DataError: No run is finished.
    """
    if not len(source.points):
        raise DataError(f"{source.name}: no run is finished, so there is no loss to draw")
    fig, panels = style.panels(width, 1, 3, height=2.25)
    for axes, (letter, label, pure, with_floor) in zip(panels, PANELS, strict=True):
        _panel(axes, source, letter, {PURE: pure, WITH_FLOOR: with_floor})
        axes.set_xlabel(label)
        if axes is panels[0] or style.is_narrow(width):
            axes.set_ylabel(style.loss_label(source.points.loss_unit))
    low, high = style.log_limits(source.points.L, pad=0.12)
    for axes in panels:
        axes.set_ylim(low, high * (high / low) ** 0.28)  # leaves space for the formulas
        style.log_axes(axes)
    for color, label in ((style.VERMILION, PURE), (style.BLUE, WITH_FLOOR)):
        panels[0].plot([], [], color=color, label=label)
    style.legend_below(fig, panels[0], 2 if style.is_narrow(width) else 4)
    return fig


def _panel(axes: Axes, source: Source, letter: str, laws: dict[str, str]) -> None:
    points = source.points
    x, L = getattr(points, letter), points.L
    if not np.isfinite(x).all() or not len(x):
        axes.text(
            0.5, 0.5, f"no {letter} in this source", transform=axes.transAxes, ha="center", color=text_color(style.GREY)
        )
        axes.set_xlim(1, 10)
        return
    best = rows_of_input(x, L)
    others = np.setdiff1d(np.arange(len(x)), best)
    if len(others):
        marks.points(axes, "other runs", x[others], L[others], color=LIGHT_GREY, s=9, label="other runs")
    marks.points(axes, "fitted runs", x[best], L[best], color=style.BLACK, label="fitted runs")
    grid = np.geomspace(*style.log_limits(x), 80)
    for (label, law), color, height in zip(laws.items(), (style.VERMILION, style.BLUE), (0.99, 0.885), strict=True):
        try:
            formula = _draw_law(axes, source.fit(law), letter, grid, label, color)
        except FitError:
            formula = f"{label}: no fit"
        axes.text(
            0.99, height, formula, transform=axes.transAxes, ha="right", va="top", fontsize=7.5, color=text_color(color)
        )
    axes.set_xlim(grid[0], grid[-1])


def _draw_law(axes: Axes, fit: Fit, letter: str, grid: np.ndarray, label: str, color: str) -> str:
    """Draws a law with its interval and returns its formula."""
    low, high = fit.predict_interval(**{letter: grid})
    marks.band(axes, f"{label}, {fit.level:.0%} interval", grid, low, high, color=color, alpha=0.15)
    y = np.asarray(fit.predict(**{letter: grid}))
    marks.line(axes, label, grid, y, color=color, linestyle=linestyle(fit.verdict))
    return _formula(fit, letter)


def _formula(fit: Fit, letter: str) -> str:
    """The law with its fitted parameters, as mathtext."""
    params = dict(fit.params)
    exponent = next(params[name] for name in ("alpha", "beta", "gamma") if name in params)
    if "E" in params:
        floor = f"{params['E']:.3g}" if params["E"] > 1e-3 else "0"
        scale = next(params[name] for name in ("A", "B", "G") if name in params)
        return rf"${floor} + ({style.math_number(scale ** (1 / exponent))}/{letter})^{{{exponent:.3f}}}$"
    return rf"$({style.math_number(params[f'{letter}c'])}/{letter})^{{{exponent:.3f}}}$"

"""IsoFLOP profiles: loss against model size at each budget, and the minima of parabolas (Hoffmann 2022, figure 3)."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures import marks, style
from analysis.figures.fits.common import linestyle
from analysis.figures.source import Source
from analysis.fitting.hoffmann.isoflop import IsoFlop, Parabola
from analysis.uncertainty.intervals import corrected_interval

CAPTION = (
    "IsoFLOP profiles (approach 2). (a) Loss against model size at each compute budget, with a parabola in ln N and "
    "its minimum. (b, c) Minima against compute with {level:.0%} intervals, and power laws fitted to them with "
    "{level:.0%} bands. Dashed and hollow: parabolas without a minimum between the smallest and largest model, which "
    "are not used in the power laws. Of runs of one size and budget, only what is fitted is drawn: the best run, "
    "or the mean of seeds."
)
GRID = 80
MAX_RATIO = 10.0  # largest ratio of a drawn minimum to the middle of its runs


def figure(source: Source, width: float = style.TEXT_WIDTH) -> Figure:
    """Draws the profiles, N*(C) and D*(C).

    Args:
        source: Points of a store or file.
        width: Width in inches.

    Raises:
        FitError: No budget has enough runs.
    """
    isoflop = source.isoflop()
    fig, (profiles, sizes, tokens) = style.panels(width, 1, 3, height=2.3, ratios=(1.3, 1, 1))
    colors = style.sequential_colors([parabola.budget for parabola in isoflop.budgets])
    for parabola, color in zip(isoflop.budgets, colors, strict=True):
        _profile(profiles, parabola, color)
    points = [parabola.points for parabola in isoflop.budgets]
    profiles.set(xlim=style.log_limits(*(p.N for p in points), pad=0.08), xlabel=style.N_LABEL)
    profiles.set(
        ylim=style.log_limits(*(p.L for p in points), pad=0.1), ylabel=style.loss_label(source.points.loss_unit)
    )
    style.log_axes(profiles)
    _optima(sizes, isoflop, colors, "N")
    _optima(tokens, isoflop, colors, "D")
    style.legend_below(fig, profiles, 3 if style.is_narrow(width) else min(len(colors), 6), style.C_LABEL)
    return fig


def _profile(axes: Axes, parabola: Parabola, color: Any) -> None:
    points, name = parabola.points, f"C = {parabola.budget:.3g} FLOPs"
    N = np.geomspace(0.8 * points.N.min(), 1.25 * points.N.max(), GRID)
    marks.line(
        axes,
        f"parabola, {name}",
        N,
        parabola.predict(N),
        color=color,
        linewidth=0.9,
        label=f"${style.math_number(parabola.budget)}$",
        linestyle="-" if parabola.sound else "--",
    )
    marks.points(axes, f"runs, {name}", points.N, points.L, filled=[parabola.sound] * len(points), color=color)
    if parabola.N_opt is not None and parabola.L_opt is not None and parabola.inside:
        N_opt, L_opt = parabola.N_opt, parabola.L_opt
        marks.points(axes, f"minimum, {name}", N_opt, L_opt, color=style.VERMILION, marker="D", s=17, zorder=4)


def _optima(axes: Axes, isoflop: IsoFlop, colors: list[Any], letter: str) -> None:
    """Draws the minima, their intervals, and the power law fitted to them."""
    C = np.geomspace(*style.log_limits([parabola.C for parabola in isoflop.budgets], pad=0.12), GRID)
    extent: list[Any] = []  # values that the vertical axis must contain
    if isoflop.params is not None:
        line, low, high = isoflop.path(C, letter)
        band = f"power law, {isoflop.level:.0%} interval"
        marks.band(axes, band, C, low, high, color=style.VERMILION, alpha=0.18)
        marks.line(axes, "power law", C, line, color=style.VERMILION, linestyle=linestyle(isoflop.verdict))
        axes.text(0.04, 0.96, _exponent(isoflop, letter), transform=axes.transAxes, va="top", fontsize=7.5)
        extent.append(line)
    for parabola, color in zip(isoflop.budgets, colors, strict=True):
        best, interval = parabola.N_opt if letter == "N" else parabola.D_opt, _interval(parabola, letter)
        if best is None or not 1 / MAX_RATIO < best / _middle(parabola, letter) < MAX_RATIO:
            continue  # it would dominate the range of the axis
        extent.append(best)
        name = f"C = {parabola.budget:.3g} FLOPs"
        if interval is not None:
            marks.bars(axes, f"{isoflop.level:.0%} interval, {name}", [parabola.C], *interval, color=color)
            extent += [np.clip(interval, best / MAX_RATIO, best * MAX_RATIO)] if parabola.sound else []
        marks.points(axes, f"optimum, {name}", parabola.C, best, filled=parabola.sound, color=color, marker="D", s=17)
    axes.set(xlim=(C[0], C[-1]), xlabel=style.C_LABEL)
    axes.set_ylabel(r"Optimal $N^{\ast}$ (parameters)" if letter == "N" else r"Optimal $D^{\ast}$ (tokens)")
    if extent:
        low_y, high_y = style.log_limits(*(np.atleast_1d(values) for values in extent), pad=0.08)
        axes.set_ylim(low_y, high_y * (high_y / low_y) ** 0.15)  # leaves space for the exponent
    style.log_axes(axes)


def _middle(parabola: Parabola, letter: str) -> float:
    """Geometric mean of N or D over the runs of a budget."""
    return float(np.exp(np.mean(np.log(getattr(parabola.points, letter)))))


def _interval(parabola: Parabola, letter: str) -> tuple[float, float] | None:
    """Interval of N*, or of D* at the same budget."""
    if parabola.interval is None or letter == "N":
        return parabola.interval
    low, high = parabola.interval
    return float(parabola.tokens(high)), float(parabola.tokens(low))


def _exponent(isoflop: IsoFlop, letter: str) -> str:
    assert isoflop.params is not None
    values = isoflop.params["a" if letter == "N" else "b"]
    low, high = corrected_interval(values, isoflop.level)
    return rf"${letter}^{{\ast}} \propto C^{{{values[0]:.2f}}}$" + f"\n[{low:.2f}, {high:.2f}]"

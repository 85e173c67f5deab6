"""Loss against compute, data and model size, with power laws through the runs nothing smaller beats (Kaplan 2020,
figure 1)."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.errors import DataError, FitError
from analysis.figures import marks, style
from analysis.figures.source import Source
from analysis.fitting.result import Fit
from analysis.fitting.selection import frontier

CAPTION = (
    "Held-out loss against (a) compute, (b) training data and (c) model size. Filled: the frontier, the runs that no "
    "run with less of that quantity beats; the laws are fitted to these alone. Grey: the others, held back by "
    "something else. Red: a pure power law; blue: one with an irreducible loss E; both with {level:.0%} intervals, "
    "dashed where the fit is doubtful."
)
PANELS = (("C", style.C_LABEL, "kaplan-c", "power-c"), ("D", style.D_LABEL, "kaplan-d", "power-d"),
          ("N", style.N_LABEL, "kaplan-n", "power-n"))  # fmt: skip


def figure(source: Source, width: float = style.TEXT) -> Figure:
    """Three panels, L(C), L(D) and L(N), each with a pure power law and one with an irreducible loss."""
    if not len(source.points):
        raise DataError(f"{source.name}: no run is done: there is no loss to draw")
    fig, axes = style.panels(width, 1, 3, height=2.25)
    for panel, (letter, label, pure, floored) in zip(axes, PANELS, strict=True):
        _panel(panel, source, letter, pure, floored)
        panel.set_xlabel(label)
        if panel is axes[0] or width < 4.5:
            panel.set_ylabel(style.L_LABEL)
    low, high = style.limits(source.points.L, pad=0.12)
    for panel in axes:
        panel.set_ylim(low, high * (high / low) ** 0.28)  # room for the laws in words
        style.log_axes(panel)
    for color, label in ((style.VERMILION, "power law"), (style.BLUE, "power law + E")):
        axes[0].plot([], [], color=color, label=label)
    style.legend_below(fig, axes[0], 4 if width > 4.5 else 2)
    return fig


def _panel(axes: Axes, source: Source, letter: str, pure: str, floored: str) -> None:
    points = source.points
    x, L = getattr(points, letter), points.L
    if not np.isfinite(x).all() or not len(x):
        axes.text(0.5, 0.5, f"no {letter} in this source", transform=axes.transAxes, ha="center", color=style.GREY)
        axes.set_xlim(1, 10)
        return
    best = frontier(x, L)
    rest = np.setdiff1d(np.arange(len(x)), best)
    if len(rest):
        marks.points(axes, "other runs", x[rest], L[rest], color="#c4c4c4", s=9, label="other runs")
    marks.points(axes, "frontier", x[best], L[best], color=style.BLACK, label="frontier")
    xs = np.geomspace(*style.limits(x), 80)
    for law, color, label, y in (
        (pure, style.VERMILION, "power law", 0.99),
        (floored, style.BLUE, "power law + E", 0.885),
    ):
        said = _law(axes, source, law, letter, xs, color, label)
        axes.text(0.99, y, said, transform=axes.transAxes, ha="right", va="top", fontsize=7.5, color=color)
    axes.set_xlim(xs[0], xs[-1])


def _law(axes: Axes, source: Source, law: str, letter: str, xs: np.ndarray, color: str, label: str) -> str:
    """Draws a law with its band; what it says of itself, or why there is none."""
    try:
        fit = source.fit(law)
    except FitError:
        return f"{label}: no fit"
    doubtful = tuple(fit.verdict) != ("converged",)
    low, high = fit.predict_interval(**{letter: xs})
    marks.band(axes, f"{label}, {fit.level:.0%} interval", xs, low, high, color=color, alpha=0.15)
    y = np.asarray(fit.predict(**{letter: xs}))
    marks.line(axes, label, xs, y, color=color, linestyle="--" if doubtful else "-")
    return _formula(fit, letter)


def _formula(fit: Fit, letter: str) -> str:
    """The law with its numbers, as mathtext."""
    p = dict(fit.params)
    exponent = next(p[k] for k in ("alpha", "beta", "gamma") if k in p)
    if "E" in p:
        floor = f"{p['E']:.3g}" if p["E"] > 1e-3 else "0"
        scale = next(p[k] for k in ("A", "B", "G") if k in p)
        return rf"${floor} + ({style.power(scale ** (1 / exponent))}/{letter})^{{{exponent:.3f}}}$"
    scale = p[f"{letter}c"]
    return rf"$({style.power(scale)}/{letter})^{{{exponent:.3f}}}$"

"""N*(C) and its exponent under each counting convention of N and C: why Kaplan 2020 and Hoffmann 2022 disagree."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures import marks, style
from analysis.figures.contrast import text_color
from analysis.figures.source import Source
from analysis.studies.conventions import Convention

CAPTION = (
    "The same runs under each counting convention. (a) The compute-optimal size N*(C) by approach 3, N and C under the "
    "convention: solid if N counts all parameters, dashed without embedding and head; points are the runs. (b) The "
    "exponent of N*(C) with its {level:.0%} interval, by approach 2 (squares) and 3 (discs); dotted: the exponents of "
    "Kaplan 2020, who excluded embeddings from both counts, and of Hoffmann 2022."
)
COLORS = (style.BLUE, style.VERMILION, style.GREEN, style.PURPLE, style.ORANGE)
PUBLISHED = (("Hoffmann 2022", 0.50), ("Kaplan 2020", 0.73))  # exponents of N*(C)
APPROACHES = (("a chinchilla", "o", 0.13), ("a chinchilla-2", "s", -0.13))  # exponent, marker, height above its row


def figure(source: Source, width: float = style.TEXT_WIDTH) -> Figure:
    """Draws the compute-optimal path under each convention, and its exponents.

    Args:
        source: Points of a store or file.
        width: Width in inches.

    Raises:
        FitError: No exponent could be estimated.
        DataError: The source does not have N, D and C.
    """
    conventions = source.conventions()
    fig, (paths, exponents) = style.panels(width, 1, 2, height=2.7, ratios=(1.1, 1))
    colors = dict(zip(dict.fromkeys(convention.C for convention in conventions), COLORS, strict=False))
    for convention in conventions:
        _path(paths, convention, colors[convention.C])
    paths.set(xlabel=f"{style.C_LABEL}, as counted", ylabel=f"{style.N_LABEL}, as counted")
    style.log_axes(paths)
    for name, color in colors.items():
        paths.plot([], [], color=color, label=f"C {name}")
    _exponents(exponents, conventions, colors)
    style.legend_below(fig, paths, 2 if style.is_narrow(width) else 4)
    return fig


def _path(axes: Axes, convention: Convention, color: str) -> None:
    points = convention.points
    marks.points(axes, f"runs, {convention.name}", points.C, points.N, color=color, s=5, alpha=0.5)
    a = convention.exponents.get("a chinchilla")
    if a is None or a.reason:
        return
    C = np.geomspace(points.C.min(), points.C.max(), 40)
    N = np.exp(a.scale + a.value * np.log(C))
    dashes = "-" if convention.N == "total" else "--"
    marks.line(axes, f"N*(C), {convention.name}", C, N, color=color, zorder=4, linestyle=dashes)


def _exponents(axes: Axes, conventions: list[Convention], colors: dict[str, str]) -> None:
    count = len(conventions)
    for row, convention in enumerate(conventions):
        color = colors[convention.C]
        for name, marker, lift in APPROACHES:
            exponent = convention.exponents.get(name)
            if exponent is None or exponent.reason:
                continue
            series, (low, high) = f"{name}, {convention.name}", exponent.interval
            marks.bars(axes, f"{series}, interval", [row - lift], [low], [high], horizontal=True, color=color)
            marks.points(axes, series, exponent.value, row - lift, color=color, marker=marker, s=20)
    for row, (paper, value) in enumerate(PUBLISHED):  # names in separate lines below the last interval
        axes.axvline(value, color=style.GREY, linewidth=0.8, linestyle=":", zorder=0)
        axes.text(value, count + 0.5 * row - 0.2, f" {paper}", fontsize=6.5, va="center", color=text_color(style.GREY))
    axes.set_yticks(range(count), [f"N {convention.N}" for convention in conventions])
    axes.set(ylim=(count + 0.6, -0.5), xlabel="Exponent $a$ of $N^{\\ast} \\propto C^a$")
    axes.grid(axis="y", visible=False)

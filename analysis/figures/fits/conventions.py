"""N*(C) and its exponent under each way of counting N and C: why Kaplan 2020 and Hoffmann 2022 disagree."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures import marks, style
from analysis.figures.source import Source
from analysis.studies.conventions import Counting

CAPTION = (
    "The same runs counted in each way. (a) The compute-optimal size N*(C) by approach 3, N and C both as counted: "
    "solid where N counts all parameters, dashed without embedding and head; points are the runs. (b) The exponent of "
    "N*(C) with its {level:.0%} interval, by approach 2 (squares) and 3 (discs); dotted: what Kaplan 2020, who left "
    "embeddings out of both, and Hoffmann 2022 found."
)
COLORS = (style.BLUE, style.VERMILION, style.GREEN, style.PURPLE, style.ORANGE)
GUIDES = (("Hoffmann 2022", 0.50), ("Kaplan 2020", 0.73))


def figure(source: Source, width: float = style.TEXT) -> Figure:
    """Two panels: the optimal path under each counting, and its exponents."""
    found = source.countings()
    fig, (paths, exponents) = style.panels(width, 1, 2, height=2.7, ratios=(1.1, 1))
    colors = dict(zip(dict.fromkeys(one.C for one in found), COLORS, strict=False))
    for one in found:
        _path(paths, one, colors[one.C])
    paths.set(xlabel=f"{style.C_LABEL}, as counted", ylabel=f"{style.N_LABEL}, as counted")
    style.log_axes(paths)
    for name, color in colors.items():
        paths.plot([], [], color=color, label=f"C {name}")
    _exponents(exponents, found, colors)
    style.legend_below(fig, paths, 4 if width > 4.5 else 2)
    return fig


def _path(axes: Axes, one: Counting, color: str) -> None:
    points = one.points
    marks.points(axes, f"runs, {one.name}", points.C, points.N, color=color, s=5, alpha=0.5)
    a = one.exponents.get("a chinchilla")
    if a is None or a.why:
        return
    C = np.geomspace(points.C.min(), points.C.max(), 40)
    how = {"linestyle": "-" if one.N == "total" else "--"}
    marks.line(axes, f"N*(C), {one.name}", C, np.exp(a.scale + a.value * np.log(C)), color=color, zorder=4, **how)


def _exponents(axes: Axes, found: list[Counting], colors: dict[str, str]) -> None:
    for at, one in enumerate(found):
        for name, marker, lift in (("a chinchilla", "o", 0.13), ("a chinchilla-2", "s", -0.13)):
            e = one.exponents.get(name)
            if e is None or e.why:
                continue
            said = f"{name}, {one.name}"
            marks.bars(axes, f"{said}, interval", [at - lift], [e.interval[0]], [e.interval[1]], across=True,
                       color=colors[one.C])  # fmt: skip
            marks.points(axes, said, e.value, at - lift, color=colors[one.C], marker=marker, s=20)
    for row, (said, value) in enumerate(GUIDES):  # each name on a line of its own below the last interval
        axes.axvline(value, color=style.GREY, linewidth=0.8, linestyle=":", zorder=0)
        axes.text(value, len(found) + 0.5 * row - 0.2, f" {said}", fontsize=6.5, va="center", color=style.GREY)
    axes.set_yticks(range(len(found)), [f"N {one.N}" for one in found])
    axes.set(ylim=(len(found) + 0.6, -0.5), xlabel="Exponent $a$ of $N^{\\ast} \\propto C^a$")
    axes.grid(axis="y", visible=False)

"""The grid of emergent curves: a panel a family, a line a difficulty, scores against scale with chance and intervals
(Wei 2022, figure 2)."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.evals.tasks import Finding
from analysis.evals.verdict import CANNOT, VERDICTS
from analysis.figures import style
from analysis.figures.evals import common
from analysis.figures.evals.common import read
from analysis.figures.source import Source

COLUMNS = {True: 2, False: 3}  # of a narrow figure, of a wide one
CAPTION = (
    "Scores against scale, a panel a family of tasks, a line a difficulty (light: hard), with {level:.0%} intervals; "
    "dashed: chance. " + common.KEY
)
__all__ = ["CAPTION", "figure", "read"]


def figure(source: Source, width: float = style.TEXT) -> Figure:
    """A panel a family; DataError where runs were not evaluated."""
    study = common.study(source)
    families = common.families(study)
    columns = min(COLUMNS[width < 4.5], len(families))
    rows = -(-len(families) // columns)
    fig, panels = style.panels(width, rows, columns, height=1.5, stack=False)
    for axes, (name, found) in zip(panels, families.items(), strict=False):
        colors = style.ordered(list(range(len(found))))
        for one, color in zip(found, colors, strict=True):
            assert one.score is not None
            common.curve(axes, one, one.score, color)
        _ends(axes, found, colors)
        for level in {round(one.task.chance, 6) for one in found}:
            common.chance(axes, level)
        axes.set(ylim=(-0.05, 1.05))
        axes.set_xlim(style.limits(*(one.score.x for one in found if one.score is not None), pad=0.12))
        axes.set_title(name, fontsize=8, pad=3)
        if study.axis != "L":
            style.log_axes(axes, y=False)
        else:
            axes.invert_xaxis()
    common.bottom(panels, len(families), columns, common.LABELS[study.axis])
    fig.supylabel("Score (share of answers right)", fontsize=8.5)
    _key(fig, {one.verdict.verdict for found in families.values() for one in found}, 2 if width < 4.5 else 4)
    return fig


def _key(fig: Figure, said: set[str], columns: int) -> None:
    """Which mark is which verdict."""
    shown = [
        Line2D([], [], linestyle="none", marker=common.MARKS[one], markersize=4, color=style.BLACK,
               markerfacecolor="white" if one == CANNOT else style.BLACK, label=one)
        for one in VERDICTS if one in said
    ]  # fmt: skip
    fig.legend(handles=shown, loc="outside lower center", ncols=columns)


def _ends(axes: Axes, found: list[Finding], colors: list[tuple[float, float, float, float]]) -> None:
    """Each line's difficulty beside its end, moved apart where two end together."""
    if len(found) < 2:
        return
    ends = sorted((float(one.score.mean[-1]), i) for i, one in enumerate(found) if one.score is not None)
    place, last = {}, -np.inf
    for y, i in ends:
        last = max(y, last + 0.13)
        place[i] = last
    over = max(0.0, max(place.values()) - 1.0)
    for i, one in enumerate(found):
        assert one.score is not None
        said = f"{one.task.difficulty:g}" if np.isfinite(one.task.difficulty) else one.task.name
        axes.annotate(said, (one.score.x[-1], place[i] - over), xytext=(5, 0), textcoords="offset points",
                      fontsize=6.5, color=colors[i], va="center", annotation_clip=False)  # fmt: skip

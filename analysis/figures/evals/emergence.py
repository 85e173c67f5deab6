"""Scores against scale, one panel per family of tasks and one line per difficulty (Wei 2022, figure 2)."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.evals.tasks import Finding
from analysis.evals.verdict import INCONCLUSIVE, VERDICTS
from analysis.figures import style
from analysis.figures.contrast import text_color
from analysis.figures.evals import common
from analysis.figures.evals.common import read
from analysis.figures.source import Source

LABEL_GAP = 0.13  # smallest distance between two labels, in units of the score
CAPTION = (
    "Scores against scale, one panel per family of tasks and one line per difficulty (light: hard), with {level:.0%} "
    "intervals; dashed: chance. " + common.VERDICT_KEY
)
__all__ = ["CAPTION", "figure", "read"]


def figure(source: Source, width: float = style.TEXT_WIDTH) -> Figure:
    """Draws one panel per family of tasks.

    Args:
        source: A store whose runs were evaluated, or a table of scores.
        width: Width in inches.

    Raises:
        DataError: The runs were not evaluated.
    """
    study = common.emergence_study(source)
    families = common.findings_by_family(study)
    columns = min(2 if style.is_narrow(width) else 3, len(families))
    rows = -(-len(families) // columns)
    fig, panels = style.panels(width, rows, columns, height=1.5, stack=False)
    for axes, (name, findings) in zip(panels, families.items(), strict=False):
        _panel(axes, findings, study.axis)
        axes.set_title(name, fontsize=8, pad=3)
    common.label_bottom_row(panels, len(families), columns, common.scale_label(study, study.axis))
    fig.supylabel("Score (share correct)", fontsize=8.5)
    verdicts = {finding.verdict.verdict for findings in families.values() for finding in findings}
    _verdict_legend(fig, verdicts, 2 if style.is_narrow(width) else 4)
    return fig


def _panel(axes: Axes, findings: list[Finding], axis: str) -> None:
    colors = style.sequential_colors(list(range(len(findings))))
    for finding, color in zip(findings, colors, strict=True):
        assert finding.score is not None
        common.draw_curve(axes, finding, finding.score, color)
    _label_lines(axes, findings, colors)
    for level in {round(finding.task.chance, 6) for finding in findings}:
        common.draw_chance(axes, level)
    axes.set(ylim=(-0.05, 1.05))
    axes.set_xlim(style.log_limits(*(finding.score.x for finding in findings if finding.score is not None), pad=0.12))
    if axis != "L":
        style.log_axes(axes, y=False)
    else:
        axes.invert_xaxis()


def _verdict_legend(fig: Figure, verdicts: set[str], columns: int) -> None:
    """Adds a legend of the markers of verdicts."""
    handles = [
        Line2D(
            [],
            [],
            linestyle="none",
            marker=common.VERDICT_MARKERS[verdict],
            markersize=4,
            color=style.BLACK,
            markerfacecolor="white" if verdict == INCONCLUSIVE else style.BLACK,
            label=verdict,
        )
        for verdict in VERDICTS
        if verdict in verdicts
    ]
    fig.legend(handles=handles, loc="outside lower center", ncols=columns)


def _label_lines(axes: Axes, findings: list[Finding], colors: list[tuple[float, float, float, float]]) -> None:
    """Writes the difficulty at the end of each line, without overlaps."""
    if len(findings) < 2:
        return
    ends = sorted((float(finding.score.mean[-1]), i) for i, finding in enumerate(findings) if finding.score is not None)
    height, last = {}, -np.inf
    for y, i in ends:
        last = max(y, last + LABEL_GAP)
        height[i] = last
    excess = max(0.0, max(height.values()) - 1.0)
    for i, finding in enumerate(findings):
        assert finding.score is not None
        difficulty = finding.task.difficulty
        axes.annotate(
            f"{difficulty:g}" if np.isfinite(difficulty) else finding.task.name,
            (finding.score.x[-1], height[i] - excess),
            xytext=(5, 0),
            textcoords="offset points",
            fontsize=6.5,
            color=text_color(colors[i]),
            va="center",
            annotation_clip=False,
        )

"""Scores against held-out loss, coloured by model size (Du 2024, figure 1)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.data.record_cache import StoreSnapshot
from analysis.errors import DataError
from analysis.evals.tasks import Finding
from analysis.figures import marks, style
from analysis.figures.evals import common
from analysis.figures.options import SourceOptions
from analysis.figures.source import Source

MAX_TASKS = 6
CAPTION = (
    "Scores against held-out loss, one point per run, coloured by model size, with {level:.0%} intervals. The loss "
    "decreases to the right; dashed: chance. If the points of all sizes lie on one curve, the loss determines the "
    "score independently of model size. The six tasks with the largest rise are shown."
)


def read(path: Path | StoreSnapshot, options: SourceOptions = SourceOptions()) -> Source:
    """Reads a store whose runs were evaluated, or a table of scores. Raises DataError for bad input."""
    return common.read(path, options, "L")


def figure(source: Source, width: float = style.TEXT_WIDTH) -> Figure:
    """Draws one panel per task.

    Args:
        source: A store whose runs were evaluated, or a table of scores.
        width: Width in inches.

    Raises:
        DataError: No task has a score at known losses and sizes.
    """
    study = common.emergence_study(source)
    candidates = [
        finding
        for finding in common.with_fewest_shots(study)
        if finding.score is not None and _known_scale(finding).sum() > 1
    ]
    if not candidates:
        raise DataError(f"{study.source}: no task has a score at known losses and sizes (L and N)")
    findings = sorted(candidates, key=_rise, reverse=True)[:MAX_TASKS]
    columns = min(2 if style.is_narrow(width) else 3, len(findings))
    fig, panels = style.panels(width, -(-len(findings) // columns), columns, height=1.6, stack=False)
    sizes = sorted({N for finding in findings for N in finding.task.runs["N"].to_numpy(float)[_known_scale(finding)]})
    colors = dict(zip(sizes, style.sequential_colors(sizes), strict=True))
    for axes, finding in zip(panels, findings, strict=False):
        _panel(axes, finding, colors)
    common.label_bottom_row(panels, len(findings), columns, common.scale_label(study, "L"))
    fig.supylabel("Score (share correct)", fontsize=8.5)
    style.legend_below(fig, panels[0], min(len(sizes), 4 if style.is_narrow(width) else 8), title="Model size $N$")
    return fig


def _panel(axes: Axes, finding: Finding, colors: dict[float, tuple[float, float, float, float]]) -> None:
    task, known = finding.task, _known_scale(finding)
    score, runs = task.measures[str(task.score)], task.runs
    for size, color in colors.items():
        rows = known & (runs["N"].to_numpy(float) == size)
        if not rows.any():
            continue
        L, name = runs["L"].to_numpy(float)[rows], f"{task.name}, N = {style.short_count(size)}"
        marks.bars(axes, f"interval of {name}", L, *score.interval[rows].T, color=color, linewidth=0.7)
        marks.points(axes, name, L, score.mean[rows], color=color, label=style.short_count(size))
    common.draw_chance(axes, task.chance)
    axes.set(ylim=(-0.05, 1.05))
    axes.invert_xaxis()
    axes.set_title(task.name.removesuffix("@0"), fontsize=8, pad=3)


def _rise(finding: Finding) -> float:
    """Difference between the highest and the lowest score."""
    return float(np.ptp(finding.task.measures[str(finding.task.score)].mean))


def _known_scale(finding: Finding) -> np.ndarray:
    """Mask of the runs with a known loss and size."""
    runs = finding.task.runs
    return np.isfinite(runs["L"].to_numpy(float)) & np.isfinite(runs["N"].to_numpy(float))

"""Scores against the number of solved examples in the prompt, one line per run (Brown 2020, figure 1.2)."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.data.record_cache import StoreSnapshot
from analysis.errors import DataError
from analysis.evals.emergence import EmergenceStudy
from analysis.figures import marks, style
from analysis.figures.evals import common
from analysis.figures.options import SourceOptions
from analysis.figures.source import Source

MIN_SHOT_COUNTS = 3  # smallest number of points of a curve
MAX_TASKS = 6
MAX_LINES = 8  # largest number of runs in a panel
MAX_TICKS = 6
CAPTION = (
    "Scores against the number of solved examples in the prompt, one line per model size, with {level:.0%} "
    "intervals; dashed: chance. For tasks without a score, the log-probability of the answer is shown."
)


class ShotPoint(NamedTuple):
    """The metric of a run at a number of shots."""

    shots: int
    N: float
    mean: float
    interval: tuple[float, float]
    chance: float
    is_score: bool


def read(path: Path | StoreSnapshot, options: SourceOptions = SourceOptions()) -> Source:
    """Reads a store whose runs were evaluated, or a table of scores. Raises DataError for bad input."""
    return common.read(path, options, "N")


def figure(source: Source, width: float = style.TEXT_WIDTH) -> Figure:
    """Draws one panel per task.

    Args:
        source: A store whose runs were evaluated, or a table of scores.
        width: Width in inches.

    Raises:
        DataError: No task was evaluated with several numbers of shots.
    """
    study = common.emergence_study(source)
    tasks = _points_by_task(study)
    if not tasks:
        raise DataError(
            f"{study.source}: no task was evaluated with at least {MIN_SHOT_COUNTS} different numbers of shots: "
            "launch the sweep in-context first"
        )
    names = list(tasks)[:MAX_TASKS]
    columns = min(2 if style.is_narrow(width) else 3, len(names))
    height = 1.7 if len(names) > columns else 2.2
    fig, panels = style.panels(width, -(-len(names) // columns), columns, height=height, stack=False)
    sizes = _sizes(tasks)
    colors = dict(zip(sizes, style.sequential_colors(sizes), strict=True))
    for axes, name in zip(panels, names, strict=False):
        _panel(axes, name, tasks[name], colors)
    common.label_bottom_row(panels, len(names), columns, "Examples in the prompt")
    style.legend_below(fig, panels[0], min(len(sizes), 3 if style.is_narrow(width) else 6), title="Model size $N$")
    return fig


def _points_by_task(study: EmergenceStudy) -> dict[str, list[ShotPoint]]:
    """Points of each task, one per size and number of shots, from the run of the lowest loss of each size."""
    tasks: dict[str, list[ShotPoint]] = {}
    for finding in study.findings:
        task = finding.task
        name = task.score or task.continuous
        if name is None:
            continue
        metric, N = task.measures[name], task.runs["N"].to_numpy(float)
        L = np.nan_to_num(task.runs["L"].to_numpy(float), nan=np.inf)
        for size in np.unique(N[np.isfinite(N)]):
            rows = np.flatnonzero(size == N)
            i = int(rows[np.argmin(L[rows])])
            low, high = metric.interval[i]
            point = ShotPoint(
                task.shots, float(size), float(metric.mean[i]), (low, high), task.chance, task.score is not None
            )
            tasks.setdefault(task.name.split("@")[0], []).append(point)
    return {name: points for name, points in tasks.items() if len({point.shots for point in points}) >= MIN_SHOT_COUNTS}


def _sizes(tasks: dict[str, list[ShotPoint]]) -> list[float]:
    """Sizes to draw: all, or MAX_LINES evenly spaced by rank including the smallest and largest."""
    sizes = sorted({point.N for points in tasks.values() for point in points})
    if len(sizes) <= MAX_LINES:
        return sizes
    return [sizes[i] for i in np.unique(np.linspace(0, len(sizes) - 1, MAX_LINES).round().astype(int))]


def _panel(
    axes: Axes, name: str, points: list[ShotPoint], colors: dict[float, tuple[float, float, float, float]]
) -> None:
    for size, color in colors.items():
        line = sorted(point for point in points if size == point.N)
        if not line:
            continue
        shots, mean = [point.shots for point in line], [point.mean for point in line]
        low, high = np.array([point.interval for point in line]).T
        series = f"{name}, N = {style.short_count(size)}"
        marks.line(axes, series, shots, mean, color=color, label=style.short_count(size), linewidth=0.9)
        marks.bars(axes, f"interval of {series}", shots, low, high, color=color, linewidth=0.7)
        marks.points(axes, series, shots, mean, color=color)
    if points[0].is_score:
        common.draw_chance(axes, points[0].chance)
        axes.set_ylim(-0.05, 1.05)
    _set_ticks(axes, sorted({point.shots for point in points}))
    axes.set_title(name, fontsize=8, pad=3)
    axes.set_ylabel("Score" if points[0].is_score else "log p of answer (nats/token)", fontsize=7.5)


def _set_ticks(axes: Axes, shots: list[int]) -> None:
    if shots[-1] <= 8:
        axes.set_xticks(shots)
        return
    axes.set_xscale("symlog", base=2, linthresh=1)
    axes.set_xlim(-0.25, shots[-1] * 1.2)
    ticks = shots if len(shots) <= MAX_TICKS else shots[:: -(-len(shots) // MAX_TICKS)]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()

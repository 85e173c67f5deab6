"""Scores over the number of examples in the prompt, a line a run: what a model learns from its context (Brown 2020,
figure 1.2)."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.errors import DataError
from analysis.evals.emergence import Study
from analysis.figures import marks, style
from analysis.figures.evals import common
from analysis.figures.evals.common import read
from analysis.figures.source import Source

LEAST = 3  # numbers of shots that make a curve
MOST = 6  # tasks shown
LINES = 8  # runs shown in a panel
CAPTION = (
    "Scores against the number of solved examples in the prompt, a line a model size, with {level:.0%} intervals; "
    "dashed: chance. Tasks that only have a loss show the log-probability of the answer."
)
__all__ = ["CAPTION", "figure", "read"]


def figure(source: Source, width: float = style.TEXT) -> Figure:
    """A panel a task; DataError where none was asked with several numbers of shots."""
    study = common.study(source)
    tasks = _tasks(study)
    if not tasks:
        raise DataError(
            f"{study.source}: no task was asked with {LEAST} numbers of shots or more: launch in-context first"
        )
    names = list(tasks)[:MOST]
    columns = min(2 if width < 4.5 else 3, len(names))
    fig, panels = style.panels(
        width, -(-len(names) // columns), columns, height=1.7 if len(names) > columns else 2.2, stack=False
    )
    sizes = _sizes(tasks)
    colors = dict(zip(sizes, style.ordered(sizes), strict=True))
    for axes, name in zip(panels, names, strict=False):
        _panel(axes, name, tasks[name], colors)
    common.bottom(panels, len(names), columns, "Examples in the prompt")
    style.legend_below(fig, panels[0], min(len(sizes), 3 if width < 4.5 else 6), title="Model size $N$")
    return fig


Row = tuple[int, float, float, tuple[float, float], float, bool]  # shots, N, mean, interval, chance, whether a score


def _tasks(study: Study) -> dict[str, list[Row]]:
    """Of each task without its shots, a row a run and number of shots; of runs of one size that of the lowest loss."""
    out: dict[str, list[Row]] = {}
    for one in study.findings:
        task = one.task
        metric = task.score or task.continuous
        if metric is None:
            continue
        found, N = task.measures[metric], task.runs["N"].to_numpy(float)
        L = np.nan_to_num(task.runs["L"].to_numpy(float), nan=np.inf)
        for size in np.unique(N[np.isfinite(N)]):
            rows = np.flatnonzero(size == N)
            i = int(rows[np.argmin(L[rows])])
            low, high = found.interval[i]
            row: Row = (task.shots, float(size), float(found.mean[i]), (low, high), task.chance, task.score is not None)
            out.setdefault(task.name.split("@")[0], []).append(row)
    return {name: rows for name, rows in out.items() if len({row[0] for row in rows}) >= LEAST}


def _sizes(tasks: dict[str, list[Row]]) -> list[float]:
    """Sizes that are drawn, the largest and an even choice of the others."""
    sizes = sorted({row[1] for rows in tasks.values() for row in rows})
    if len(sizes) <= LINES:
        return sizes
    return [sizes[i] for i in np.unique(np.linspace(0, len(sizes) - 1, LINES).round().astype(int))]


def _panel(axes: Axes, name: str, rows: list[Row], colors: dict[float, tuple[float, float, float, float]]) -> None:
    for size, color in colors.items():
        of = sorted(row for row in rows if row[1] == size)
        if not of:
            continue
        shots, mean = [row[0] for row in of], [row[2] for row in of]
        said = f"{name}, N = {style.short(size)}"
        marks.line(axes, said, shots, mean, color=color, label=style.short(size), linewidth=0.9)
        marks.bars(axes, f"interval of {said}", shots, *np.array([row[3] for row in of]).T, color=color, linewidth=0.7)
        marks.points(axes, said, shots, mean, color=color)
    if rows[0][5]:
        common.chance(axes, rows[0][4])
        axes.set_ylim(-0.05, 1.05)
    shots = sorted({row[0] for row in rows})
    if shots[-1] > 8:
        axes.set_xscale("symlog", base=2, linthresh=1)
        axes.set_xlim(-0.25, shots[-1] * 1.2)
        kept = shots if len(shots) <= 6 else shots[:: -(-len(shots) // 6)]
        axes.set_xticks(kept, [str(k) for k in kept])
        axes.minorticks_off()
    else:
        axes.set_xticks(shots)
    axes.set_title(name, fontsize=8, pad=3)
    axes.set_ylabel("Score" if rows[0][5] else "log p of answer (nats/token)", fontsize=7.5)

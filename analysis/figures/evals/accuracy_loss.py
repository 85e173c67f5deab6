"""Scores against held-out loss, coloured by model size: whether the loss alone tells what a model can do
(Du 2024, figure 1)."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from analysis.errors import DataError
from analysis.evals.tasks import Finding
from analysis.figures import marks, style
from analysis.figures.evals import common
from analysis.figures.evals.common import read
from analysis.figures.source import Source

MOST = 6  # tasks shown
CAPTION = (
    "Scores against the held-out loss of the text, a point a run, coloured by model size, with {level:.0%} intervals; "
    "loss falls to the right; dashed: chance. Where points of all sizes lie on one curve, the loss tells what a model "
    "can do, however it was reached. Tasks whose score rises most, up to six."
)
__all__ = ["CAPTION", "figure", "read"]


def figure(source: Source, width: float = style.TEXT) -> Figure:
    """A panel a task; DataError where losses are not known."""
    study = common.study(source)
    known = [one for one in common.fewest(study) if one.score is not None and _known(one).sum() > 1]
    if not known:
        raise DataError(f"{study.source}: no task has a score at known losses and sizes (L and N)")
    shown = sorted(known, key=lambda one: -float(np.ptp(one.task.measures[str(one.task.score)].mean)))[:MOST]
    columns = min(2 if width < 4.5 else 3, len(shown))
    fig, panels = style.panels(width, -(-len(shown) // columns), columns, height=1.6, stack=False)
    every = np.concatenate([one.task.runs["N"].to_numpy(float)[_known(one)] for one in shown])
    sizes = sorted(set(every.tolist()))
    colors = dict(zip(sizes, style.ordered(sizes), strict=True))
    for axes, one in zip(panels, shown, strict=False):
        good, runs = _known(one), one.task.runs
        score = one.task.measures[str(one.task.score)]
        for size in sizes:
            rows = good & (runs["N"].to_numpy(float) == size)
            if not rows.any():
                continue
            L, name = runs["L"].to_numpy(float)[rows], f"{one.task.name}, N = {style.short(size)}"
            marks.bars(axes, f"interval of {name}", L, *score.interval[rows].T, color=colors[size], linewidth=0.7)
            marks.points(axes, name, L, score.mean[rows], color=colors[size], label=style.short(size))
        common.chance(axes, one.task.chance)
        axes.set(ylim=(-0.05, 1.05))
        axes.invert_xaxis()
        axes.set_title(one.task.name.removesuffix("@0"), fontsize=8, pad=3)
    common.bottom(panels, len(shown), columns, style.L_LABEL)
    fig.supylabel("Score (share of answers right)", fontsize=8.5)
    style.legend_below(fig, panels[0], min(len(sizes), 4 if width < 4.5 else 8), title="Model size $N$")
    return fig


def _known(one: Finding) -> np.ndarray:
    """Runs whose loss and size are known."""
    return np.isfinite(one.task.runs["L"].to_numpy(float)) & np.isfinite(one.task.runs["N"].to_numpy(float))

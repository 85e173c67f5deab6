"""The same tasks under both metrics, side by side: the score that may jump, and the log-probability beside it
(Schaeffer 2023, figure 3)."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.errors import DataError
from analysis.evals.metrics import METRICS
from analysis.evals.tasks import Curve, Finding
from analysis.evals.verdict import ARTEFACT, BREAK, SMOOTH
from analysis.figures import style
from analysis.figures.evals import common
from analysis.figures.evals.common import read
from analysis.figures.source import Source

MOST = 3  # tasks shown
ORDER = (ARTEFACT, BREAK, SMOOTH)  # which come first
SHORT = {
    "exact": "Exact match", "accuracy": "Accuracy", "logp": "log p of answer\n(nats/token)",
    "choice-logp": "log p of choice\n(nats)",
}  # fmt: skip
CAPTION = (
    "The same answers of the same models under two metrics, a row a task, with {level:.0%} intervals. Left, a score "
    "that counts an answer as right or wrong; right, the log-probability of the right answer. Shaded: where the score "
    "leaves its floor, with its interval; dashed: chance. Each row is titled with its verdict; up to three tasks, "
    "artefacts of the metric first."
)
__all__ = ["CAPTION", "figure", "read"]


def figure(source: Source, width: float = style.TEXT) -> Figure:
    """A row a task; DataError where no task has two metrics."""
    study = common.study(source)
    both = [one for one in common.fewest(study) if one.score is not None and one.continuous is not None]
    if not both:
        raise DataError(f"{study.source}: no task has a score and a continuous metric beside it")
    shown = sorted(both, key=_order)[:MOST]
    fig, panels = style.panels(width, len(shown), 2, height=1.55, stack=False)
    for row, one in enumerate(shown):
        left, right = panels[2 * row : 2 * row + 2]
        assert one.score is not None and one.continuous is not None
        for axes, curve, color in ((left, one.score, style.VERMILION), (right, one.continuous, style.BLUE)):
            common.changed(axes, one, study.axis)
            common.curve(axes, one, curve, color)
            axes.set_ylabel(_said(curve), fontsize=7.5)
            axes.set_xlim(style.limits(curve.x))
            _finish(axes, study.axis)
        common.chance(left, one.task.chance)
        left.set_ylim(-0.05, 1.05)
        left.set_title(f"{one.task.name.removesuffix('@0')}: {one.verdict.verdict}", loc="left", fontsize=8, pad=3)
        right.set_title("")
        right.set_title("", loc="left")
    for axes in panels[-2:]:
        axes.set_xlabel(common.LABELS[study.axis], fontsize=7.5 if width < 4.5 else 8.5)
    return fig


def _order(one: Finding) -> tuple[int, float]:
    """Artefacts first, those that rise most before others."""
    said = one.verdict.verdict
    assert one.score is not None
    return (ORDER.index(said) if said in ORDER else len(ORDER), -float(np.ptp(one.score.mean)))


def _said(curve: Curve) -> str:
    if curve.metric in SHORT:
        return SHORT[curve.metric]
    known = METRICS[curve.metric].said if curve.metric in METRICS else curve.metric
    return known[:1].upper() + known[1:]


def _finish(axes: Axes, axis: str) -> None:
    if axis == "L":
        axes.invert_xaxis()
    else:
        style.log_axes(axes, y=False)

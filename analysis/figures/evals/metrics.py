"""The same tasks under a score and under a continuous metric (Schaeffer 2023, figure 3)."""

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

MAX_TASKS = 3
VERDICT_ORDER = (ARTEFACT, BREAK, SMOOTH)
METRIC_LABELS = {
    "exact": "Exact match",
    "accuracy": "Accuracy",
    "logp": "log p of answer\n(nats/token)",
    "choice-logp": "log p of choice\n(nats)",
}
CAPTION = (
    "The same answers of the same models under two metrics, one row per task, with {level:.0%} intervals. Left: a "
    "score that is correct or wrong per answer. Right: the log-probability of the correct answer. Shaded: the "
    "interval of the changepoint of the score, a line if it is one point; dashed: chance. Titles give the verdicts. "
    "At most three tasks are shown, metric artefacts first."
)
__all__ = ["CAPTION", "figure", "read"]


def figure(source: Source, width: float = style.TEXT_WIDTH) -> Figure:
    """Draws one row of two panels per task.

    Args:
        source: A store whose runs were evaluated, or a table of scores.
        width: Width in inches.

    Raises:
        DataError: No task has both a score and a continuous metric.
    """
    study = common.emergence_study(source)
    candidates = [
        finding
        for finding in common.with_fewest_shots(study)
        if finding.score is not None and finding.continuous is not None
    ]
    if not candidates:
        raise DataError(f"{study.source}: no task has both a score and a continuous metric")
    findings = sorted(candidates, key=_order)[:MAX_TASKS]
    fig, panels = style.panels(width, len(findings), 2, height=1.55, stack=False)
    for row, finding in enumerate(findings):
        _row(panels[2 * row], panels[2 * row + 1], finding, study.axis)
    for axes in panels[-2:]:
        axes.set_xlabel(common.scale_label(study, study.axis), fontsize=7.5 if style.is_narrow(width) else 8.5)
    return fig


def _row(score_axes: Axes, continuous_axes: Axes, finding: Finding, axis: str) -> None:
    assert finding.score is not None and finding.continuous is not None
    for axes, curve, color in (
        (score_axes, finding.score, style.VERMILION),
        (continuous_axes, finding.continuous, style.BLUE),
    ):
        common.shade_changepoint(axes, finding, axis)
        common.draw_curve(axes, finding, curve, color)
        axes.set_ylabel(_metric_label(curve), fontsize=7.5)
        axes.set_xlim(style.log_limits(curve.x))
        if axis == "L":
            axes.invert_xaxis()
        else:
            style.log_axes(axes, y=False)
    common.draw_chance(score_axes, finding.task.chance)
    score_axes.set_ylim(-0.05, 1.05)
    title = f"{finding.task.name.removesuffix('@0')}: {finding.verdict.verdict}"
    score_axes.set_title(title, loc="left", fontsize=8, pad=3)
    continuous_axes.set_title("")
    continuous_axes.set_title("", loc="left")


def _order(finding: Finding) -> tuple[int, float]:
    """Sort key: metric artefacts first, then by decreasing rise."""
    verdict = finding.verdict.verdict
    assert finding.score is not None
    rank = VERDICT_ORDER.index(verdict) if verdict in VERDICT_ORDER else len(VERDICT_ORDER)
    return rank, -float(np.ptp(finding.score.mean))


def _metric_label(curve: Curve) -> str:
    if curve.metric in METRIC_LABELS:
        return METRIC_LABELS[curve.metric]
    title = METRICS[curve.metric].label if curve.metric in METRICS else curve.metric
    return title[:1].upper() + title[1:]

"""The abilities of a store's runs as a section of the report: a verdict a task, what decides it, and the figures."""

from __future__ import annotations

from html import escape as text
from typing import TYPE_CHECKING

from analysis import format
from analysis.evals import items
from analysis.evals.emergence import Study, unplaced
from analysis.evals.tasks import Finding
from analysis.evals.verdict import CANNOT, SMOOTH
from analysis.report import sentences
from analysis.report.html import table

if TYPE_CHECKING:
    from analysis.figures.source import Source

TITLES = {
    "emergence": "Scores over scale",
    "metrics": "The same answers under two metrics",
    "accuracy-loss": "Scores against loss",
    "shots": "Scores over examples in the prompt",
}
SAID = (
    "A score is called sharp where less than a third of its rise was foretold by the scales below its change-point. "
    "If the log-probability of the right answer rose all along and without a jump, that is an artefact of the metric; "
    "if it jumped too, or gave no sign either, a break."
)


def has(source: Source) -> bool:
    """Whether any run of the source was evaluated on a task."""
    return source.store is not None and bool(items.found(source.name))


def shown(source: Source) -> list[str]:
    """The figures that there is something for."""
    if not has(source):
        return []
    several = len({(file.task, file.shots) for file in items.found(source.name)}) > len(
        {file.task for file in items.found(source.name)}
    )
    return [name for name in TITLES if name != "shots" or several]


def section(source: Source, pictures: dict[str, str]) -> str:
    """The table of verdicts and the figures; empty where nothing was evaluated."""
    if not has(source):
        return ""
    from analysis.figures.evals import common

    study = common.study(source)
    rows = [_row(one, study) for one in study.findings]
    head = ("task", "verdict", "score", "chance", "change at C (FLOPs)", "why")
    drawn = "\n".join(pictures[name] for name in TITLES if name in pictures)
    return f"<p>{text(SAID)}</p>\n" + table(head, rows, "wtwntt", _counted(study)) + "\n" + drawn


def _row(one: Finding, study: Study) -> tuple[str, ...]:
    score, verdict, change = one.score, one.verdict, ""
    moved = format.MISSING if score is None else f"{score.mean[0]:.3g} to {score.mean[-1]:.3g}"
    if verdict.score is not None and verdict.verdict not in (SMOOTH, CANNOT):
        ends = sorted(unplaced(x, study.axis) for x in verdict.score.interval)
        change = format.estimate(unplaced(verdict.score.change, study.axis), (ends[0], ends[1]), format.flops)
    return (one.task.name, verdict.verdict, moved, f"{one.task.chance:.3g}", change, sentences.sentence(verdict.why))


def _counted(study: Study) -> str:
    found = [one.verdict.verdict for one in study.findings]
    return f"{len(found)} tasks: " + ", ".join(f"{found.count(v)} {v}" for v in dict.fromkeys(found)) + "."

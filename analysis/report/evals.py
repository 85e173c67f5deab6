"""The section on evaluations: the verdict of each task with its reason, and figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis import format
from analysis.errors import DataError
from analysis.evals import items
from analysis.evals.emergence import EmergenceStudy, scale_value
from analysis.evals.tasks import Finding
from analysis.evals.verdict import INCONCLUSIVE, SMOOTH
from analysis.figures.evals import common
from analysis.figures.source import Source
from analysis.report import sentences
from analysis.report.html import Table
from analysis.report.pictures import Picture, select

TITLES = {
    "emergence": "Scores by scale",
    "metrics": "The same answers under two metrics",
    "accuracy-loss": "Scores against loss",
    "shots": "Scores by number of examples in the prompt",
}
EXPLANATION = (
    "A score is sharp if the scales below its changepoint predict less than a third of its rise. The verdict on a "
    "sharp score is metric artefact if the log-probability of the correct answer rises steadily without a jump, and "
    "break if it also jumps or does not rise before the changepoint."
)


@dataclass(frozen=True)
class Evaluations:
    """The section on evaluations.

    Attributes:
        explanation: Meaning of the verdicts.
        table: Verdict of each task.
        pictures: Figures of the section.
    """

    explanation: str
    table: Table
    pictures: list[Picture]


def has_evaluations(source: Source) -> bool:
    """Returns whether a run of the source was evaluated on a task, and the items of one are intact."""
    if source.store is None:
        return source.has_only_scores
    if not items.item_files(source.store):
        return False
    try:
        return bool(common.emergence_study(source).findings)
    except DataError:
        if source.store.damaged:  # all of them are listed
            return False
        raise


def figure_titles(source: Source) -> dict[str, str]:
    """Returns the titles of the figures of evaluations of a source, by name."""
    if source.store is None:
        return _titles_of_table(common.emergence_study(source)) if source.has_only_scores else {}
    files = items.item_files(source.store) if has_evaluations(source) else []
    several_shots = len({(file.task, file.shots) for file in files}) > len({file.task for file in files})
    return {name: title for name, title in TITLES.items() if files and (name != "shots" or several_shots)}


def _titles_of_table(study: EmergenceStudy) -> dict[str, str]:
    """Titles of the figures that the tasks of a table allow."""
    scored = [finding for finding in study.findings if finding.score is not None]
    shots = {(task.name.split("@")[0], task.shots) for task in (finding.task for finding in study.findings)}
    allowed = {
        "emergence": bool(scored),
        "metrics": any(finding.continuous is not None for finding in scored),
        "accuracy-loss": any(np.isfinite(finding.task.runs[["L", "N"]].to_numpy(float)).all() for finding in scored),
        "shots": len(shots) >= len({name for name, _ in shots}) + 2,
    }
    return {name: title for name, title in TITLES.items() if allowed[name]}


def describe_evaluations(source: Source, pictures: Sequence[Picture]) -> Evaluations | None:
    """Returns the section on evaluations; None if no run was evaluated.

    Args:
        source: Source of the report.
        pictures: All pictures of the report.
    """
    if not has_evaluations(source):
        return None
    study = common.emergence_study(source)
    unit = " (FLOPs)" if study.axis == "C" else ""
    head = ("task", "verdict", "score", "chance", f"changepoint {study.axis}{unit}", "reason")
    rows = [_row(finding, study) for finding in study.findings]
    return Evaluations(EXPLANATION, Table(head, "wtwntt", rows, _verdict_counts(study)), select(pictures, TITLES))


def _row(finding: Finding, study: EmergenceStudy) -> tuple[str, ...]:
    task, score, verdict = finding.task, finding.score, finding.verdict
    rise, change = format.MISSING, ""
    chance = f"{task.chance:.3g}" if np.isfinite(task.chance) else format.MISSING
    if score is not None:
        rise = f"{score.mean[0]:.3g} to {score.mean[-1]:.3g}"
    if verdict.score is not None and verdict.verdict not in (SMOOTH, INCONCLUSIVE):
        low, high = sorted(scale_value(x, study.axis) for x in verdict.score.interval)
        change = format.estimate(scale_value(verdict.score.changepoint, study.axis), (low, high), format.flops)
    return task.name, verdict.verdict, rise, chance, change, sentences.sentence(verdict.reason)


def _verdict_counts(study: EmergenceStudy) -> str:
    verdicts = [finding.verdict.verdict for finding in study.findings]
    counts = (f"{verdicts.count(verdict)} {verdict}" for verdict in dict.fromkeys(verdicts))
    return f"{len(verdicts)} tasks: {', '.join(counts)}."

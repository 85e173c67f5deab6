"""What the figures of abilities share: the study that they draw from, its families, and how a score is drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from analysis.data.points import Points
from analysis.errors import DataError
from analysis.evals import emergence
from analysis.evals.emergence import Study
from analysis.evals.tasks import Curve, Finding
from analysis.evals.verdict import ARTEFACT, BREAK, CANNOT, SMOOTH
from analysis.figures import marks, style
from analysis.figures.source import Source

MARKS = {SMOOTH: "o", ARTEFACT: "D", BREAK: "^", CANNOT: "o"}
SIZES = {SMOOTH: 13, ARTEFACT: 13, BREAK: 20, CANNOT: 13}
KEY = "Discs: smooth; diamonds: an artefact of the metric; triangles: a break; hollow: cannot say."


def read(path: Path) -> Source:
    """A store whose runs were evaluated, or a table of scores, as a source without points."""
    nothing = np.zeros(0)
    points = Points(nothing, nothing, nothing, nothing, [], source=str(path))
    return Source(str(path), points, kept={"emergence": emergence.study(path)})


def study(source: Source) -> Study:
    """The study of a source, made when first asked for; DataError where its runs were not evaluated."""
    if "emergence" not in source.kept:
        flops, params = source.choices.get("flops") or "6nd", source.choices.get("params") or "total"
        source.kept["emergence"] = emergence.study(source.name, level=source.level, flops=flops, params=params)
    found: Study = source.kept["emergence"]
    return found


def families(of: Study) -> dict[str, list[Finding]]:
    """Findings that have a score, by family, easy ones first."""
    out: dict[str, list[Finding]] = {}
    for one in fewest(of):
        if one.score is not None:
            out.setdefault(one.task.family, []).append(one)
    if not out:
        raise DataError(f"{of.source}: no task has a score: only losses were kept")
    for found in out.values():
        found.sort(key=lambda one: (np.nan_to_num(one.task.difficulty), one.task.name))
    return out


def fewest(of: Study) -> list[Finding]:
    """Each task once, with the fewest examples in the prompt that it was asked with."""
    out: dict[str, Finding] = {}
    for one in sorted(of.findings, key=lambda one: one.task.shots):
        out.setdefault(one.task.name.split("@")[0], one)
    return [one for one in of.findings if one in out.values()]


def bottom(panels: list[Axes], count: int, columns: int, label: str) -> None:
    """The scale's label under the last panel of each column; panels beyond `count` go."""
    for axes in panels[count:]:
        axes.remove()
    for axes in panels[max(0, count - columns) : count]:
        axes.set_xlabel(label, fontsize=7.5)


def curve(axes: Axes, one: Finding, of: Curve, color: object, *, shown: str | None = None) -> None:
    """A metric over scale: its line, its marks by verdict, its intervals."""
    said = one.verdict.verdict
    name = f"{of.metric} of {one.task.name}"
    marks.line(axes, name, of.x, of.mean, color=color, linewidth=0.9, label=shown)
    marks.bars(axes, f"interval of {name}", of.x, of.interval[:, 0], of.interval[:, 1], color=color, linewidth=0.7)
    sound = np.full(len(of.x), said != CANNOT)
    how = {"marker": MARKS[said], "s": SIZES[said]}
    marks.points(axes, name, of.x, of.mean, sound=sound, color=color, **how)


def chance(axes: Axes, level: float) -> None:
    """A dashed line at chance."""
    axes.axhline(level, color=style.GREY, linewidth=0.8, linestyle=(0, (4, 2)), zorder=1, gid="chance")


def changed(axes: Axes, one: Finding, axis: str) -> None:
    """The interval of the change-point of a sharp score."""
    of = one.verdict.score
    if of is None or one.verdict.verdict not in (ARTEFACT, BREAK):
        return
    low, high = (emergence.unplaced(x, axis) for x in of.interval)
    axes.axvspan(low, high, color=style.GREY, alpha=0.18, linewidth=0, zorder=0)


LABELS = {"C": style.C_LABEL, "N": style.N_LABEL, "D": style.D_LABEL, "L": style.L_LABEL}

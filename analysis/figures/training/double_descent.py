"""Test and training error over width, data and steps (Nakkiran 2019, figures 1, 2 and 11)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.data.points import Points
from analysis.errors import DataError
from analysis.figures import marks, style
from analysis.figures.source import Source
from analysis.studies import accuracy_curves
from analysis.studies.double_descent import KINDS, SEEN, Descent, Profile, descent

CAPTION = (
    "Double descent. Test error (and training error, wrong labels included, grey) over width, over training examples "
    "and over steps, means over seeds with their intervals; horizontal axes logarithmic. Diamonds: the peak, hollow "
    "where it is not beyond the noise of the seeds. Dotted: where training error first reaches 5%. Of profiles over "
    "data and steps the one with the highest peak is shown."
)
LABELS = {"width": "Width", "data": "Training examples", "epochs": "Steps"}


def read(path: Path) -> Source:
    """What a store's runs say of double descent; DataError where it holds no such runs."""
    nothing = np.zeros(0)
    points = Points(nothing, nothing, nothing, nothing, [], source=str(path))
    return Source(str(path), points, kept={"double-descent": descent(path)})


def figure(source: Source, width: float = style.TEXT) -> Figure:
    """A panel a kind that the runs have; DataError where they have none."""
    found: Descent | None = source.kept.get("double-descent")
    shown = [] if found is None else [best(of) for kind in KINDS if (of := found.of(kind))]
    if not shown:
        raise DataError(f"{source.name}: holds no double descent: python -m sweeps launch double-descent --store DIR")
    fig, panels = style.panels(width, 1, len(shown), height=2.3)
    for axes, profile in zip(panels, shown, strict=True):
        _profile(axes, profile)
    for axes in panels if width < 4.5 else panels[:1]:
        axes.set_ylabel("Error")
    style.legend_below(fig, panels[0], 3)
    return fig


def best(profiles: list[Profile]) -> Profile:
    """The one to show: seen before others, then by its height."""

    def height(profile: Profile) -> float:
        return -np.inf if profile.height is None else profile.height[0]

    return max(profiles, key=lambda profile: (profile.verdict == SEEN, height(profile)))


def _profile(axes: Axes, profile: Profile) -> None:
    x, said = profile.x, f"{profile.kind}, {profile.of}"
    for errors, name, color in ((profile.test, "test", style.BLUE), (profile.train, "training", style.GREY)):
        ends = [accuracy_curves.interval(column) or (column[0], column[0]) for column in errors.T]
        low, high = np.clip(np.array(ends, float).T, 0, 1)
        marks.band(axes, f"interval of {name} error, {said}", x, low, high, color=color)
        label = f"{name} error"
        marks.line(
            axes, f"{name} error, {said}", x, errors.mean(axis=0), color=color, label=label, marker="o", markersize=2
        )
    if profile.height is not None:
        at = profile.at[0]
        top = float(profile.test.mean(axis=0)[profile.x == at][0])
        sound, color = [profile.verdict == SEEN], style.VERMILION
        marks.points(axes, f"peak, {said}", at, top, sound=sound, color=color, marker="D", s=26, zorder=5, label="peak")
    if profile.fitted is not None:
        axes.axvline(profile.fitted, color=style.BLACK, linewidth=0.7, linestyle=":")
    axes.set(xlabel=LABELS[profile.kind], ylim=(0, None), xlim=style.limits(x))
    axes.set_title(profile.of, fontsize=8.5, pad=4)
    style.log_axes(axes, y=False)

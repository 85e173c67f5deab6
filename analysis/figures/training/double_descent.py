"""Test and training error over width, data and steps (Nakkiran 2019, figures 1, 2 and 11)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.data.record_cache import StoreSnapshot
from analysis.errors import DataError
from analysis.figures import marks, style
from analysis.figures.options import SourceOptions
from analysis.figures.source import Source, source_of_study
from analysis.studies.generalisation import accuracy_curves
from analysis.studies.generalisation.double_descent import (
    AXES,
    DOUBLE_DESCENT,
    DoubleDescent,
    Profile,
    analyse_double_descent,
)

CAPTION = (
    "Double descent. Test error (blue) and training error including wrong labels (grey) over width, training examples "
    "and steps; means over seeds with intervals; horizontal axes logarithmic. Diamonds: the peak, hollow if it is "
    "within the noise of the seeds. Dotted: the training error first reaches 5%. Of several profiles over data or "
    "steps, the profile with the highest peak is shown."
)
AXIS_LABELS = {"width": "Width", "data": "Training examples", "epochs": "Steps"}


def read(path: Path | StoreSnapshot, options: SourceOptions = SourceOptions()) -> Source:
    """Reads the double-descent runs of a store, or a table of errors. Raises DataError if there are none."""
    return source_of_study(
        path, "double-descent", analyse_double_descent(path, options.fits.level, options.reading), options
    )


def figure(source: Source, width: float = style.TEXT_WIDTH) -> Figure:
    """Draws one panel for each axis that the runs cover.

    Args:
        source: Result of `read`.
        width: Width in inches.

    Raises:
        DataError: The source has no double-descent runs.
    """
    study: DoubleDescent | None = source.results.get("double-descent")
    profiles = [] if study is None else [highest_peak(along) for kind in AXES if (along := study.along(kind))]
    if not profiles:
        raise DataError(
            f"{source.name}: has no double-descent runs: run `python -m sweeps launch double-descent --store DIR` first"
        )
    fig, panels = style.panels(width, 1, len(profiles), height=2.3)
    for axes, profile in zip(panels, profiles, strict=True):
        _draw_profile(axes, profile)
    for axes in panels if style.is_narrow(width) else panels[:1]:
        axes.set_ylabel("Error")
    style.legend_below(fig, panels[0], 3)
    return fig


def highest_peak(profiles: list[Profile]) -> Profile:
    """Returns the profile with the highest peak, among those with double descent if there are any."""

    def height(profile: Profile) -> float:
        return -np.inf if profile.height is None else profile.height[0]

    return max(profiles, key=lambda profile: (profile.verdict == DOUBLE_DESCENT, height(profile)))


def _draw_profile(axes: Axes, profile: Profile) -> None:
    x, name = profile.x, f"{profile.axis}, {profile.fixed}"
    for errors, split, color in ((profile.test, "test", style.BLUE), (profile.train, "training", style.GREY)):
        if not np.isfinite(errors).all():
            continue  # a table without training errors
        ends = [accuracy_curves.student_interval(column) or (column[0], column[0]) for column in errors.T]
        low, high = np.clip(np.array(ends, float).T, 0, 1)
        label = f"{split} error"
        series = f"{label}, {name}"
        marks.band(axes, f"interval of {series}", x, low, high, color=color)
        marks.line(axes, series, x, errors.mean(axis=0), color=color, label=label, marker="o", markersize=2)
    if profile.height is not None:
        position = profile.peak_position[0]
        marks.points(
            axes,
            f"peak, {name}",
            position,
            float(profile.test.mean(axis=0)[profile.x == position][0]),
            filled=[profile.verdict == DOUBLE_DESCENT],
            color=style.VERMILION,
            marker="D",
            s=26,
            zorder=5,
            label="peak",
        )
    if profile.interpolation is not None:
        axes.axvline(profile.interpolation, color=style.BLACK, linewidth=0.7, linestyle=":")
    axes.set(xlabel=AXIS_LABELS[profile.axis], ylim=(0, None), xlim=style.log_limits(x))
    axes.set_title(profile.fixed, fontsize=8.5, pad=4)
    style.log_axes(axes, y=False)

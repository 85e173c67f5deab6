"""Training and held-out accuracy against steps, and the delay between them (Power 2022, figures 1 and 2)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.data.record_cache import StoreSnapshot
from analysis.errors import DataError
from analysis.figures import marks, style
from analysis.figures.options import SourceOptions
from analysis.figures.source import Source, source_of_study
from analysis.studies.generalisation.grokking import GENERALISED, Cell, Grokking, analyse_grokking

CAPTION = (
    "Grokking. Left: accuracy on the training equations and on held-out ones against steps (logarithmic), one line per "
    "seed, at the share of the data and the weight decay with the longest delay. Right: steps until the held-out "
    "accuracy exceeds 0.9 against the share of the equations in the training set, one line per weight decay; means "
    "and intervals over seeds; hollow: some seeds do not reach it within their steps."
)
SPLITS = (("train", "training", style.BLUE), ("held_out", "held out", style.VERMILION))


def read(path: Path | StoreSnapshot, options: SourceOptions = SourceOptions()) -> Source:
    """Reads the grokking runs of a store. Raises DataError if there are none."""
    return source_of_study(path, "grokking", analyse_grokking(path, options.fits.level), options)


def figure(source: Source, width: float = style.TEXT_WIDTH) -> Figure:
    """Draws the curves of the cell with the longest delay, and the steps to generalise of all cells.

    Args:
        source: Result of `read`.
        width: Width in inches.

    Raises:
        DataError: The source has no grokking runs.
    """
    study: Grokking | None = source.results.get("grokking")
    if study is None:
        raise DataError(
            f"{source.name}: has no grokking runs: run `python -m sweeps launch grokking --store DIR` first"
        )
    fig, (curves, delays) = style.panels(width, 1, 2, height=2.5, ratios=(1.25, 1.0))
    _draw_curves(curves, study.longest_delay)
    _draw_delays(delays, study)
    style.legend_below(fig, curves, 2)
    return fig


def _draw_curves(axes: Axes, cell: Cell) -> None:
    for field, name, color in SPLITS:
        for i, run in enumerate(cell.runs):
            series, label = f"{name}, seed {run.record.config.seed}", name if i == 0 else None
            marks.line(axes, series, run.steps, getattr(run, field), color=color, label=label, alpha=0.85)
    first = min(int(run.steps[0]) for run in cell.runs)
    axes.set(xlim=(first, cell.steps), ylim=(-0.02, 1.04), xlabel="Steps", ylabel="Accuracy")
    axes.axhline(GENERALISED, color=style.GREY, linewidth=0.6, linestyle=":")
    axes.set_title(f"{cell.fraction:.2g} of the equations, weight decay {cell.decay:g}", fontsize=8.5, pad=4)
    style.log_axes(axes, y=False)


def _draw_delays(axes: Axes, study: Grokking) -> None:
    decays = sorted({cell.decay for cell in study.cells})
    heights: list[float] = []
    for decay, color in zip(decays, style.sequential_colors(decays), strict=True):
        cells = [cell for cell in study.cells if cell.decay == decay]
        heights += _draw_decay(axes, decay, cells, color)
    axes.set(xlabel="Share of the equations in the training set", ylabel=f"Steps to held-out accuracy {GENERALISED:g}")
    fractions = sorted({cell.fraction for cell in study.cells})
    axes.set_xticks(fractions, [f"{fraction:.2g}" for fraction in fractions])
    margin = 0.25 * max(fractions[-1] - fractions[0], 0.1)
    axes.set(xlim=(fractions[0] - margin, fractions[-1] + margin), ylim=style.log_limits(heights))
    axes.legend(title="weight decay", title_fontsize=7.5)
    style.log_axes(axes, x=False)


def _draw_decay(axes: Axes, decay: float, cells: list[Cell], color: Any) -> list[float]:
    """Draws the means and intervals of one weight decay; returns all values that the axis must contain."""
    series, means = f"weight decay {decay:g}", [cell.mean("held_out") for cell in cells]
    x = np.array([cell.fraction for cell in cells])
    y = np.array([cell.steps if mean is None else mean[0] for cell, mean in zip(cells, means, strict=True)], float)
    marks.line(axes, series, x, y, color=color, label=f"{decay:g}")
    intervals = {
        fraction: mean[1] for fraction, mean in zip(x, means, strict=True) if mean is not None and mean[1] is not None
    }
    if intervals:
        low, high = zip(*intervals.values(), strict=True)
        marks.bars(axes, f"interval, {series}", list(intervals), low, high, color=color)
    marks.points(axes, series, x, y, filled=[mean is not None for mean in means], color=color)
    return [*y.tolist(), *(end for interval in intervals.values() for end in interval)]

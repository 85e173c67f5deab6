"""Accuracy on training and on held-out equations against steps, and the steps until the second follows the first
(Power 2022, figures 1 and 2)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.data.points import Points
from analysis.errors import DataError
from analysis.figures import marks, style
from analysis.figures.source import Source
from analysis.studies.grokking import GENERALISED, Cell, Grokking, grokking

CAPTION = (
    "Grokking. Left: accuracy on the equations trained on and on held-out ones against steps (logarithmic), a line a "
    "seed, at the share of the data and the weight decay whose delay is the longest. Right: steps until the held-out "
    "accuracy passes 0.9 against the share of all equations trained on, a line for each weight decay, means and "
    "intervals over seeds; hollow: not all seeds have come to it, at the steps that they were given."
)


def read(path: Path) -> Source:
    """What a store's runs say of grokking; DataError where it holds no such runs."""
    nothing = np.zeros(0)
    points = Points(nothing, nothing, nothing, nothing, [], source=str(path))
    return Source(str(path), points, kept={"grokking": grokking(path)})


def figure(source: Source, width: float = style.TEXT) -> Figure:
    """Curves of the cell that shows it best, and steps to generalise of all; DataError where there are none."""
    found: Grokking | None = source.kept.get("grokking")
    if found is None:
        raise DataError(f"{source.name}: holds no sweep of grokking: python -m sweeps launch grokking --store DIR")
    fig, (left, right) = style.panels(width, 1, 2, height=2.5, ratios=(1.25, 1.0))
    _curves(left, found.shown)
    _delays(right, found)
    style.legend_below(fig, left, 2)
    return fig


def _curves(axes: Axes, cell: Cell) -> None:
    for which, said, color in (("train", "training", style.BLUE), ("held", "held out", style.VERMILION)):
        for i, run in enumerate(cell.runs):
            label = said if i == 0 else None
            series = f"{said}, seed {run.record.config.seed}"
            marks.line(axes, series, run.steps, getattr(run, which), color=color, label=label, alpha=0.85)
    first = min(int(run.steps[0]) for run in cell.runs)
    axes.set(xlim=(first, cell.steps), ylim=(-0.02, 1.04), xlabel="Steps", ylabel="Accuracy")
    axes.axhline(GENERALISED, color=style.GREY, linewidth=0.6, linestyle=":")
    axes.set_title(f"{cell.fraction:.2g} of the equations, weight decay {cell.decay:g}", fontsize=8.5, pad=4)
    style.log_axes(axes, y=False)


def _delays(axes: Axes, found: Grokking) -> None:
    decays = sorted({cell.decay for cell in found.cells})
    heights: list[float] = []
    for decay, color in zip(decays, style.ordered(decays), strict=True):
        cells = [cell for cell in found.cells if cell.decay == decay]
        heights += _line(axes, decay, cells, color)
    axes.set(xlabel="Share of the equations trained on", ylabel=f"Steps to held-out accuracy {GENERALISED:g}")
    fractions = sorted({cell.fraction for cell in found.cells})
    axes.set_xticks(fractions, [f"{fraction:.2g}" for fraction in fractions])
    room = 0.25 * max(fractions[-1] - fractions[0], 0.1)
    axes.set(xlim=(fractions[0] - room, fractions[-1] + room), ylim=style.limits(heights))
    axes.legend(title="weight decay", title_fontsize=7.5)
    style.log_axes(axes, x=False)


def _line(axes: Axes, decay: float, cells: list[Cell], color: Any) -> list[float]:
    """One weight decay's means and intervals; the heights that it takes."""
    series, means = f"weight decay {decay:g}", [cell.mean("held") for cell in cells]
    x = np.array([cell.fraction for cell in cells])
    y = np.array([cell.steps if mean is None else mean[0] for cell, mean in zip(cells, means, strict=True)], float)
    marks.line(axes, series, x, y, color=color, label=f"{decay:g}")
    within = [(at, mean[1]) for at, mean in zip(x, means, strict=True) if mean is not None and mean[1] is not None]
    if within:
        at, (low, high) = [one for one, _ in within], zip(*(two for _, two in within), strict=True)
        marks.bars(axes, f"interval, {series}", at, low, high, color=color)
    marks.points(axes, series, x, y, sound=[mean is not None for mean in means], color=color)
    return [*y.tolist(), *(end for _, ends in within for end in ends)]

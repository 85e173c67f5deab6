"""Sealed forecasts of a store: predicted distributions and measured losses, and what the last forecast rests on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.data.record_cache import StoreSnapshot, as_snapshot
from analysis.data.sources.readers import is_store
from analysis.errors import DataError
from analysis.figures import marks, style
from analysis.figures.options import SourceOptions
from analysis.figures.source import Source, source_of_study
from analysis.studies.forecast.scores import Outcome, score_seals
from analysis.studies.forecast.seals import Seal, read_seals

CAPTION = (
    "Sealed forecasts. Left: distribution of the loss of each new run as it was sealed before training, relative to "
    "its median, against the FLOPs of the run; bars are central intervals of 50%, 80% and 95%, points measured losses "
    "(hollow: outside the 95% interval). Right: change of the last forecast under other choices, relative to its law "
    "with the largest weight."
)
LEVELS = (0.95, 0.8, 0.5)
WIDTHS = (1.2, 3.0, 6.0)  # points, of the bars of LEVELS
OFFSET = 1.12  # ratio of neighbouring positions of forecasts at the same FLOPs
MARGIN = 3.0  # ratio of the ends of the axis to the outermost forecasts: one forecast alone is in its middle
MAX_NAME = 34  # characters of a choice
SHORT = {"nonembedding": "non-emb.", "full-attention": "full att."}  # in names of counting conventions


def read(path: Path | StoreSnapshot, options: SourceOptions = SourceOptions()) -> Source:
    """Reads the sealed forecasts of a store. Raises DataError if there are none."""
    if not is_store(path):
        raise DataError(f"{path}: not a store: sealed forecasts are in the folder that runs were trained into")
    store = as_snapshot(path)
    outcomes = score_seals(store, read_seals(store))
    return source_of_study(path, "forecasts", outcomes, options)


def figure(source: Source, width: float = style.TEXT_WIDTH) -> Figure:
    """Draws the sealed forecasts with their outcomes, and the effects of choices on the last one.

    Args:
        source: Result of `read`.
        width: Width in inches.

    Raises:
        DataError: The store has no sealed forecasts.
    """
    outcomes: list[Outcome] = source.results.get("forecasts", [])
    if not outcomes:
        raise DataError(f"{source.name}: no sealed forecasts: make one with `analysis forecast .. --seal`")
    fig, (fan, effects) = style.panels(width, 1, 2, height=2.7, ratios=(1.0, 1.1))
    _draw_fan(fan, outcomes)
    _draw_effects(effects, outcomes[-1].seal)
    return fig


def _draw_fan(axes: Axes, outcomes: list[Outcome]) -> None:
    C = np.array([outcome.seal.forecast["target"]["C"] for outcome in outcomes])
    order = [int(np.sum(np.abs(np.log(C[:i] / C[i])) < 0.05)) for i in range(len(C))]  # forecasts at nearly the same C
    C = C * OFFSET ** np.array(order)
    for level, width in zip(LEVELS, WIDTHS, strict=True):
        ends = np.array([_relative(outcome, outcome.seal.predictive.interval(level)) for outcome in outcomes])
        series = f"{level:.0%} interval"
        marks.bars(axes, series, C, ends[:, 0], ends[:, 1], color=style.BLUE, linewidth=width, alpha=0.45)
    scored = [i for i, outcome in enumerate(outcomes) if outcome.loss is not None]
    errors = np.array([100 * np.expm1(outcomes[i].error or 0.0) for i in scored])
    inside = np.array([bool(outcomes[i].inside) for i in scored])
    if scored:
        marks.points(axes, "measured loss", C[scored], errors, filled=inside, color=style.VERMILION, zorder=5)
    limits = (C.min() / MARGIN, C.max() * MARGIN)
    marks.line(axes, "median", limits, [0, 0], color=style.GREY, linewidth=0.8, zorder=1)
    axes.set(xlim=limits, xlabel="Training FLOPs $C$", ylabel="Loss relative to the forecast (%)")
    style.log_axes(axes, y=False)


def _relative(outcome: Outcome, interval: tuple[float, float]) -> tuple[float, float]:
    """An interval in per cent of the median of the forecast."""
    median = outcome.seal.forecast["loss"]
    return 100 * (interval[0] / median - 1), 100 * (interval[1] / median - 1)


def _draw_effects(axes: Axes, seal: Seal) -> None:
    rests_on = seal.forecast["rests_on"]
    entries = sorted(rests_on["effects"], key=lambda effect: abs(effect["change"]))
    names = [str(entry["name"]) for entry in entries]
    for row, (name, entry) in enumerate(zip(names, entries, strict=True)):
        change = 100 * float(np.expm1(entry["change"]))
        low, high = sorted((0.0, change))
        marks.bars(axes, name, [row], [low], [high], horizontal=True, color=style.BLUE, linewidth=5.0)
    axes.axvline(0, color=style.GREY, linewidth=0.8)
    axes.set_yticks(range(len(names)), map(_short, names), fontsize=6.5)
    axes.set(ylim=(-0.7, len(names) - 0.3), xlabel=f"Change of {rests_on['law']} (%)")


def _short(name: str) -> str:
    """The name of a choice, short enough for an axis."""
    for word, short in SHORT.items():
        name = name.replace(word, short)
    return name[:MAX_NAME]

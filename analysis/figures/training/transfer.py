"""Loss against learning rate for each model size and parametrisation (Yang 2022, figure 1).

The learning rate transfers if narrow and wide models have the same optimal rate.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.data.from_store import filter_runs
from analysis.data.record_cache import StoreSnapshot
from analysis.data.sources.readers import is_store
from analysis.errors import DataError
from analysis.figures import marks, style
from analysis.figures.options import SourceOptions
from analysis.figures.source import Source, load, source_of_study
from analysis.studies.learning.rates import RateCurve, Size, rate_curves, rate_curves_of_table

PARAMETRIZATIONS = ("standard", "mup", "completep")
PARAMETRIZATION_NAMES = {"standard": "standard", "mup": "muP", "completep": "CompleteP"}
CAPTION = (
    "Held-out loss against the peak learning rate, one line per model size, averaged over seeds. Diamonds: the best "
    "rate, from a parabola in ln rate through the lowest point and its neighbours; hollow if the lowest point is at "
    "an end of the grid. Crosses at the top: runs that diverged. If diamonds are vertically aligned, small and large "
    "models have the same best rate."
)


class RateStudy(NamedTuple):
    """Curves of loss against learning rate, and the unit of the loss."""

    curves: list[RateCurve]
    loss_unit: str


def read(path: Path | StoreSnapshot, options: SourceOptions = SourceOptions()) -> Source:
    """Reads the runs of a store, or a table with a row per run. Raises DataError for bad input."""
    if not is_store(path):
        return source_of_study(path, "transfer", RateStudy(*rate_curves_of_table(path, options.reading)), options)
    if options.reading.columns:
        raise DataError(f"{path}: is a store: --columns applies only to a table")
    source = load(path, options.fits, options.reading)
    runs = set() if source.runs is None else set(filter_runs(source.runs, Path(path), options.reading.where)["run_id"])
    return replace(source, records=tuple(record for record in source.records if record.run_id in runs))


def figure(source: Source, width: float = style.TEXT_WIDTH) -> Figure:
    """Draws one panel per parametrisation.

    Args:
        source: Result of `read`, or a store with one sweep of learning rates.
        width: Width in inches.

    Raises:
        DataError: No model size was trained at several rates, or there are several sweeps.
    """
    study: RateStudy | None = source.results.get("transfer")
    curves, loss_unit = study or RateStudy(rate_curves(source.records, source.name), source.points.loss_unit)
    names = sorted({curve.parametrization for curve in curves}, key=_panel_order)
    fig, panels = style.panels(width, 1, len(names), height=2.5)
    sizes = sorted({curve.size for curve in curves})
    colors = dict(zip(sizes, style.sequential_colors(list(range(len(sizes)))), strict=True))
    low, high = _loss_limits(curves)
    for axes, name in zip(panels, names, strict=True):
        axes.set(ylim=(low, high), xlim=style.log_limits(*(c.rates for c in curves)), xlabel="Peak learning rate")
        panel_curves = [curve for curve in curves if curve.parametrization == name]
        for curve in panel_curves:
            _draw_curve(axes, curve, _size_label(curve, sizes), colors[curve.size], high)
        axes.set_title(_title(panel_curves), fontsize=8.5, pad=4)
        style.log_axes(axes, y=False)
    for axes in panels if style.is_narrow(width) else panels[:1]:
        axes.set_ylabel(style.loss_label(loss_unit))
    style.legend_below(fig, panels[0], min(len(sizes), 4))
    return fig


def _draw_curve(axes: Axes, curve: RateCurve, size: str, color: Any, top: float) -> None:
    name = f"{_panel_name(curve.parametrization)}, {size}"
    finite = np.isfinite(curve.losses)
    rates, losses = curve.rates[finite], curve.losses[finite]
    marks.line(axes, name, rates, losses, color=color, label=size, marker="o", markersize=2.4)
    if not finite.all():
        diverged = curve.rates[~finite]
        marks.points(axes, f"diverged, {name}", diverged, np.full(len(diverged), top), color=color, marker="X", s=20)
    rate, loss = curve.best
    marks.points(axes, f"best rate, {name}", rate, loss, filled=[curve.inside], color=color, marker="D", s=26, zorder=5)


def _panel_order(parametrization: str) -> tuple[int, str]:
    """Sort key of the panels: known parametrisations first."""
    known = parametrization in PARAMETRIZATIONS
    return PARAMETRIZATIONS.index(parametrization) if known else len(PARAMETRIZATIONS), parametrization


def _panel_name(parametrization: str) -> str:
    return PARAMETRIZATION_NAMES.get(parametrization, parametrization or "all runs")


def _size_label(curve: RateCurve, sizes: list[Size]) -> str:
    """The width, the number of layers, or both, as they differ between sizes."""
    if curve.layers == 0:
        return f"{style.short_count(curve.width)} parameters"
    widths, depths = {width for width, _ in sizes}, {layers for _, layers in sizes}
    parts = [f"width {curve.width}"] if len(widths) > 1 or len(depths) == 1 else []
    return ", ".join(parts + ([f"{curve.layers} layers"] if len(depths) > 1 else []))


def _title(curves: list[RateCurve]) -> str:
    """The parametrisation, and the ratio of the best rate of the largest size to that of the smallest."""
    first, last = curves[0], curves[-1]
    name = _panel_name(first.parametrization)
    ratio = last.best[0] / first.best[0]
    return name if first is last else rf"{name}: best rate $\times$ {ratio:.2g}"


def _loss_limits(curves: list[RateCurve]) -> tuple[float, float]:
    """Limits from the lowest loss to the median of the highest losses of the curves, without divergent ends."""
    lows = [float(np.nanmin(curve.losses)) for curve in curves]
    highs = [float(np.nanmax(curve.losses)) for curve in curves]
    low, high = min(lows), max(float(np.median(highs)), max(lows) + 0.1 * (max(lows) - min(lows)))
    return low - 0.05 * (high - low), high + 0.05 * (high - low)

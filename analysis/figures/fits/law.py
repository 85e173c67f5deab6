"""A law against its first input, with interval, points and extrapolation; predicted against measured values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis import laws
from analysis.errors import FitError
from analysis.figures import marks, style
from analysis.figures.fits.common import axis_label, is_log, linestyle
from analysis.figures.source import Source
from analysis.fitting.result import Fit

CAPTION = (
    "The law and the points it was fitted to. (a) Against its first input; for a law of several inputs, at some values "
    "of the second input with the nearest points, and further inputs at the median of these points. Bands are "
    "{level:.0%} intervals of the law, without seed noise. Dashed: the fit has warnings; grey background: the law is "
    "extrapolated. (b) Predicted against measured values; the line is equality."
)
MAX_SLICES, GRID = 6, 120
REACH = 10.0  # largest upper end of the extrapolation, relative to the largest input
EXTRAPOLATION_COLOR = "#f1f1f1"


@dataclass(frozen=True)
class Slice:
    """Points near one value of a law's second input.

    Attributes:
        value: Median of the second input of the points.
        rows: Indices of the points (n,).
    """

    value: float
    rows: np.ndarray


def figure(source: Source, width: float = style.TEXT_WIDTH, law: str = "chinchilla") -> Figure:
    """Draws the law against its first input, and predicted against measured values.

    Args:
        source: Points of a store or file.
        width: Width in inches.
        law: A law of any inputs.

    Raises:
        FitError: The law cannot be fitted, or is an approach that only gives exponents.
    """
    fit = source.fit(law)
    if fit.form is None:
        raise FitError(f"{fit.law} only gives exponents of the optimum: use the figure isoflop or contours")
    fig, (curves, parity) = style.panels(width, 1, 2, height=2.5, ratios=(1.35, 1))
    slices = list(_slices(fit, fit.form))
    _draw_slices(curves, fit, fit.form, slices)
    _draw_parity(parity, fit, fit.form)
    if len(slices) > 1:
        columns = min(len(slices), 3 if style.is_narrow(width) else 6)
        style.legend_below(fig, curves, columns, f"(a): {axis_label(fit.form, fit.form.inputs[1])}")
    return fig


def _draw_slices(axes: Axes, fit: Fit, form: laws.Law, slices: list[Slice]) -> None:
    points, main = fit.points, form.inputs[0]
    x, y = points[main], points[form.output]
    log = is_log(form, main, x)
    low, high = style.log_limits(x) if log else _linear_limits(x)
    end = high * min(REACH, (x.max() / x.min()) ** 0.5) if log else high + 0.3 * (high - low)
    grid = np.geomspace(low, end, GRID) if log else np.linspace(low, end, GRID)
    colors = style.sequential_colors([part.value for part in slices]) if len(slices) > 1 else [style.BLUE]
    lowest = float(y.min())
    axes.axvspan(high, end, color=EXTRAPOLATION_COLOR, zorder=0)
    for part, color in zip(slices, colors, strict=True):
        name = f", {form.inputs[1]} = {part.value:.4g}" if len(slices) > 1 else ""
        lowest = min(lowest, _draw_law(axes, fit, grid, part, name, color))
        marks.points(axes, f"points{name}", x[part.rows], y[part.rows], color=color if len(slices) > 1 else style.BLACK)
    axes.set(xlim=(low, end), ylim=_output_limits(form, y, lowest))
    axes.set(xlabel=axis_label(form, main), ylabel=axis_label(form, form.output))
    style.log_axes(axes, x=log, y=_is_log_output(form, y))


def _draw_law(axes: Axes, fit: Fit, grid: np.ndarray, part: Slice, name: str, color: Any) -> float:
    """Draws a slice of the law with its interval; returns its last value, infinity if there is none."""
    assert fit.form is not None
    main, *others = fit.form.inputs
    fixed = {letter: np.median(fit.points[letter][part.rows]) for letter in others}
    with np.errstate(all="ignore"):
        y = fit.predict(**{main: grid}, **fixed) * np.ones(GRID)
        low, high = fit.predict_interval(**{main: grid}, **fixed)
    finite = np.isfinite(y) & np.isfinite(low) & np.isfinite(high)
    series = f"{fit.law}{name}"
    marks.band(axes, f"{series}, {fit.level:.0%} interval", grid[finite], low[finite], high[finite], color=color)
    marks.line(
        axes,
        series,
        grid[finite],
        y[finite],
        color=color,
        label=_legend_number(part.value),
        linestyle=linestyle(fit.verdict),
    )
    return float(y[finite][-1]) if finite.any() else np.inf


def _legend_number(value: float) -> str:
    return f"{value:.3g}" if 1e-3 <= abs(value) < 1e4 else f"${style.math_number(value)}$"


def _slices(fit: Fit, form: laws.Law) -> Iterator[Slice]:
    """Yields values of the second input with the nearest points; one slice of all points without a second input."""
    points = fit.points
    if len(form.inputs) == 1:
        yield Slice(1.0, np.arange(len(points)))
        return
    letter = form.inputs[1]
    values = points[letter]
    scale = np.log if is_log(form, letter, values) else np.asarray
    centres = np.unique(np.round(scale(values), 2))
    if len(centres) > MAX_SLICES:
        centres = np.linspace(centres[0], centres[-1], MAX_SLICES)
    nearest = np.abs(scale(values)[:, None] - centres).argmin(-1)
    for i in range(len(centres)):
        rows = np.flatnonzero(nearest == i)
        if len(rows):
            yield Slice(float(np.median(values[rows])), rows)


def _draw_parity(axes: Axes, fit: Fit, form: laws.Law) -> None:
    points = fit.points
    measured = points[form.output]
    predicted = np.asarray(fit.predict(**{letter: points[letter] for letter in form.inputs}))
    both = np.append(measured, predicted)
    log = _is_log_output(form, both)
    low, high = style.log_limits(measured, predicted) if log else _linear_limits(both)
    marks.line(axes, "equality", [low, high], [low, high], color=style.GREY, linewidth=0.8, zorder=1)
    marks.points(axes, "points, measured and predicted", measured, predicted, color=style.BLUE)
    name = axis_label(form, form.output)
    axes.set(xlim=(low, high), ylim=(low, high), xlabel=f"{name}, measured", ylabel=f"{name}, predicted")
    style.log_axes(axes, x=log, y=log)


def _is_log_output(form: laws.Law, y: np.ndarray) -> bool:
    positive_loss = form.output == "L" and form.output not in form.signed and bool(y.min() > 0)
    return positive_loss or is_log(form, form.output, y)


def _output_limits(form: laws.Law, y: np.ndarray, lowest: float) -> tuple[float, float]:
    """Limits of the points, extended below by at most their span to show the extrapolated law."""
    if _is_log_output(form, y):
        low, high = style.log_limits(y, pad=0.08)
        return max(low * low / high, min(low, 0.98 * lowest)), high
    low, high = _linear_limits(y)
    return max(2 * low - high, min(low, lowest)), high + 0.15 * (high - low)


def _linear_limits(values: np.ndarray) -> tuple[float, float]:
    span = max(float(np.ptp(values)), 1e-9 * float(np.abs(values).max()), 1e-300)
    return float(values.min() - 0.05 * span), float(values.max() + 0.05 * span)

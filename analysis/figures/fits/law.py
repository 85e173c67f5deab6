"""A law against its input: curve, interval, points, and how far it is carried beyond them. For a law of any inputs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis import laws
from analysis.errors import FitError
from analysis.figures import marks, style
from analysis.figures.source import Source
from analysis.fitting.result import Fit

CAPTION = (
    "The law and the points it was fitted to. (a) Against its first input; where it has more, at some values of the "
    "second, each with the points nearest to it and any further input at their median. Bands are {level:.0%} intervals "
    "of the law, seed noise left out; dashes mark a law with something to doubt, and on grey it extrapolates. (b) "
    "Predicted against measured, each point at its own inputs; the line is equality."
)
SLICES, GRID = 6, 120
WIDE = 3.0  # ratio of largest to smallest from which an axis of positive numbers is logarithmic
REACH = 10.0  # times the largest input that a law is carried beyond it, or less where the points span little


def figure(source: Source, width: float = style.TEXT, law: str = "chinchilla") -> Figure:
    """Two panels: the law against its first input, and predicted against measured."""
    fit = source.fit(law)
    if fit.form is None:
        raise FitError(f"{fit.law} gives exponents of the optimum, not a law to draw: draw isoflop or contours")
    fig, (against, parity) = style.panels(width, 1, 2, height=2.5, ratios=(1.35, 1))
    count = _against(against, fit, fit.form)
    _parity(parity, fit, fit.form)
    if count > 1:
        letter = fit.form.inputs[1]
        style.legend_below(fig, against, min(count, 6 if width > 4.5 else 3), f"(a): {label(fit.form, letter)}")
    return fig


def label(form: laws.Law, letter: str) -> str:
    """Of an axis: the letter, and its unit where the law says it."""
    known = {"N": style.N_LABEL, "D": style.D_LABEL, "C": style.C_LABEL, "L": style.L_LABEL}
    unit = form.units.get(letter)
    if letter in known and unit in (None, "parameters", "tokens", "FLOPs", "nats a token"):
        return known[letter]
    name = f"${letter}$" if len(letter) == 1 else letter.replace("_", " ")
    return f"{name} ({unit})" if unit else name


def wide(form: laws.Law, letter: str, values: np.ndarray) -> bool:
    """Whether an axis of these values is logarithmic."""
    return letter not in form.signed and bool(values.min() > 0 and values.max() > WIDE * values.min())


def _against(axes: Axes, fit: Fit, form: laws.Law) -> int:
    """Draws the law against its first input; how many slices there are."""
    points, main = fit.points, form.inputs[0]
    x, y = points[main], points[form.output]
    log = wide(form, main, x)
    low, high = style.limits(x) if log else _margin(x)
    far = high * min(REACH, (x.max() / x.min()) ** 0.5) if log else high + 0.3 * (high - low)
    grid = np.geomspace(low, far, GRID) if log else np.linspace(low, far, GRID)
    slices = list(_slices(fit, form))
    colors = style.ordered([level for level, _ in slices]) if len(slices) > 1 else [style.BLUE]
    dashes = {} if tuple(fit.verdict) == ("converged",) else {"linestyle": "--"}
    lowest = float(y.min())
    axes.axvspan(high, far, color="#f1f1f1", zorder=0)
    for (level, at), color in zip(slices, colors, strict=True):
        held = {letter: np.median(points[letter][at]) for letter in form.inputs[1:]}
        said = f", {form.inputs[1]} = {level:.4g}" if len(slices) > 1 else ""
        with np.errstate(all="ignore"):
            line = fit.predict(**{main: grid}, **held) * np.ones(GRID)
            bottom, top = fit.predict_interval(**{main: grid}, **held)
        ok = np.isfinite(line) & np.isfinite(bottom) & np.isfinite(top)
        lowest = min(lowest, *line[ok][-1:])
        marks.band(axes, f"{fit.law}{said}, {fit.level:.0%} interval", grid[ok], bottom[ok], top[ok], color=color)
        marks.line(axes, f"{fit.law}{said}", grid[ok], line[ok], color=color, label=_number(level), **dashes)
        marks.points(axes, f"points{said}", x[at], y[at], color=color if len(slices) > 1 else style.BLACK)
    axes.set(xlim=(low, far), ylim=_room(form, y, lowest), xlabel=label(form, main), ylabel=label(form, form.output))
    style.log_axes(axes, x=log, y=_log_output(form, y))
    return len(slices)


def _number(value: float) -> str:
    return f"{value:.3g}" if 1e-3 <= abs(value) < 1e4 else f"${style.power(value)}$"


def _slices(fit: Fit, form: laws.Law) -> Iterator[tuple[float, np.ndarray]]:
    """Values of the second input, each with the points nearest to it; one slice of all where there is no second."""
    points = fit.points
    if len(form.inputs) == 1:
        yield 1.0, np.arange(len(points))
        return
    letter = form.inputs[1]
    values = points[letter]
    scale = np.log if wide(form, letter, values) else np.asarray
    places = np.unique(np.round(scale(values), 2))
    if len(places) > SLICES:
        places = np.linspace(places[0], places[-1], SLICES)
    nearest = np.abs(scale(values)[:, None] - places).argmin(-1)
    for i in range(len(places)):
        at = np.flatnonzero(nearest == i)
        if len(at):
            yield float(np.median(values[at])), at


def _parity(axes: Axes, fit: Fit, form: laws.Law) -> None:
    points = fit.points
    measured = points[form.output]
    predicted = np.asarray(fit.predict(**{letter: points[letter] for letter in form.inputs}))
    log = _log_output(form, np.append(measured, predicted))
    low, high = style.limits(measured, predicted) if log else _margin(np.append(measured, predicted))
    marks.line(axes, "equality", [low, high], [low, high], color=style.GREY, linewidth=0.8, zorder=1)
    marks.points(axes, "points, measured and predicted", measured, predicted, color=style.BLUE)
    name = label(form, form.output)
    axes.set(xlim=(low, high), ylim=(low, high), xlabel=f"{name}, measured", ylabel=f"{name}, predicted")
    style.log_axes(axes, x=log, y=log)


def _log_output(form: laws.Law, y: np.ndarray) -> bool:
    return (form.output not in form.signed and bool(y.min() > 0) and form.output == "L") or wide(form, form.output, y)


def _room(form: laws.Law, y: np.ndarray, lowest: float) -> tuple[float, float]:
    """Limits that hold the points, and below them room for what the law promises beyond: at most as much again."""
    if _log_output(form, y):
        low, high = style.limits(y, pad=0.08)
        return max(low * low / high, min(low, 0.98 * lowest)), high
    low, high = _margin(y)
    return max(2 * low - high, min(low, lowest)), high + 0.15 * (high - low)


def _margin(values: np.ndarray) -> tuple[float, float]:
    span = max(float(np.ptp(values)), 1e-9 * float(np.abs(values).max()), 1e-300)
    return float(values.min() - 0.05 * span), float(values.max() + 0.05 * span)

"""Predicted against measured values, and residuals against each input."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.errors import FitError
from analysis.figures import marks, style
from analysis.figures.fits.common import axis_label
from analysis.figures.source import Source
from analysis.fitting.result import Fit
from analysis.format import short_loss_unit
from analysis.solver.robust import robust_std

CAPTION = (
    "Fit of a law (by default approach 3) to its runs. (a) Predicted against measured values; the line is equality. "
    "Other panels: residuals, measured over predicted, against each input. The grey band is two robust standard "
    "deviations on each side (1.48 × the median absolute deviation). The law does not describe a trend of the "
    "residuals. Runs beyond three standard deviations are hollow."
)
LAYOUT = {1: (1, 2), 2: (1, 3), 3: (2, 2)}  # rows and columns of panels by number of residual panels
BAND, OUTLIER = 2, 3  # robust standard deviations


def figure(source: Source, width: float = style.TEXT_WIDTH, law: str = "chinchilla") -> Figure:
    """Draws predicted against measured values, then residuals against up to three inputs (and C for a law of N and D).

    Args:
        source: Points of a store or file.
        width: Width in inches.
        law: A law of any inputs.

    Raises:
        FitError: The law cannot be fitted, or is an approach that only gives exponents.
    """
    fit = source.fit(law)
    if fit.form is None:
        raise FitError(f"{fit.law} only gives exponents of the optimum, not a loss to compare")
    form, points = fit.form, fit.points
    measured = points[form.output]
    predicted = np.asarray(fit.predict(**{letter: points[letter] for letter in form.inputs}), float)
    log = bool(measured.min() > 0 and predicted.min() > 0)
    residual = 100 * (measured / predicted - 1) if log else measured - predicted
    centred = np.abs(residual - np.median(residual))
    deviation = max(robust_std(centred), 1e-9)
    filled = centred <= OUTLIER * deviation
    letters = [*form.inputs, "C"] if form.inputs == ("N", "D") and np.isfinite(points.C).all() else form.inputs[:3]
    fig, (parity, *panels) = style.panels(width, *LAYOUT[len(letters)], height=1.95)
    _draw_parity(parity, fit, measured, predicted, filled, log)
    parity.text(0.04, 0.95, _summary(residual, log), transform=parity.transAxes, va="top", fontsize=7.5)
    for axes, letter in zip(panels, letters, strict=True):
        _draw_residuals(axes, fit, letter, residual, filled, BAND * deviation)
        axes.set_ylabel("Residual (%)" if log else "Residual")
    return fig


def _draw_parity(
    axes: Axes, fit: Fit, measured: np.ndarray, predicted: np.ndarray, filled: np.ndarray, log: bool
) -> None:
    form = fit.form
    assert form is not None
    name = axis_label(form, form.output).split(" (")[0] if form.output != "L" else "loss"
    unit = form.units.get(form.output, "")
    unit = short_loss_unit(unit or fit.points.loss_unit) if form.output == "L" else unit
    low, high = style.log_limits(measured, predicted) if log else (measured.min(), measured.max())
    marks.line(axes, "equality", [low, high], [low, high], color=style.GREY, linewidth=0.8, zorder=1)
    marks.points(axes, "runs", measured, predicted, filled=filled, color=style.BLUE)
    quantity = f"{name} ({unit})" if unit else name
    axes.set(xlim=(low, high), ylim=(low, high), xlabel=f"Measured {quantity}", ylabel=f"Predicted {quantity}")
    style.log_axes(axes, x=log, y=log)


def _draw_residuals(
    axes: Axes, fit: Fit, letter: str, residual: np.ndarray, filled: np.ndarray, half_width: float
) -> None:
    form, x = fit.form, fit.points[letter]
    assert form is not None
    log = bool(letter not in form.signed and x.min() > 0)
    ends = style.log_limits(x) if log else (x.min(), x.max())
    name = "two robust standard deviations"
    marks.band(axes, name, ends, [-half_width] * 2, [half_width] * 2, color=style.GREY)
    marks.line(axes, "zero", ends, [0, 0], color=style.GREY, linewidth=0.8, zorder=1)
    marks.points(axes, "residuals", x, residual, filled=filled, color=style.BLUE)
    top = 1.15 * max(float(np.abs(residual).max()), half_width)
    axes.set(xlim=ends, ylim=(-top, top), xlabel=axis_label(form, letter))
    style.log_axes(axes, x=log, y=False)


def _summary(residual: np.ndarray, log: bool) -> str:
    return f"{len(residual)} runs\nroot mean square {np.sqrt(np.mean(residual**2)):.2g}{'%' if log else ''}"

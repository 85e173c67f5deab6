"""Predicted against measured, and what is left over along each input: a law that misses a trend shows here."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from analysis.errors import FitError
from analysis.figures import marks, style
from analysis.figures.fits.law import label
from analysis.figures.source import Source

CAPTION = (
    "How well a law (approach 3, unless another was asked for) describes the runs it was fitted to. (a) Predicted "
    "against measured; the line is equality. Then residuals, measured over predicted, along each input; the "
    "grey band is two robust standard deviations wide on each side (1.48 × the median absolute deviation "
    "each). A trend in a panel is something the law misses; runs beyond three are hollow."
)


def figure(source: Source, width: float = style.TEXT, law: str = "chinchilla") -> Figure:
    """Parity, then residuals in per cent against the law's inputs (at most three), and C where N and D are all."""
    fit = source.fit(law)
    if fit.form is None:
        raise FitError(f"{fit.law} gives exponents of the optimum, not a loss to compare")
    form, points = fit.form, fit.points
    measured = points[form.output]
    predicted = np.asarray(fit.predict(**{letter: points[letter] for letter in form.inputs}), float)
    log = bool(measured.min() > 0 and predicted.min() > 0)
    residual = 100 * (measured / predicted - 1) if log else measured - predicted
    deviation = max(1.4826 * float(np.median(np.abs(residual - np.median(residual)))), 1e-9)
    spread, sound = 2 * deviation, np.abs(residual - np.median(residual)) <= 3 * deviation
    along = [*form.inputs, "C"] if form.inputs == ("N", "D") and np.isfinite(points.C).all() else form.inputs[:3]
    fig, (parity, *rest) = style.panels(width, *{1: (1, 2), 2: (1, 3), 3: (2, 2)}[len(along)], height=1.95)

    name = label(form, form.output).split(" (")[0] if form.output != "L" else "loss"
    unit = "nats/token" if form.output == "L" else form.units.get(form.output, "")
    low, high = style.limits(measured, predicted) if log else (measured.min(), measured.max())
    marks.line(parity, "equality", [low, high], [low, high], color=style.GREY, linewidth=0.8, zorder=1)
    marks.points(parity, "runs", measured, predicted, sound=sound, color=style.BLUE)
    parity.set(xlim=(low, high), ylim=(low, high))
    said = f"{name} ({unit})" if unit else name
    parity.set(xlabel=f"Measured {said}", ylabel=f"Predicted {said}")
    style.log_axes(parity, x=log, y=log)
    parity.text(0.04, 0.95, _summary(residual, log), transform=parity.transAxes, va="top", fontsize=7.5)

    for axes, letter in zip(rest, along, strict=True):
        x = points[letter]
        wide = letter not in form.signed and x.min() > 0
        xs = style.limits(x) if wide else (x.min(), x.max())
        marks.band(axes, "two robust standard deviations", xs, [-spread] * 2, [spread] * 2, color=style.GREY)
        marks.line(axes, "zero", xs, [0, 0], color=style.GREY, linewidth=0.8, zorder=1)
        marks.points(axes, "residuals", x, residual, sound=sound, color=style.BLUE)
        top = 1.15 * max(float(np.abs(residual).max()), spread)
        axes.set(xlim=xs, ylim=(-top, top), xlabel=label(form, letter), ylabel="Residual (%)" if log else "Residual")
        style.log_axes(axes, x=wide, y=False)
    return fig


def _summary(residual: np.ndarray, log: bool) -> str:
    return f"{len(residual)} runs\nroot mean square {np.sqrt(np.mean(residual**2)):.2g}{'%' if log else ''}"

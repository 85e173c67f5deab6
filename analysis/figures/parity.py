"""Predicted against measured loss, and what is left over along N, D and C: a law that misses a trend shows here."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from analysis.figures import marks, style
from analysis.figures.source import Source

CAPTION = (
    "How well the parametric law (approach 3) describes the runs it was fitted to. (a) Predicted against measured "
    "loss; the line is equality. (b–d) Residuals, measured over predicted, along model size, data and compute; the "
    "grey band is two robust standard deviations wide on each side (1.48 × the median absolute deviation "
    "each). A trend in a panel is something the law misses; runs beyond three are hollow."
)


def figure(source: Source, width: float = style.TEXT, law: str = "chinchilla") -> Figure:
    """Four panels: parity, then residuals in per cent against N, D and C."""
    fit = source.fit(law)
    points = fit.points
    predicted = np.asarray(fit.predict(N=points.N, D=points.D), float)
    residual = 100 * (points.L / predicted - 1)
    deviation = max(1.4826 * float(np.median(np.abs(residual - np.median(residual)))), 1e-9)
    spread, sound = 2 * deviation, np.abs(residual - np.median(residual)) <= 3 * deviation
    fig, (parity, *rest) = style.panels(width, 2, 2, height=1.95)

    low, high = style.limits(points.L, predicted)
    marks.line(parity, "equality", [low, high], [low, high], color=style.GREY, linewidth=0.8, zorder=1)
    marks.points(parity, "runs", points.L, predicted, sound=sound, color=style.BLUE)
    parity.set(xlim=(low, high), ylim=(low, high))
    parity.set(xlabel="Measured loss (nats/token)", ylabel="Predicted loss (nats/token)")
    style.log_axes(parity)
    parity.text(0.04, 0.95, _summary(residual), transform=parity.transAxes, va="top", fontsize=7.5)

    for axes, x, label in zip(
        rest, (points.N, points.D, points.C), (style.N_LABEL, style.D_LABEL, style.C_LABEL), strict=True
    ):
        xs = style.limits(x)
        marks.band(axes, "two robust standard deviations", xs, [-spread] * 2, [spread] * 2, color=style.GREY)
        marks.line(axes, "zero", xs, [0, 0], color=style.GREY, linewidth=0.8, zorder=1)
        marks.points(axes, "residuals", x, residual, sound=sound, color=style.BLUE)
        top = 1.15 * max(float(np.abs(residual).max()), spread)
        axes.set(xlim=xs, ylim=(-top, top), xlabel=label, ylabel="Residual (%)")
        style.log_axes(axes, y=False)
    return fig


def _summary(residual: np.ndarray) -> str:
    return f"{len(residual)} runs\nroot mean square {np.sqrt(np.mean(residual**2)):.2g}%"

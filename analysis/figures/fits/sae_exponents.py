"""Exponents of the number of latents of sparse autoencoders against the size of their model."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from analysis.errors import DataError
from analysis.figures import marks, style
from analysis.figures.fits.autoencoders import read as read
from analysis.figures.fits.autoencoders import study_of
from analysis.figures.source import Source
from analysis.studies.saes.exponents import exponent_interval

CAPTION = (
    "Exponent of the number of latents in the law of n and k, at the geometric mean of k, against the parameters of "
    "the model, with {level:.0%} intervals; lines by least squares in ln N. Below 0: errors fall with latents."
)
COLORS = (style.BLUE, style.ORANGE, style.GREEN, style.BLACK)


def figure(source: Source, width: float = style.TEXT_WIDTH) -> Figure:
    """Draws the exponents of each kind and site.

    Args:
        source: Result of `read`, or a store.
        width: Width in inches.

    Raises:
        DataError: No law was fitted for a model whose size is known.
    """
    study = study_of(source)
    fitted = [law for law in study.laws if law.fit is not None and np.isfinite(law.N)]
    if not fitted:
        raise DataError(f"{source.name}: no law of autoencoders of a model could be fitted")
    fig, [axes] = style.panels(width, 1, 1, height=2.6)
    series = list(dict.fromkeys((law.kind, law.site) for law in fitted))
    for i, (kind, site) in enumerate(series):
        laws, color = [law for law in fitted if (law.kind, law.site) == (kind, site)], COLORS[i % len(COLORS)]
        N = np.array([law.N for law in laws])
        beta = np.array([float(law.exponents[0]) for law in laws])
        low, high = np.array([exponent_interval(law, study.level) for law in laws]).T
        name = f"{kind}, {site}"
        marks.bars(axes, f"{name}, {study.level:.0%} interval", N, low, high, color=color)
        marks.points(axes, name, N, beta, color=color, label=name)
        slope = next((each.value for each in study.slopes if (each.kind, each.site) == (kind, site)), None)
        if slope is not None:
            ends = np.array([N.min(), N.max()])
            fit = beta.mean() + slope * (np.log(ends) - np.log(N).mean())
            marks.line(axes, f"{name}, least squares", ends, fit, color=color, linewidth=0.9)
    axes.set(xlim=style.log_limits(np.array([law.N for law in fitted])), xlabel=style.N_LABEL)
    axes.set_ylabel("Exponent of $n$")
    style.log_axes(axes, y=False)
    if len(series) > 1:
        style.legend_below(fig, axes, min(len(series), 4))
    return fig

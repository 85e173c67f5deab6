"""Errors of sparse autoencoders against the number of latents at each k, one panel per model (Gao 2024, figure 5)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.data.record_cache import StoreSnapshot
from analysis.errors import DataError
from analysis.figures import marks, style
from analysis.figures.fits.common import linestyle
from analysis.figures.options import SourceOptions
from analysis.figures.source import Source, source_of_study
from analysis.format import count
from analysis.studies.saes.exponents import ModelLaw, SaeStudy, study_autoencoders

CAPTION = (
    "Held-out squared error of sparse autoencoders, relative to the variance of the activations, against their number "
    "of latents, at each number k of active latents; one panel per model. Lines: the law of n and k fitted to each "
    "model, with {level:.0%} intervals; dashed: the fit has warnings."
)
STUDY = "sae"  # key of the study in `Source.results`
ERROR_LABEL = "Squared error / variance"
LATENTS_LABEL = "Latents $n$"
MAX_PANELS = 6
GRID = 60


def read(path: Path | StoreSnapshot, options: SourceOptions = SourceOptions()) -> Source:
    """Fits the autoencoders of a store. Raises DataError without any."""
    return source_of_study(path, STUDY, study_autoencoders(path, options.fits, options.reading), options)


def study_of(source: Source) -> SaeStudy:
    """Returns the laws of the autoencoders of a source, fitted at first use.

    Args:
        source: Result of `read`, or a store.

    Raises:
        DataError: The source has no finished autoencoders.
    """
    if STUDY not in source.results:
        source.results[STUDY] = study_autoencoders(source.store or source.name, source.options)  # `where` is of models
    study: SaeStudy = source.results[STUDY]
    return study


def figure(source: Source, width: float = style.TEXT_WIDTH) -> Figure:
    """Draws one panel per model, kind and site.

    Args:
        source: Result of `read`, or a store.
        width: Width in inches.

    Raises:
        DataError: There are no autoencoders, or more panels than are legible.
    """
    study = study_of(source)
    fitted = [law for law in study.laws if law.fit is not None]
    if not fitted:
        raise DataError(f"{source.name}: no law of autoencoders could be fitted: {study.laws[0].error}")
    if len(fitted) > MAX_PANELS:
        raise DataError(f"{source.name}: {len(fitted)} models, kinds and sites: choose up to {MAX_PANELS} with --where")
    columns = min(len(fitted), 3)
    fig, panels = style.panels(width, -(-len(fitted) // columns), columns, height=2.3)
    values = sorted({float(k) for law in fitted for k in _active(law)})
    colors = dict(zip(values, style.sequential_colors(list(range(len(values)))), strict=True))
    errors = np.concatenate([law.fit.points.L for law in fitted if law.fit])
    for axes, law in zip(panels, fitted, strict=False):
        _draw_law(axes, law, colors)
        axes.set(ylim=style.log_limits(errors), xlabel=LATENTS_LABEL)
        axes.set_title(_title(law, study), fontsize=8.5, pad=4)
        style.log_axes(axes)
    for axes in panels if style.is_narrow(width) else panels[::columns]:
        axes.set_ylabel(ERROR_LABEL)
    for axes in panels[len(fitted) :]:
        axes.set_axis_off()
    style.legend_below(fig, panels[0], min(len(values), 6), "Active latents $k$")
    return fig


def _active(law: ModelLaw) -> np.ndarray:
    assert law.fit is not None
    return np.unique(np.round(law.fit.points["k"]))


def _draw_law(axes: Axes, law: ModelLaw, colors: dict[float, Any]) -> None:
    fit = law.fit
    assert fit is not None and fit.form is not None
    points = fit.points
    low, high = style.log_limits(points["n"])
    grid = np.geomspace(low, high, GRID)
    for k in _active(law):
        rows = np.round(points["k"]) == k
        name = f"N = {count(law.N)}, k = {k:g}"
        inputs = {"n": grid} | ({"k": float(points["k"][rows].mean())} if "k" in fit.form.inputs else {})
        bottom, top = fit.predict_interval(**inputs)
        marks.band(axes, f"{name}, {fit.level:.0%} interval", grid, bottom, top, color=colors[float(k)])
        marks.line(
            axes, name, grid, np.asarray(fit.predict(**inputs)), color=colors[float(k)], label=f"{k:g}",
            linestyle=linestyle(fit.verdict),
        )  # fmt: skip
        marks.points(axes, f"runs, {name}", points["n"][rows], points.L[rows], color=colors[float(k)])
    axes.set(xlim=(low, high))


def _title(law: ModelLaw, study: SaeStudy) -> str:
    """The size of the model, and what else differs between panels."""
    parts = [f"$N$ = {style.short_count(law.N)}" if np.isfinite(law.N) else "activations of a file"]
    parts += [law.kind] if len({each.kind for each in study.laws}) > 1 else []
    return ", ".join(parts + ([law.site] if len({each.site for each in study.laws}) > 1 else []))

"""Explained variance of sparse autoencoders against their number of active latents, by kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.data.from_store import filter_runs
from analysis.data.record_cache import StoreSnapshot
from analysis.data.rows.saes import SAES
from analysis.data.runs import read_runs
from analysis.data.sources.readers import is_store
from analysis.errors import DataError
from analysis.figures import marks, style
from analysis.figures.options import SourceOptions
from analysis.figures.source import Source, source_of_study

CAPTION = (
    "Explained variance of sparse autoencoders on held-out activations, one minus the squared error relative to the "
    "variance, against the measured number of active latents per token. Lines join autoencoders of one kind and "
    "number of latents; one panel per model. Higher and further left is better."
)
STUDY = "sae runs"  # key of the runs in `Source.results`
MAX_PANELS = 6
MARKERS = ("o", "s", "^", "D")


def read(path: Path | StoreSnapshot, options: SourceOptions = SourceOptions()) -> Source:
    """Reads the autoencoders of a store. Raises DataError if it is none."""
    if not is_store(path):
        raise DataError(f"{path}: not a store: give the folder that autoencoders were trained into")
    return source_of_study(path, STUDY, finished_autoencoders(path, options.reading.where), options)


def finished_autoencoders(store: Path | StoreSnapshot, where: str | None = None) -> pd.DataFrame:
    """Returns the finished autoencoders of a store, one row each.

    Args:
        store: The store, or its folder.
        where: Filter expression.

    Raises:
        DataError: There are none.
    """
    runs = read_runs(store, runs=SAES)
    runs = filter_runs(runs, Path(str(store)), where)
    runs = runs[runs["status"] == "done"]
    if not len(runs):
        raise DataError(f"{store}: no finished run of a sparse autoencoder: python -m sweeps launch sae trains some")
    return runs


def figure(source: Source, width: float = style.TEXT_WIDTH) -> Figure:
    """Draws one panel per model, layer and site.

    Args:
        source: Result of `read`, or a store.
        width: Width in inches.

    Raises:
        DataError: There are no autoencoders, or more panels than are legible.
    """
    runs = source.results.get(STUDY)
    if runs is None:
        runs = finished_autoencoders(source.store or Path(source.name))
    parts = list(runs.groupby(["model_N", "model", "layer", "site"], dropna=False))
    if len(parts) > MAX_PANELS:
        raise DataError(f"{source.name}: {len(parts)} models, layers and sites: choose up to {MAX_PANELS} with --where")
    columns = min(len(parts), 3)
    fig, panels = style.panels(width, -(-len(parts) // columns), columns, height=2.3)
    sizes, kinds = sorted(set(runs["n"])), sorted(set(runs["kind"]))
    colors = dict(zip(sizes, style.sequential_colors(list(range(len(sizes)))), strict=True))
    explained = 1 - runs["loss"].to_numpy(float)
    span = float(np.ptp(explained)) or 0.1
    for axes, ((N, _, layer, site), part) in zip(panels, parts, strict=False):
        for (kind, n), line in part.sort_values("k").groupby(["kind", "n"]):
            label = f"{n:g}" if len(kinds) == 1 else f"{kind}, {n:g}"
            marks.line(
                axes, f"N = {N:.6g}, {site} {layer}, {kind}, n = {n:g}", line["k"], 1 - line["loss"], color=colors[n],
                label=label, marker=MARKERS[kinds.index(kind)], markersize=3,
            )  # fmt: skip
        axes.set(xlim=style.log_limits(runs["k"].to_numpy(float)), xlabel="Active latents per token")
        axes.set(ylim=(explained.min() - 0.06 * span, explained.max() + 0.06 * span))
        axes.set_title(f"$N$ = {style.short_count(N)}" if np.isfinite(N) else "activations of a file", fontsize=8.5)
        style.log_axes(axes, y=False)
    for axes in panels if style.is_narrow(width) else panels[::columns]:
        axes.set_ylabel("Explained variance")
    for axes in panels[len(parts) :]:
        axes.set_axis_off()
    title = "Latents $n$" if len(kinds) == 1 else "Kind and latents $n$"
    style.legend_below(fig, panels[0], 5 if len(kinds) == 1 else 3, title)
    return fig

"""Densities of the latents of sparse autoencoders: how many are active on which share of the tokens."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from analysis.data.record_cache import StoreSnapshot, as_snapshot
from analysis.data.sources.readers import is_store
from analysis.errors import DataError
from analysis.figures import marks, style
from analysis.figures.options import SourceOptions
from analysis.figures.source import Source, source_of_study
from analysis.figures.training.sae_pareto import finished_autoencoders
from scaling.store.files import DamagedFileError
from scaling.store.verification import parquet

CAPTION = (
    "Densities of the latents of sparse autoencoders: the share of latents per fifth of a decade of density, the share "
    "of tokens on which a latent is active. Latents that are active on no token are not drawn; their share is in the "
    "legend."
)
STUDY = "sae densities"  # key of the densities in `Source.results`
MAX_LINES = 8
BINS_PER_DECADE = 5


@dataclass(frozen=True)
class Densities:
    """Densities of the latents of an autoencoder.

    Attributes:
        label: Kind, n and k.
        density: Share of tokens on which each latent is active (n,).
    """

    label: str
    density: np.ndarray


def read(path: Path | StoreSnapshot, options: SourceOptions = SourceOptions()) -> Source:
    """Reads the tables of latents of a store. Raises DataError if it is none, or has none."""
    if not is_store(path):
        raise DataError(f"{path}: not a store: give the folder that autoencoders were trained into")
    return source_of_study(path, STUDY, read_densities(as_snapshot(path), options.reading.where), options)


def read_densities(store: StoreSnapshot, where: str | None = None) -> list[Densities]:
    """Returns the densities of the autoencoders that were evaluated (`python -m scaling sae evaluate`).

    Args:
        store: The store.
        where: Filter expression.

    Raises:
        DataError: None was evaluated.
    """
    out = []
    runs = finished_autoencoders(store, where).sort_values(["model_N", "kind", "n", "k"])
    several = runs["model"].nunique() > 1
    for run in runs.to_dict("records"):
        file = store.run_dir(run["run_id"]) / "sae" / f"latents.{int(run['steps'])}.parquet"
        try:
            table = parquet.read_table(file, needs_digest=True)
        except FileNotFoundError:
            continue
        except DamagedFileError as error:
            store.note_damaged(error)
            continue
        size = f", N = {style.short_count(run['model_N'])}" if several else ""
        label = f"{run['kind']}, n = {run['n']:g}, k = {run['k']:.3g}{size}"
        out.append(Densities(label, table["density"].to_numpy(zero_copy_only=False).astype(np.float64)))
    if not out:
        raise DataError(f"{store}: no autoencoder was evaluated: python -m scaling sae evaluate RUN --store {store}")
    return out


def figure(source: Source, width: float = style.TEXT_WIDTH) -> Figure:
    """Draws a line per autoencoder.

    Args:
        source: Result of `read`, or a store.
        width: Width in inches.

    Raises:
        DataError: No autoencoder was evaluated, or there are more than are legible.
    """
    densities: list[Densities] | None = source.results.get(STUDY)
    if densities is None:
        assert source.store is not None
        densities = read_densities(source.store)
    if len(densities) > MAX_LINES:
        raise DataError(f"{source.name}: {len(densities)} autoencoders: choose up to {MAX_LINES} with --where")
    fig, [axes] = style.panels(width, 1, 1, height=2.6)
    colors = style.sequential_colors(list(range(len(densities))))
    active = np.concatenate([each.density[each.density > 0] for each in densities])
    lowest = float(active.min()) if len(active) else 1e-3
    decades = max(1, int(np.ceil(-np.log10(lowest))))
    edges = np.logspace(-decades, 0, BINS_PER_DECADE * decades + 1)
    edges[-1] = np.nextafter(1, 2)  # a density of 1 is in the last bin
    for each, color in zip(densities, colors, strict=True):
        share = np.histogram(each.density[each.density > 0], edges)[0] / len(each.density)
        dead = float(np.mean(each.density == 0))
        centres = np.sqrt(edges[:-1] * edges[1:])
        label = f"{each.label} ({dead:.0%} dead)"
        marks.line(axes, label, centres, share, color=color, label=label, drawstyle="steps-mid")
    axes.set(xlim=(edges[0], 1), xlabel="Density (share of tokens)", ylabel="Share of latents")
    axes.set_ylim(bottom=0)
    style.log_axes(axes, y=False)
    style.legend_below(fig, axes, 1 if style.is_narrow(width) else 2)
    return fig

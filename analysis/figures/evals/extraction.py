"""Verbatim extraction of planted documents by number of repetitions in the corpus (Carlini 2023, figure 1b).

SOURCE is a store whose runs were evaluated on the task extraction.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from analysis.data.record_cache import StoreSnapshot, as_snapshot
from analysis.errors import DataError
from analysis.evals.extraction import Extraction, load_extractions
from analysis.figures import marks, style
from analysis.figures.options import SourceOptions
from analysis.figures.source import Source, source_of_study

ALPHABET = 26  # number of letters in planted documents
CAPTION = (
    "Verbatim extraction: share of planted documents whose second half greedy decoding generates from the first half, "
    "with {level:.0%} binomial intervals, and the loss of the second half, against the number of occurrences in the "
    "corpus. Dashed: the loss of uniformly random letters."
)
EVALUATE = "run `python -m scaling evaluate RUN --store STORE --tasks extraction` first"


def read(path: Path | StoreSnapshot, options: SourceOptions = SourceOptions()) -> Source:
    """Reads the extraction of each run and its name in the legend. Raises DataError if no run was evaluated."""
    store = as_snapshot(path)
    extractions = load_extractions(store)
    if not extractions:
        raise DataError(f"{path}: no run was evaluated on the task extraction: {EVALUATE}")
    names = {}
    for record in store.records():
        total = record.params.get("total")
        names[record.run_id] = f"{style.short_count(total)} parameters" if total else record.run_id[:8]
    study = [(names.get(extraction.run, extraction.run[:8]), extraction) for extraction in extractions]
    return source_of_study(path, "extraction", study, options)


def figure(source: Source, width: float = style.TEXT_WIDTH) -> Figure:
    """Draws extraction rate and loss with one line per run.

    Args:
        source: Result of `read`.
        width: Width in inches.

    Raises:
        DataError: No run was evaluated on the task.
    """
    study: list[tuple[str, Extraction]] | None = source.results.get("extraction")
    if study is None:
        raise DataError(f"{source.name}: no run was evaluated on the task extraction: {EVALUATE}")
    fig, (rates, losses) = style.panels(width, 1, 2, height=2.4)
    for color, (name, extraction) in zip(style.sequential_colors(list(range(len(study)))), study, strict=True):
        times, (rate, low, high) = extraction.times, np.array(extraction.rates(source.level)).T
        marks.bars(rates, name, times, low, high, color=color)
        marks.line(rates, name, times, rate, color=color, marker="o", markersize=2.6, label=name)
        marks.line(losses, name, times, extraction.nats, color=color, marker="o", markersize=2.6, label=name)
    losses.axhline(np.log(ALPHABET), color=style.GREY, linestyle="--", linewidth=0.8)
    for axes in (rates, losses):
        axes.set_xscale("log", base=2)
        axes.set_xlabel("Occurrences in the corpus")
    rates.set(ylim=(-0.03, 1.03), ylabel="Extraction rate")
    losses.set(ylim=(0, None), ylabel="Second-half loss (nats/token)")
    style.legend_below(fig, rates, 3)
    return fig

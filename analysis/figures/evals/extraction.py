"""Planted documents given back word for word, by how often training read them (Carlini 2023, figure 1b).

SOURCE is a store whose runs were asked the task extraction.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from analysis.data.points import Points
from analysis.errors import DataError
from analysis.evals.extraction import load
from analysis.figures import marks, style
from analysis.figures.source import Source
from scaling.store.record import Store

CAPTION = (
    "Verbatim extraction: share of planted documents whose second half greedy decoding writes after their first, with "
    "95% binomial intervals, and the loss on that half, against how often the document stands in the corpus; "
    "dashed: a letter drawn at random."
)
MAKE = "ask one: python -m scaling evaluate RUN --store STORE --tasks extraction"


def read(path: Path) -> Source:
    """The extraction of each run; DataError where none was asked."""
    found = load(path)
    if not found:
        raise DataError(f"{path}: holds no extraction: {MAKE}")
    names = {}
    for record in Store(path).records():
        total = record.params.get("total")
        names[record.run_id] = f"{style.short(total)} parameters" if total else record.run_id[:8]
    nothing = np.zeros(0)
    points = Points(nothing, nothing, nothing, nothing, [], source=str(path))
    return Source(str(path), points, kept={"extraction": [(names.get(one.run, one.run[:8]), one) for one in found]})


def figure(source: Source, width: float = style.TEXT) -> Figure:
    """Rate, and loss, a line a run."""
    if "extraction" not in source.kept:
        raise DataError(f"{source.name}: holds no extraction: {MAKE}")
    kept = source.kept["extraction"]
    fig, (left, right) = style.panels(width, 1, 2, height=2.4)
    for color, (name, one) in zip(style.ordered(list(range(len(kept)))), kept, strict=True):
        rate, low, high = np.array(one.rates()).T
        marks.bars(left, name, one.times, low, high, color=color)
        marks.line(left, name, one.times, rate, color=color, marker="o", markersize=2.6, label=name)
        marks.line(right, name, one.times, one.nats, color=color, marker="o", markersize=2.6, label=name)
    right.axhline(np.log(26), color=style.GREY, linestyle="--", linewidth=0.8)
    for axes in (left, right):
        axes.set_xscale("log", base=2)
        axes.set_xlabel("Times in the corpus")
    left.set(ylim=(-0.03, 1.03), ylabel="Extracted")
    right.set(ylim=(0, None), ylabel="Loss of the rest (nats/token)")
    style.legend_below(fig, left, 3)
    return fig

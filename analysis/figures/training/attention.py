"""How the heads of a layer look at a prompt: a map a head (Vaswani 2017, figures 3 to 5).

SOURCE is what `python -m scaling attention RUN --prompt TEXT --layer I --out FILE.json` writes.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.data.points import Points
from analysis.errors import DataError
from analysis.figures import marks, style
from analysis.figures.source import Source

MOST = 8  # heads shown
LABELS = 24  # tokens named along an axis, about
CAPTION = (
    "Attention of one layer to a prompt, a panel a head (the first eight). Each row is a token that looks, each column "
    "one that it looks at; the darker, the more of its attention. A row sums to one, and no token sees a later one."
)
MAKE = "make one: python -m scaling attention RUN --store DIR --prompt TEXT --layer 0 --out FILE.json"


def read(path: Path) -> Source:
    """The maps of a file, .json or .npz; DataError where it holds none."""
    try:
        if path.suffix == ".npz":
            with np.load(path) as file:
                data = {**json.loads(str(file["about"])), "weights": file["weights"]}
        else:
            data = json.loads(path.read_text("utf-8"))
        weights_HLM = np.asarray(data["weights"], np.float64)
        _, length, seen = weights_HLM.shape
        if length != seen or len(data["pieces"]) != length or not np.allclose(weights_HLM.sum(axis=-1), 1, atol=1e-3):
            raise ValueError("its maps are not square, or their rows do not sum to 1")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: holds no attention maps ({error}): {MAKE}") from None
    nothing = np.zeros(0)
    points = Points(nothing, nothing, nothing, nothing, [], source=str(path))
    return Source(str(path), points, kept={"attention": {**data, "weights": weights_HLM}})


def figure(source: Source, width: float = style.TEXT) -> Figure:
    """A panel a head; DataError where the source holds no maps."""
    if "attention" not in source.kept:
        raise DataError(f"{source.name}: holds no attention maps: {MAKE}")
    data = source.kept["attention"]
    weights_HLM = data["weights"][:MOST]
    columns = min(4, len(weights_HLM)) if width > 4.5 else 1
    each = width / columns
    rows = -(-len(weights_HLM) // columns)
    fig, axes = style.panels(width, rows, columns, height=min(each, 3.2) + 0.35)
    names = labels(data)
    for head, panel in enumerate(axes):
        if head >= len(weights_HLM):
            panel.set_visible(False)
            continue
        _map(panel, f"head {head}", weights_HLM[head], names)
        if columns > 1 and head % columns:
            panel.set_yticklabels([])
    return fig


def _map(axes: Axes, name: str, weights_LM: np.ndarray, names: list[str]) -> None:
    marks.cells(axes, name, weights_LM)
    axes.set_title(name, fontsize=8.5, pad=4)
    axes.set_aspect("equal")
    axes.invert_yaxis()
    axes.grid(False)
    at = range(0, len(names), -(-len(names) // LABELS))
    axes.set_xticks(at, [names[i] for i in at], rotation=90, fontsize=6)
    axes.set_yticks(at, [names[i] for i in at], fontsize=6)
    axes.tick_params(length=1.5)


def labels(data: dict[str, Any]) -> list[str]:
    """Each token as a word that any font has: a space as a dot, what cannot be written by its number."""
    out = []
    for token, piece in zip(data["tokens"], data["pieces"], strict=True):
        shown = piece.replace(" ", "·").replace("\n", "\\n").replace("\t", "\\t")
        plain = shown and shown.isprintable() and all(ord(letter) < 0x250 for letter in shown)
        out.append((shown if plain else f"<{token}>").replace("\\", r"\\").replace("$", r"\$"))
    return out

"""Attention maps of the heads of a layer for a prompt (Vaswani 2017, figures 3 to 5).

SOURCE is a file written by `python -m scaling attention RUN --prompt TEXT --layer I --out FILE.json`.

Key: H heads, L queries, M keys.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.data.sources.files import MAX_JSON, MAX_UNPACKED, read_bytes
from analysis.errors import DataError
from analysis.figures import marks, style
from analysis.figures.options import SourceOptions
from analysis.figures.source import Source, source_of_study
from scaling.config.os_errors import describe_os_error
from scaling.config.validation import one_line

MAX_HEADS = 8
MAX_LABEL = 20  # letters of a token that are shown
MAX_TICKS = 24  # approximate number of tokens labelled along an axis
LAST_LATIN = 0x250  # end of the code points that all fonts contain
CAPTION = (
    "Attention of one layer for a prompt, one panel per head (at most eight). Rows are query tokens, columns key "
    "tokens; darker cells have larger attention weights. Rows sum to one, and tokens do not attend to later tokens."
)
COMMAND = "run `python -m scaling attention RUN --store DIR --prompt TEXT --layer 0 --out FILE.json` first"


def read(path: Path, options: SourceOptions = SourceOptions()) -> Source:
    """Reads attention maps from a .json or .npz file. Raises DataError if there are none."""
    try:
        content = read_bytes(path, MAX_UNPACKED if path.suffix == ".npz" else MAX_JSON)
        if path.suffix == ".npz":
            with np.load(io.BytesIO(content)) as file:
                data = {**json.loads(str(file["about"])), "weights": file["weights"]}
        else:
            data = json.loads(content.decode("utf-8"))
        weights_HLM = np.asarray(data["weights"], np.float64)
        _, queries, keys = weights_HLM.shape
        if not queries == keys == len(data["pieces"]) == len(data["tokens"]):
            raise ValueError("maps must be square, with a piece and a token for each row")
        if not np.allclose(weights_HLM.sum(axis=-1), 1, atol=1e-3):
            raise ValueError("rows of maps must sum to 1")
        if not all(isinstance(piece, str) for piece in data["pieces"]):
            raise ValueError("pieces must be texts")
    except OSError as error:
        raise DataError(describe_os_error(error)) from None
    except (ValueError, LookupError, TypeError, OverflowError, RecursionError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: has no attention maps ({one_line(error)}): {COMMAND}") from None
    return source_of_study(path, "attention", {**data, "weights": weights_HLM}, options)


def figure(source: Source, width: float = style.TEXT_WIDTH) -> Figure:
    """Draws one panel per head.

    Args:
        source: Result of `read`.
        width: Width in inches.

    Raises:
        DataError: The source has no attention maps.
    """
    if "attention" not in source.results:
        raise DataError(f"{source.name}: has no attention maps: {COMMAND}")
    data = source.results["attention"]
    weights_HLM = data["weights"][:MAX_HEADS]
    columns = 1 if style.is_narrow(width) else min(4, len(weights_HLM))
    rows = -(-len(weights_HLM) // columns)
    fig, panels = style.panels(width, rows, columns, height=min(width / columns, 3.2) + 0.35)
    names = token_labels(data)
    for head, axes in enumerate(panels):
        if head >= len(weights_HLM):
            axes.set_visible(False)
            continue
        _map(axes, f"head {head}", weights_HLM[head], names)
        if columns > 1 and head % columns:
            axes.set_yticklabels([])
    return fig


def _map(axes: Axes, name: str, weights_LM: np.ndarray, names: list[str]) -> None:
    marks.cells(axes, name, weights_LM)
    axes.set_title(name, fontsize=8.5, pad=4)
    axes.set_aspect("equal")
    axes.invert_yaxis()
    axes.grid(False)
    ticks = range(0, len(names), -(-len(names) // MAX_TICKS))
    axes.set_xticks(ticks, [names[i] for i in ticks], rotation=90, fontsize=6)
    axes.set_yticks(ticks, [names[i] for i in ticks], fontsize=6)
    axes.tick_params(length=1.5)


def token_labels(data: dict[str, Any]) -> list[str]:
    """Returns a printable label for each token: spaces as dots, and the id for characters that fonts may lack."""
    labels = []
    for token, piece in zip(data["tokens"], data["pieces"], strict=True):
        text = piece.replace(" ", "·").replace("\n", "\\n").replace("\t", "\\t")
        printable = text and text.isprintable() and all(ord(letter) < LAST_LATIN for letter in text)
        text = text if len(text) <= MAX_LABEL else f"{text[:MAX_LABEL]}…"
        labels.append((text if printable else f"<{token}>"[:MAX_LABEL]).replace("\\", r"\\").replace("$", r"\$"))
    return labels

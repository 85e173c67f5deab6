"""Coordinate check: change of the activations in a few steps by width or depth (Yang 2022, figure 5; Dey 2025).

SOURCE is a file written by `python -m scaling coordinates CONFIG.json --json > FILE.json`.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.data.sources.files import MAX_JSON, read_bytes
from analysis.errors import DataError
from analysis.figures import marks, style
from analysis.figures.options import SourceOptions
from analysis.figures.source import Source, source_of_study
from analysis.figures.training.transfer import PARAMETRIZATION_NAMES, PARAMETRIZATIONS
from analysis.format import signed
from scaling.config.os_errors import describe_os_error
from scaling.config.validation import one_line

AXES = {"width": "Width", "layers": "Layers"}
CAPTION = (
    "Coordinate check: root mean square change of each activation in a few training steps against model size, one "
    "panel per parametrisation, both axes logarithmic. With flat lines, one learning rate changes the activations of "
    "large and small models equally. The numbers at the ends are exponents."
)
COMMAND = "run `python -m scaling coordinates CONFIG.json --json > FILE.json` first"


class Change(NamedTuple):
    """Change of an activation at one model size; size and change are above 0."""

    parametrization: str
    activation: str
    size: float
    change: float


class CoordinateCheck(NamedTuple):
    """Changes of all activations along width or layers after some steps."""

    axis: str
    steps: int
    changes: list[Change]


def read(path: Path, options: SourceOptions = SourceOptions()) -> Source:
    """Reads a coordinate check from a JSON file. Raises DataError if there is none."""
    try:
        data = json.loads(read_bytes(path, MAX_JSON).decode("utf-8"))
        changes = [_change(row, data["along"]) for row in data["rows"] if row["step"] == data["steps"]]
        if data["along"] not in AXES or not changes:
            raise ValueError("rows must have width or layers, and include the last step")
    except OSError as error:
        raise DataError(describe_os_error(error)) from None
    except (ValueError, LookupError, TypeError, OverflowError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: has no coordinate check ({one_line(error)}): {COMMAND}") from None
    return source_of_study(path, "coordinates", CoordinateCheck(data["along"], data["steps"], changes), options)


def _change(row: dict[str, Any], axis: str) -> Change:
    size, change = float(row[axis]), float(row["change"])
    if not (size > 0 and 0 < change < math.inf):
        raise ValueError(f"{axis} = {size:g}, change = {change:g}: both must be above 0")
    return Change(str(row["parametrization"]), str(row["name"]), size, change)


def figure(source: Source, width: float = style.TEXT_WIDTH) -> Figure:
    """Draws one panel per parametrisation and one line per activation.

    Args:
        source: Result of `read`.
        width: Width in inches.

    Raises:
        DataError: The source has no coordinate check.
    """
    check: CoordinateCheck | None = source.results.get("coordinates")
    if check is None:
        raise DataError(f"{source.name}: has no coordinate check: {COMMAND}")
    rank = {name: i for i, name in enumerate(PARAMETRIZATIONS)}
    names = dict.fromkeys(change.parametrization for change in check.changes)
    names_sorted = sorted(names, key=lambda name: rank.get(name, len(rank)))
    activations = list(dict.fromkeys(change.activation for change in check.changes))
    colors = dict(zip(activations, style.sequential_colors(list(range(len(activations)))), strict=True))
    fig, panels = style.panels(width, 1, len(names_sorted), height=2.6)
    low, high = style.log_limits([change.size for change in check.changes])
    right = high * (high / low) ** 0.15  # leaves space for the exponents
    y_limits = style.log_limits([change.change for change in check.changes])
    for axes, name in zip(panels, names_sorted, strict=True):
        axes.set(xlim=(low, right), ylim=y_limits, xlabel=AXES[check.axis])
        for activation in activations:
            changes = [c for c in check.changes if (c.parametrization, c.activation) == (name, activation)]
            _line(axes, f"{PARAMETRIZATION_NAMES.get(name, name)}, {activation}", changes, colors[activation])
        axes.set_title(PARAMETRIZATION_NAMES.get(name, name), fontsize=8.5, pad=4)
        style.log_axes(axes)
    for axes in panels if style.is_narrow(width) else panels[:1]:
        axes.set_ylabel(f"Change in {check.steps} steps (RMS)")
    style.legend_below(fig, panels[0], len(activations))
    return fig


def _line(axes: Axes, series: str, changes: list[Change], color: Any) -> None:
    """Draws the change of an activation against size, with its exponent at the end."""
    if not changes:
        return
    x, y = np.array(sorted((change.size, change.change) for change in changes)).T
    marks.line(axes, series, x, y, color=color, label=changes[0].activation, marker="o", markersize=2.6)
    if len(x) > 1:
        exponent = f"${signed(np.polyfit(np.log(x), np.log(y), 1)[0], '.2f')}$"
        axes.annotate(exponent, (x[-1], y[-1]), (4, -2), textcoords="offset points", fontsize=6.5)

"""What a few steps add to activations, by width or depth (Yang 2022, figure 5; Dey 2025): flat where rates transfer.

SOURCE is what `python -m scaling coordinates CONFIG.json --json > FILE.json` writes.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.data.points import Points
from analysis.errors import DataError
from analysis.figures import marks, style
from analysis.figures.source import Source
from analysis.figures.training.transfer import ORDER, SAID

AXES = {"width": "Width", "layers": "Layers"}
CAPTION = (
    "Coordinate check: what some steps of training have added to each activation (root mean square) against the size "
    "of the model, a panel a parametrisation, both axes logarithmic. Where the lines are flat, one learning rate "
    "moves a large model as much as a small one; the exponents stand at their ends."
)
MAKE = "make one: python -m scaling coordinates CONFIG.json --json > FILE.json"


def read(path: Path) -> Source:
    """What a coordinate check has measured, from its JSON; DataError where the file holds none."""
    try:
        data = json.loads(path.read_text("utf-8"))
        rows = [_row(row, data["along"]) for row in data["rows"] if row["step"] == data["steps"]]
        if data["along"] not in AXES or not rows:
            raise ValueError("its rows are of no width and no depth, or none is of the last step")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: holds no coordinate check ({error}): {MAKE}") from None
    nothing = np.zeros(0)
    points = Points(nothing, nothing, nothing, nothing, [], source=str(path))
    return Source(str(path), points, kept={"coordinates": {"along": data["along"], "steps": data["steps"], "at": rows}})


def _row(row: dict[str, Any], along: str) -> tuple[str, str, float, float]:
    """Parametrisation, activation, size of the model, and what was added; the last two positive."""
    size, change = float(row[along]), float(row["change"])
    if not (size > 0 and 0 < change < math.inf):
        raise ValueError(f"{along} = {size:g}, change = {change:g}: both must be above 0")
    return str(row["parametrization"]), str(row["name"]), size, change


def figure(source: Source, width: float = style.TEXT) -> Figure:
    """A panel a parametrisation, a line an activation; DataError where the source holds no coordinate check."""
    if "coordinates" not in source.kept:
        raise DataError(f"{source.name}: holds no coordinate check: {MAKE}")
    data = source.kept["coordinates"]
    known = {name: at for at, name in enumerate(ORDER)}
    shown = sorted(dict.fromkeys(row[0] for row in data["at"]), key=lambda name: known.get(name, len(known)))
    activations = list(dict.fromkeys(row[1] for row in data["at"]))
    colors = dict(zip(activations, style.ordered(list(range(len(activations)))), strict=True))
    fig, panels = style.panels(width, 1, len(shown), height=2.6)
    changes, sizes = np.array([row[3] for row in data["at"]]), np.array([row[2] for row in data["at"]])
    low, high = style.limits(sizes)  # and room for the exponents
    for axes, name in zip(panels, shown, strict=True):
        axes.set(xlim=(low, high * (high / low) ** 0.15), ylim=style.limits(changes), xlabel=AXES[data["along"]])
        for activation in activations:
            _line(axes, name, activation, data["at"], colors[activation])
        axes.set_title(SAID.get(name, name), fontsize=8.5, pad=4)
        style.log_axes(axes)
    for axes in panels if width < 4.5 else panels[:1]:
        axes.set_ylabel(f"Added in {data['steps']} steps (RMS)")
    style.legend_below(fig, panels[0], len(activations))
    return fig


def _line(axes: Axes, name: str, activation: str, at: list[tuple[str, str, float, float]], color: Any) -> None:
    """One activation's change against size, with its exponent in the legend."""
    points = sorted((size, change) for of, what, size, change in at if (of, what) == (name, activation))
    if not points:
        return
    x, y = np.array(points).T
    said = f"{SAID.get(name, name)}, {activation}"
    marks.line(axes, said, x, y, color=color, label=activation, marker="o", markersize=2.6)
    if len(x) > 1:
        exponent = f"${np.polyfit(np.log(x), np.log(y), 1)[0]:+.2f}$"
        axes.annotate(exponent, (x[-1], y[-1]), (4, -2), textcoords="offset points", fontsize=6.5)

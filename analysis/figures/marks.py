"""The marks figures are made of. Each carries its series' name, so that what was drawn can be written down.

A mark's name is its `gid`; `drawn` reads names and numbers back from the finished figure: the data beside
a figure are by construction those it shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection, PolyCollection, QuadMesh
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.figures.style import BLACK, letter

Row = dict[str, str | float]
COLUMNS = ("panel", "series", "mark", "x", "y", "x_high", "y_high")


def line(axes: Axes, series: str, x: Any, y: Any, **how: Any) -> None:
    """A line through points."""
    axes.plot(x, y, gid=series, **how)


def points(axes: Axes, series: str, x: Any, y: Any, *, sound: Any = None, color: Any = BLACK, **how: Any) -> None:
    """Discs; those that are not sound are hollow."""
    x, y = np.atleast_1d(np.asarray(x, float)), np.atleast_1d(np.asarray(y, float))
    good = np.ones(len(x), bool) if sound is None else np.atleast_1d(np.asarray(sound, bool))
    how = {"s": 13 if len(x) <= 100 else 7 if len(x) <= 400 else 4, "linewidths": 0.8, "zorder": 3} | how
    if good.any():
        axes.scatter(
            x[good],
            y[good],
            facecolors=[color],
            edgecolors="white",
            gid=series,
            **how | {"linewidths": 0.4 if len(x) <= 100 else 0.2},
        )
    if not good.all():
        how.pop("label", None)
        axes.scatter(x[~good], y[~good], facecolors="white", edgecolors=[color], gid=f"{series} (doubtful)", **how)


def band(axes: Axes, series: str, x: Any, low: Any, high: Any, **how: Any) -> None:
    """An interval around a line."""
    how = {"alpha": 0.2, "linewidth": 0, "zorder": 1} | how
    axes.fill_between(x, low, high, gid=series, **how)


def bars(axes: Axes, series: str, x: Any, low: Any, high: Any, *, across: bool = False, **how: Any) -> None:
    """An interval at each point: upright, or lying across when `across` (then x is the height)."""
    how = {"linewidth": 0.9, "zorder": 2, "color": BLACK, **how}
    (axes.hlines if across else axes.vlines)(x, low, high, gid=series, **how)


def cells(axes: Axes, series: str, values: Any) -> None:
    """A square for each entry of a matrix of shares, row by row downwards; centres at whole numbers."""
    axes.pcolormesh(np.asarray(values, float), gid=series, cmap="Blues", vmin=0, vmax=1, shading="nearest")


def drawn(figure: Figure) -> list[Row]:
    """Every named mark of a figure as rows: panel, series, mark, x, y and, for intervals, x_high, y_high."""
    return [
        {"panel": letter(place), "series": str(artist.get_gid()), **row}
        for place, axes in enumerate(figure.axes)
        for artist in axes.get_children()
        if artist.get_gid()
        for row in _rows(artist)
    ]


def _rows(artist: Any) -> Iterator[Row]:
    if isinstance(artist, Line2D):
        yield from ({"mark": "line", "x": x, "y": y} for x, y in np.asarray(artist.get_xydata(), float).tolist())
    elif isinstance(artist, PathCollection):
        yield from ({"mark": "point", "x": x, "y": y} for x, y in np.asarray(artist.get_offsets(), float).tolist())
    elif isinstance(artist, LineCollection):
        for (x0, y0), (x1, y1) in (np.asarray(s, float).tolist() for s in artist.get_segments()):
            yield {"mark": "interval", "x": x0, "y": y0, "x_high": x1, "y_high": y1}
    elif isinstance(artist, ContourSet):
        for level, path in zip(artist.levels, artist.get_paths(), strict=True):
            for x, y in np.asarray(path.vertices, float).tolist():
                yield {"mark": f"contour {level:.6g}", "x": x, "y": y}
    elif isinstance(artist, QuadMesh):
        for (y, x), value in np.ndenumerate(np.asarray(artist.get_array())):
            yield {"mark": f"share {value:.6g}", "x": float(x), "y": float(y)}
    elif isinstance(artist, PolyCollection):
        for path in artist.get_paths():
            yield from _band_rows(np.asarray(path.vertices, float))


def _band_rows(vertices: np.ndarray) -> Iterator[Row]:
    """fill_between goes out along the lower edge and comes back along the upper one, a corner extra at each turn."""
    n = (len(vertices) - 3) // 2
    low, high = vertices[1 : n + 1], vertices[n + 2 : 2 * n + 2][::-1]
    for (x, y), (_, y_high) in zip(low.tolist(), high.tolist(), strict=True):
        yield {"mark": "band", "x": x, "y": y, "x_high": x, "y_high": y_high}

"""Draws lines, points, bands, intervals and cells, each with the name of its series.

The name of a mark is its Matplotlib `gid`, or else its label. `mark_rows` reads names and numbers from the finished
figure, so that the data file of a figure contains exactly the numbers that the figure shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypedDict, Unpack

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection, PolyCollection, QuadMesh
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from analysis.figures.style import BLACK, panel_label

MarkRow = dict[str, str | float]
COLUMNS = ("panel", "series", "mark", "x", "y", "x_high", "y_high")


class LineStyle(TypedDict, total=False):
    """Matplotlib's options of a line that figures set."""

    color: Any
    label: str | None
    linewidth: float
    linestyle: str
    alpha: float
    zorder: float
    marker: str
    markersize: float
    drawstyle: str


class PointStyle(TypedDict, total=False):
    """Matplotlib's options of points that figures set."""

    label: str | None
    s: float | np.ndarray
    marker: str
    alpha: float
    zorder: float


class IntervalStyle(TypedDict, total=False):
    """Matplotlib's options of bands and intervals that figures set."""

    color: Any
    alpha: float
    linewidth: float
    zorder: float


def line(axes: Axes, series: str, x: ArrayLike, y: ArrayLike, **style: Unpack[LineStyle]) -> None:
    """Draws a line through points.

    Args:
        axes: The panel.
        series: Name of the series in the data file.
        x: Horizontal positions (n,).
        y: Vertical positions (n,).
        **style: Matplotlib's options.
    """
    axes.plot(x, y, gid=series, **style)


def points(
    axes: Axes,
    series: str,
    x: ArrayLike,
    y: ArrayLike,
    *,
    filled: ArrayLike | None = None,
    color: Any = BLACK,
    **style: Unpack[PointStyle],
) -> None:
    """Draws points; hollow points form a separate series.

    Args:
        axes: The panel.
        series: Name of the series in the data file, with the suffix " (hollow)" for hollow points.
        x: Horizontal positions (n,) or a number.
        y: Vertical positions (n,) or a number.
        filled: Mask (n,) of the filled points; None fills all.
        color: Colour of all points.
        **style: Matplotlib's options.
    """
    x, y = np.atleast_1d(np.asarray(x, float)), np.atleast_1d(np.asarray(y, float))
    solid = np.ones(len(x), bool) if filled is None else np.atleast_1d(np.asarray(filled, bool))
    size = 13 if len(x) <= 100 else 7 if len(x) <= 400 else 4  # points²; smaller for many points
    options: dict[str, Any] = {"s": size, "zorder": 3, **style}
    if solid.any():
        edge = 0.4 if len(x) <= 100 else 0.2
        axes.scatter(x[solid], y[solid], facecolors=[color], edgecolors="white", gid=series, linewidths=edge, **options)
    if not solid.all():
        options.pop("label", None)
        axes.scatter(
            x[~solid],
            y[~solid],
            facecolors="white",
            edgecolors=[color],
            gid=f"{series} (hollow)",
            linewidths=0.8,
            **options,
        )


def band(
    axes: Axes, series: str, x: ArrayLike, low: ArrayLike, high: ArrayLike, **style: Unpack[IntervalStyle]
) -> None:
    """Draws an interval around a line.

    Args:
        axes: The panel.
        series: Name of the series in the data file.
        x: Horizontal positions (n,).
        low: Lower ends (n,).
        high: Upper ends (n,).
        **style: Matplotlib's options.
    """
    options: dict[str, Any] = {"alpha": 0.2, "linewidth": 0, "zorder": 1, **style}
    axes.fill_between(x, low, high, gid=series, **options)


def bars(
    axes: Axes,
    series: str,
    position: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    *,
    horizontal: bool = False,
    **style: Unpack[IntervalStyle],
) -> None:
    """Draws an interval at each position.

    Args:
        axes: The panel.
        series: Name of the series in the data file.
        position: Position of each interval (n,): x of vertical, y of horizontal intervals.
        low: Lower ends (n,).
        high: Upper ends (n,).
        horizontal: Whether intervals are horizontal.
        **style: Matplotlib's options.
    """
    options: dict[str, Any] = {"linewidth": 0.9, "zorder": 2, "color": BLACK, **style}
    (axes.hlines if horizontal else axes.vlines)(position, low, high, gid=series, **options)


def cells(axes: Axes, series: str, values: ArrayLike) -> None:
    """Draws a matrix of shares as coloured squares, row by row from the top, with centres at whole numbers.

    Args:
        axes: The panel.
        series: Name of the series in the data file.
        values: Shares from 0 to 1 (rows, columns).
    """
    axes.pcolormesh(np.asarray(values, float), gid=series, cmap="Blues", vmin=0, vmax=1, shading="nearest")


def mark_rows(figure: Figure) -> list[MarkRow]:
    """Returns every named mark of a figure as rows of COLUMNS; x_high and y_high are only set for intervals."""
    return [
        {"panel": panel_label(index), "series": series, **row}
        for index, axes in enumerate(figure.axes)
        for artist in axes.get_children()
        if (series := _series(artist))
        for row in _rows(artist)
    ]


def _series(artist: Artist) -> str:
    """Name of the series of an artist; "" for an artist without a name, whose label Matplotlib begins with _."""
    label = str(artist.get_label())
    return str(artist.get_gid() or ("" if label.startswith("_") else label))


def _rows(artist: Artist) -> Iterator[MarkRow]:
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
        for (row, column), value in np.ndenumerate(np.asarray(artist.get_array())):
            yield {"mark": f"share {value:.6g}", "x": float(column), "y": float(row)}
    elif isinstance(artist, PolyCollection):
        for path in artist.get_paths():
            yield from _band_rows(np.asarray(path.vertices, float))


def _band_rows(vertices: np.ndarray) -> Iterator[MarkRow]:
    """Yields the edges of a band.

    `fill_between` follows the lower edge, then the upper one backwards, with an extra corner at each turn.
    """
    n = (len(vertices) - 3) // 2
    low, high = vertices[1 : n + 1], vertices[n + 2 : 2 * n + 2][::-1]
    for (x, y), (_, y_high) in zip(low.tolist(), high.tolist(), strict=True):
        yield {"mark": "band", "x": x, "y": y, "x_high": x, "y_high": y_high}

"""Plots of a few curves in characters: lines of braille dots, and a letter for the points of each curve.

A character has 2 × 4 dots. Coordinates of dots start at the left and at the top.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from rich.text import Text

DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # by row and column, added to Unicode 2800
BRAILLE = 0x2800
DOT_ROWS, DOT_COLUMNS = len(DOTS), len(DOTS[0])
LETTERS = "abcdefghijklmnopqrstuvwxyz"
OUTLIER = 6  # losses above this multiple of the median's distance from the lowest loss are drawn at the upper edge
MARGIN = 0.03  # margin left and right of the points, as a share of the width
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, kw_only=True)
class PlotAxes:
    """The axes of a plot.

    Attributes:
        log_x: Whether x is logarithmic.
        x_text: Function that formats a value of x.
        y_text: Function that formats a value of y.
    """

    log_x: bool
    x_text: Callable[[float], str]
    y_text: Callable[[float], str]


def plot(curves: Sequence[Points], width: int, height: int, axes: PlotAxes, styles: Sequence[str] = ()) -> list[Text]:
    """Returns a plot as `height` lines of text and two lines for the x axis; an empty list without points.

    Args:
        curves: Points of each curve.
        width: Characters of a line.
        height: Lines of the plot.
        axes: The axes.
        styles: Styles of the curves, used cyclically; empty: no styles.
    """
    points = [point for curve in curves for point in curve]
    if not points:
        return []
    xs, ys = [x for x, _ in points], [y for _, y in points]
    bottom = min(ys)
    top = min(max(ys), bottom + OUTLIER * (median(ys) - bottom) + 1e-9)
    margin = max(len(axes.y_text(bottom)), len(axes.y_text(top))) + 2
    canvas = Canvas(width - margin, height)
    _draw(canvas, curves, (min(xs), max(xs)), (bottom, top), axes.log_x)
    ticks = {0: top, height // 2: (top + bottom) / 2, height - 1: bottom}
    labels = {row: axes.y_text(value) for row, value in ticks.items()}
    lines = [Text(f"{labels.get(row, ''):>{margin - 2}} │") + canvas.row(row, styles) for row in range(height)]
    first, last = axes.x_text(min(xs)), axes.x_text(max(xs))
    several = max(xs) > min(xs)
    lines.append(Text(" " * (margin - 1) + "└" + "─" * canvas.columns))
    lines.append(Text(" " * margin + first + (last.rjust(canvas.columns - len(first)) if several else "")))
    return lines


def _draw(
    canvas: Canvas, curves: Sequence[Points], x_range: tuple[float, float], y_range: tuple[float, float], log_x: bool
) -> None:
    """Draws the lines of all curves, then their points."""
    scale = math.log if log_x else float
    left, right = scale(x_range[0]), scale(x_range[1])
    bottom, top = y_range

    def dot(x: float, y: float) -> tuple[int, int]:
        across = (scale(x) - left) / (right - left) if right > left else 0.5
        up = (min(y, top) - bottom) / (top - bottom) if top > bottom else 0.5
        column = (MARGIN + (1 - 2 * MARGIN) * across) * (DOT_COLUMNS * canvas.columns - 1)
        return round(column), round((1 - up) * (DOT_ROWS * canvas.rows - 1))

    for i, curve in enumerate(curves):
        for start, end in pairwise([dot(x, y) for x, y in curve]):
            canvas.draw_line(start, end, i)
    for i, curve in enumerate(curves):
        for x, y in curve:
            canvas.mark(*dot(x, y), i)


class Canvas:
    """A grid of characters with dots and letters; a character has the style of the curve drawn last."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self.dots: dict[tuple[int, int], int] = {}
        self.letters: dict[tuple[int, int], str] = {}
        self.curves: dict[tuple[int, int], int] = {}

    def draw_line(self, start: tuple[int, int], end: tuple[int, int], curve: int) -> None:
        """Draws a straight line of dots.

        Args:
            start: Dot at which it begins.
            end: Dot at which it ends.
            curve: Number of the curve.
        """
        steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
        for i in range(steps + 1):
            x, y = (round(start[k] + (end[k] - start[k]) * i / steps) for k in (0, 1))
            cell = (y // DOT_ROWS, x // DOT_COLUMNS)
            self.dots[cell] = self.dots.get(cell, 0) | DOTS[y % DOT_ROWS][x % DOT_COLUMNS]
            self.curves[cell] = curve

    def mark(self, x: int, y: int, curve: int) -> None:
        """Puts the letter of a curve at the character that contains a dot.

        Args:
            x: Dot, from the left.
            y: Dot, from the top.
            curve: Number of the curve.
        """
        cell = (y // DOT_ROWS, x // DOT_COLUMNS)
        self.letters[cell], self.curves[cell] = LETTERS[curve % len(LETTERS)], curve

    def row(self, row: int, styles: Sequence[str]) -> Text:
        """Returns a line of characters.

        Args:
            row: Index of the line, from the top.
            styles: Styles of the curves; empty: no styles.
        """
        line = Text()
        for column in range(self.columns):
            cell = (row, column)
            dots = chr(BRAILLE + self.dots[cell]) if cell in self.dots else " "
            curve = self.curves.get(cell)
            style = styles[curve % len(styles)] if styles and curve is not None else None
            line.append(self.letters.get(cell) or dots, style)
        return line

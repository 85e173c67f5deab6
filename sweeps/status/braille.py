"""A plot of a few curves in characters: braille dots for lines, a letter a curve for its points.

A character is 2 × 4 dots. Coordinates of dots: from the left, and from the top.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import median

DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # by row and column; Unicode 2800 + their sum
LETTERS = "abcdefghijklmnopqrstuvwxyz"
Points = Sequence[tuple[float, float]]
Span = tuple[str, int | None]  # text and the curve it belongs to
Line = list[Span]
Text = Callable[[float], str]


def plot(curves: Sequence[Points], width: int, height: int, *, log_x: bool, x_text: Text, y_text: Text) -> list[Line]:
    """Lines of `width` characters: `height` of the plot with the y axis, two below it; none where there is no point.

    A loss far above the others is drawn at the upper edge.
    """
    points = [point for curve in curves for point in curve]
    if not points:
        return []
    lowest = min(y for _, y in points)
    top = min(max(y for _, y in points), lowest + 6 * (median(y for _, y in points) - lowest) + 1e-9)
    place = math.log if log_x else float
    left, right = min(place(x) for x, _ in points), max(place(x) for x, _ in points)
    margin = max(len(y_text(lowest)), len(y_text(top))) + 2
    columns = width - margin
    canvas = Canvas(columns, height)

    def dot(x: float, y: float) -> tuple[int, int]:
        across = (place(x) - left) / (right - left) if right > left else 0.5
        up = (min(y, top) - lowest) / (top - lowest) if top > lowest else 0.5
        return round((0.03 + 0.94 * across) * (2 * columns - 1)), round((1 - up) * (4 * height - 1))

    for i, curve in enumerate(curves):
        dots = [dot(x, y) for x, y in curve]
        for a, b in pairwise(dots):
            canvas.line(a, b, i)
    for i, curve in enumerate(curves):
        for x, y in curve:
            canvas.mark(*dot(x, y), LETTERS[i % len(LETTERS)], i)
    labels = {0: y_text(top), height // 2: y_text((top + lowest) / 2), height - 1: y_text(lowest)}
    out = [[(f"{labels.get(row, ''):>{margin - 2}} │", None), *canvas.row(row)] for row in range(height)]
    least, most = x_text(min(x for x, _ in points)), x_text(max(x for x, _ in points))
    out.append([(" " * (margin - 1) + "└" + "─" * columns, None)])
    out.append(
        [(" " * margin + least + most.rjust(columns - len(least)) if right > left else " " * margin + least, None)]
    )
    return out


class Canvas:
    """Dots and marks on a grid of characters, each of the curve that came last."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self.dots: dict[tuple[int, int], int] = {}
        self.marks: dict[tuple[int, int], str] = {}
        self.of: dict[tuple[int, int], int] = {}

    def line(self, a: tuple[int, int], b: tuple[int, int], curve: int) -> None:
        """A straight line of dots."""
        steps = max(abs(b[0] - a[0]), abs(b[1] - a[1]), 1)
        for i in range(steps + 1):
            x, y = (round(a[k] + (b[k] - a[k]) * i / steps) for k in (0, 1))
            cell = (y // 4, x // 2)
            self.dots[cell] = self.dots.get(cell, 0) | DOTS[y % 4][x % 2]
            self.of[cell] = curve

    def mark(self, x: int, y: int, letter: str, curve: int) -> None:
        """A letter in place of the dots around it."""
        self.marks[y // 4, x // 2], self.of[y // 4, x // 2] = letter, curve

    def row(self, row: int) -> Line:
        """A line of characters, neighbours of one curve together."""
        out: Line = []
        for column in range(self.columns):
            cell = (row, column)
            text = self.marks.get(cell) or (chr(0x2800 + self.dots[cell]) if cell in self.dots else " ")
            curve = self.of.get(cell)
            if out and out[-1][1] == curve:
                out[-1] = (out[-1][0] + text, curve)
            else:
                out.append((text, curve))
        return out

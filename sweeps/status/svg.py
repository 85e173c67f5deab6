"""A chart of curves as SVG, for a page: log or linear axes, a colour and a mark a curve, names at their ends.

Colours tell nothing alone: marks differ as well, and every point says what it is where a pointer rests on it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 760, 380
LEFT, TOP, BOTTOM = 58, 14, 44  # margins; the right one is as wide as the names of the curves
# Okabe & Ito 2008 where there is no order; from cividis (Nuñez 2018), its palest end left out, where there is
PLAIN = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#5c5c5c", "#7a5c00")
ORDERED = ("#00224e", "#35456c", "#666970", "#948e77", "#c8b866")
Text = Callable[[float], str]


@dataclass(frozen=True, kw_only=True)
class Curve:
    """points: (x, y); name: shown at its end, none: not shown; about: what is said of it under a pointer."""

    points: Sequence[tuple[float, float]]
    colour: str
    name: str = ""
    about: str = ""
    mark: int | None = None  # the form of its marks, None: a line alone
    faint: bool = False


@dataclass(frozen=True, kw_only=True)
class Axis:
    """name: its label; text: how a tick reads."""

    name: str
    log: bool
    text: Text


def colours(count: int, ordered: bool) -> list[str]:
    """A colour a curve."""
    if not ordered:
        return [PLAIN[i % len(PLAIN)] for i in range(count)]
    return [_between(i / max(1, count - 1)) for i in range(count)]


def _between(at: float) -> str:
    place = at * (len(ORDERED) - 1)
    low = min(int(place), len(ORDERED) - 2)
    a, b = (bytes.fromhex(ORDERED[i][1:]) for i in (low, low + 1))
    return "#" + bytes(round(x + (y - x) * (place - low)) for x, y in zip(a, b, strict=True)).hex()


def chart(curves: Sequence[Curve], x: Axis, y: Axis, title: str) -> str:
    """The chart; a sentence where nothing can be drawn yet."""
    points = [point for curve in curves for point in curve.points]
    if not points:
        return f'<p class="dim">{escape(title)}: nothing to draw yet.</p>'
    right = WIDTH - 24 - 7 * max((len(curve.name) + 2 for curve in curves if curve.name), default=0)
    across = Scale([px for px, _ in points], x.log, LEFT, right)
    up = Scale([py for _, py in points], y.log, HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">',
        f"<title>{escape(title)}</title>",
        *_axes(across, up, x, y),
        *(part for curve in curves for part in _curve(curve, across, up, x, y)),
        *_names(curves, across, up),
        "</svg>",
    ]
    return "\n".join(parts)


class Scale:
    """From values to places, with some room at the ends."""

    def __init__(self, values: Sequence[float], log: bool, first: float, last: float) -> None:
        self.log = log
        low, high = (self.turned(v) for v in (min(values), max(values)))
        room = 0.04 * (high - low) or abs(low) * 0.05 or 1.0
        self.low, self.high, self.first, self.last = low - room, high + room, first, last

    def turned(self, value: float) -> float:
        return math.log10(value) if self.log else value

    def __call__(self, value: float) -> float:
        return self.first + (self.turned(value) - self.low) / (self.high - self.low) * (self.last - self.first)

    def ticks(self) -> list[float]:
        """Round values within; of a log axis powers of ten, or more where these are few."""
        if not self.log:
            return _round_values(self.low, self.high, 6)
        low, high = 10**self.low, 10**self.high
        for digits in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7)):
            found = [d * 10.0**k for k in range(math.floor(self.low), math.ceil(self.high)) for d in digits]
            inside = [value for value in found if low <= value <= high]
            if len(inside) >= 4:
                return inside[:: math.ceil(len(inside) / 8)]
        return _round_values(low, high, 6)


def _round_values(low: float, high: float, count: int) -> list[float]:
    raw = (high - low) / count
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(d * unit for d in (1, 2, 5, 10) if d * unit >= raw)
    return [i * step for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _axes(across: Scale, up: Scale, x: Axis, y: Axis) -> list[str]:
    out, bottom, right = [], HEIGHT - BOTTOM, across.last
    for value in up.ticks():
        at = up(value)
        out.append(f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{at:.1f}" y2="{at:.1f}"/>')
        out.append(f'<text x="{LEFT - 7}" y="{at + 4:.1f}" text-anchor="end">{escape(y.text(value))}</text>')
    for value in across.ticks():
        at = across(value)
        out.append(f'<line class="axis" x1="{at:.1f}" x2="{at:.1f}" y1="{bottom}" y2="{bottom + 4}"/>')
        out.append(f'<text x="{at:.1f}" y="{bottom + 17}" text-anchor="middle">{escape(x.text(value))}</text>')
    out.append(f'<line class="axis" x1="{LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}"/>')
    out.append(f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x.name)}</text>')
    middle = (TOP + bottom) / 2
    out.append(
        f'<text x="13" y="{middle}" text-anchor="middle" transform="rotate(-90 13 {middle})">{escape(y.name)}</text>'
    )
    return out


def _curve(curve: Curve, across: Scale, up: Scale, x: Axis, y: Axis) -> list[str]:
    places = [(across(px), up(py)) for px, py in curve.points]
    line = " ".join(f"{px:.1f},{py:.1f}" for px, py in places)
    faint = ' class="faint"' if curve.faint else ""
    said = f"<title>{escape(curve.about or curve.name)}</title>"
    out = [f'<g{faint}>{said}<polyline points="{line}" stroke="{curve.colour}"/></g>'] if len(places) > 1 else []
    if curve.mark is not None:
        for (px, py), (vx, vy) in zip(places, curve.points, strict=True):
            told = f"{curve.about or curve.name}: {y.text(vy)} at {x.text(vx)}"
            out.append(
                f'<path d="{_mark(curve.mark, px, py)}" fill="{curve.colour}"><title>{escape(told)}</title></path>'
            )
    return out


def _mark(form: int, x: float, y: float) -> str:
    """A circle, square, diamond or triangle, as a path."""
    r = 4.2
    if form % 4 == 0:
        return f"M{x - r:.1f},{y:.1f}a{r},{r} 0 1 0 {2 * r},0a{r},{r} 0 1 0 {-2 * r},0z"
    corners = {
        1: ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
        2: ((0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)),
        3: ((0, -1.2), (1.15, 0.9), (-1.15, 0.9)),
    }[form % 4]
    return "M" + "L".join(f"{x + r * dx:.1f},{y + r * dy:.1f}" for dx, dy in corners) + "z"


def _names(curves: Sequence[Curve], across: Scale, up: Scale) -> list[str]:
    """Each curve's name beside its last point, moved apart where they would overlap."""
    ends = [(up(c.points[-1][1]), across(c.points[-1][0]), c) for c in curves if c.name and c.points]
    ends.sort(key=lambda end: end[0])
    places: list[float] = []
    for at, _, _ in ends:
        places.append(max(at + 4, places[-1] + 14 if places else TOP + 8))
    lowest = HEIGHT - BOTTOM + 4.0
    for i in reversed(range(len(places))):  # those that would stand below the chart go up, and what is in their way
        places[i] = min(places[i], lowest)
        lowest = places[i] - 14
    out, left = [], across.last + 14
    for down, (at, x, curve) in zip(places, ends, strict=True):
        out.append(f'<line class="lead" x1="{x + 6:.1f}" y1="{at:.1f}" x2="{left - 3}" y2="{down - 4:.1f}"/>')
        if curve.mark is None:
            line = f'x1="{left}" x2="{left + 10}" y1="{down - 4:.1f}" y2="{down - 4:.1f}"'
            out.append(f'<line {line} stroke="{curve.colour}" stroke-width="2"/>')
        else:
            out.append(f'<path d="{_mark(curve.mark, left + 5, down - 4)}" fill="{curve.colour}"/>')
        out.append(f'<text x="{left + 14}" y="{down:.1f}">{escape(curve.name)}</text>')
    return out

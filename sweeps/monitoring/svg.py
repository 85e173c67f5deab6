"""Layout of charts for templates/chart.svg.j2: curves with labels at their ends, on logarithmic or linear axes.

Curves differ in marker as well as in colour, and every point has a tooltip.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 760, 380
LEFT, TOP, BOTTOM = 58, 14, 44  # margins; the right one depends on the names of the curves
RIGHT_MARGIN, CHARACTER_WIDTH = 24, 7
NAME_GAP, NAME_HEIGHT = 14, 14  # space between plot and labels; height of a label
MARK_RADIUS = 4.2
SCALE_MARGIN = 0.04  # margin at both ends, as a share of the range of the values
TICKS, LEAST_LOG_TICKS, MOST_LOG_TICKS = 6, 4, 8
# Okabe & Ito 2008 for unordered curves; cividis (Nuñez 2018) without its brightest colours for ordered curves
PLAIN = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#5c5c5c", "#7a5c00")
ORDERED = ("#00224e", "#35456c", "#666970", "#948e77", "#c8b866")


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A curve of a chart.

    Attributes:
        points: (x, y) of each point.
        colour: As #rrggbb.
        name: Label at the end of the curve; empty: no label.
        about: Tooltip of the curve; empty: its name.
        mark: Index of the shape of its markers; None: no markers.
        faint: Whether the line is thin.
    """

    points: Sequence[tuple[float, float]]
    colour: str
    name: str = ""
    about: str = ""
    mark: int | None = None
    faint: bool = False


@dataclass(frozen=True, kw_only=True)
class Axis:
    """An axis of a chart.

    Attributes:
        name: Its label.
        log: Whether it is logarithmic.
        text: Function that formats a value.
    """

    name: str
    log: bool
    text: Callable[[float], str]


@dataclass(frozen=True, kw_only=True)
class Tick:
    """A tick of an axis: its position in the drawing and its label."""

    place: float
    label: str


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A marker as an SVG path, and its tooltip."""

    path: str
    about: str


@dataclass(frozen=True, kw_only=True)
class Line:
    """A curve laid out for drawing.

    Attributes:
        curve: The curve.
        about: Its tooltip.
        points: Points of the SVG polyline, empty for a single point.
        marks: Its markers.
    """

    curve: Curve
    about: str
    points: str
    marks: list[Mark]


@dataclass(frozen=True, kw_only=True)
class EndLabel:
    """The label at the end of a curve.

    Attributes:
        curve: The curve.
        x: x of the last point of the curve.
        y: y of the last point of the curve.
        baseline: y of the baseline of the text.
        key: SVG path of the marker next to the label, empty for a curve without markers.
    """

    curve: Curve
    x: float
    y: float
    baseline: float
    key: str


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A chart laid out for the template."""

    title: str
    summary: str  # alternative text
    x: Axis
    y: Axis
    right: float  # edge of the plot
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    lines: list[Line]
    labels: list[EndLabel]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM
    names_left: float = 0.0  # edge of the names


def colours(count: int, ordered: bool) -> list[str]:
    """Returns a colour for each curve.

    Args:
        count: Number of curves.
        ordered: Whether the curves have an order.
    """
    if not ordered:
        return [PLAIN[i % len(PLAIN)] for i in range(count)]
    return [_interpolate(i / max(1, count - 1)) for i in range(count)]


def _interpolate(share: float) -> str:
    place = share * (len(ORDERED) - 1)
    low = min(int(place), len(ORDERED) - 2)
    a, b = (bytes.fromhex(ORDERED[i][1:]) for i in (low, low + 1))
    return "#" + bytes(round(x + (y - x) * (place - low)) for x, y in zip(a, b, strict=True)).hex()


def lay_out(curves: Sequence[Curve], x: Axis, y: Axis, title: str) -> Chart | None:
    """Returns a chart of the curves, or None if they have no points.

    Args:
        curves: The curves.
        x: The horizontal axis.
        y: The vertical axis.
        title: Title of the chart.
    """
    points = [point for curve in curves for point in curve.points]
    if not points:
        return None
    longest = max((len(curve.name) + 2 for curve in curves if curve.name), default=0)
    right = WIDTH - RIGHT_MARGIN - CHARACTER_WIDTH * longest
    across = Scale([value for value, _ in points], x.log, LEFT, right)
    up = Scale([value for _, value in points], y.log, HEIGHT - BOTTOM, TOP)
    return Chart(
        title=title,
        summary=_summary(curves, x, y, title),
        x=x,
        y=y,
        right=right,
        x_ticks=[Tick(place=across(value), label=x.text(value)) for value in across.ticks()],
        y_ticks=[Tick(place=up(value), label=y.text(value)) for value in up.ticks()],
        lines=[_line(curve, across, up, x, y) for curve in curves],
        labels=_end_labels(curves, across, up),
        names_left=right + NAME_GAP,
    )


def _summary(curves: Sequence[Curve], x: Axis, y: Axis, title: str) -> str:
    """Describes a chart in numbers: its curves, the ranges of both axes, and the point with the lowest value."""
    points = [point for curve in curves for point in curve.points]
    lowest = min(points, key=lambda point: point[1])
    ranges = [
        f"{axis.name} from {axis.text(min(values))} to {axis.text(max(values))}"
        for axis, values in zip((y, x), ([value for _, value in points], [value for value, _ in points]), strict=True)
    ]
    names = [curve.name for curve in curves if curve.name]
    named = f" ({', '.join(names)})" if names else ""
    return (
        f"{title}: {len(curves)} curve{'s' if len(curves) > 1 else ''}{named}, {ranges[0]}, {ranges[1]}; lowest "
        f"{y.text(lowest[1])} at {x.text(lowest[0])}."
    )


class Scale:
    """Maps values to positions in the drawing, with a margin at both ends."""

    def __init__(self, values: Sequence[float], log: bool, first: float, last: float) -> None:
        self.log = log
        low, high = (self._transform(v) for v in (min(values), max(values)))
        margin = SCALE_MARGIN * (high - low) or abs(low) * 0.05 or 1.0
        self.low, self.high, self.first, self.last = low - margin, high + margin, first, last

    def _transform(self, value: float) -> float:
        return math.log10(value) if self.log else value

    def __call__(self, value: float) -> float:
        """Returns the position of a value."""
        share = (self._transform(value) - self.low) / (self.high - self.low)
        return self.first + share * (self.last - self.first)

    def ticks(self) -> list[float]:
        """Returns round values within the scale; on a log axis powers of ten, and further digits if these are few."""
        if not self.log:
            return _round_values(self.low, self.high)
        low, high = 10**self.low, 10**self.high
        for digits in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7)):
            values = [d * 10.0**k for k in range(math.floor(self.low), math.ceil(self.high)) for d in digits]
            inside = [value for value in values if low <= value <= high]
            if len(inside) >= LEAST_LOG_TICKS:
                return inside[:: math.ceil(len(inside) / MOST_LOG_TICKS)]
        return _round_values(low, high)


def _round_values(low: float, high: float) -> list[float]:
    raw = (high - low) / TICKS
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(d * unit for d in (1, 2, 5, 10) if d * unit >= raw)
    return [i * step for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _line(curve: Curve, across: Scale, up: Scale, x: Axis, y: Axis) -> Line:
    places = [(across(px), up(py)) for px, py in curve.points]
    points = " ".join(f"{px:.1f},{py:.1f}" for px, py in places) if len(places) > 1 else ""
    about = curve.about or curve.name
    marks = []
    if curve.mark is not None:
        for (px, py), (x_value, y_value) in zip(places, curve.points, strict=True):
            text = f"{about}: {y.text(y_value)} at {x.text(x_value)}"
            marks.append(Mark(path=_mark_path(curve.mark, px, py), about=text))
    return Line(curve=curve, about=about, points=points, marks=marks)


def _mark_path(form: int, x: float, y: float) -> str:
    """Returns a circle, square, diamond or triangle as an SVG path."""
    r = MARK_RADIUS
    if form % 4 == 0:
        return f"M{x - r:.1f},{y:.1f}a{r},{r} 0 1 0 {2 * r},0a{r},{r} 0 1 0 {-2 * r},0z"
    corners = {
        1: ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
        2: ((0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)),
        3: ((0, -1.2), (1.15, 0.9), (-1.15, 0.9)),
    }[form % 4]
    return "M" + "L".join(f"{x + r * dx:.1f},{y + r * dy:.1f}" for dx, dy in corners) + "z"


def _end_labels(curves: Sequence[Curve], across: Scale, up: Scale) -> list[EndLabel]:
    """Returns the labels of the curves next to their last points, moved apart so that they do not overlap."""
    ends = [(up(c.points[-1][1]), across(c.points[-1][0]), c) for c in curves if c.name and c.points]
    ends.sort(key=lambda end: end[0])
    baselines: list[float] = []
    for y, _, _ in ends:
        baselines.append(max(y + 4, baselines[-1] + NAME_HEIGHT if baselines else TOP + 8))
    lowest = HEIGHT - BOTTOM + 4.0
    for i in reversed(range(len(baselines))):  # labels below the chart move up and push the others up
        baselines[i] = min(baselines[i], lowest)
        lowest = baselines[i] - NAME_HEIGHT
    left = across.last + NAME_GAP
    return [
        EndLabel(
            curve=curve, x=x, y=y, baseline=baseline,
            key="" if curve.mark is None else _mark_path(curve.mark, left + 5, baseline - 4),
        )
        for baseline, (y, x, curve) in zip(baselines, ends, strict=True)
    ]  # fmt: skip

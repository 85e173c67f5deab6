"""Alternative texts of figures: what each panel shows, with numbers, for readers who do not see the image."""

from __future__ import annotations

import re

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.marks import MarkRow, mark_rows
from analysis.figures.style import panel_label
from analysis.format import plural

COLORBAR = "<colorbar>"  # Matplotlib's label of the axes of a colour bar
MAX_SERIES = 12  # largest number of series that are named
RUN_ID = re.compile(r" [0-9a-f]{12,64}$")
KINDS = {
    "point": "point",
    "line": "line",
    "band": "band",
    "interval": "interval",
    "contour": "contour",
    "share": "cell",
}
MATHTEXT = (  # pattern and replacement, in this order
    (r"\\(?:mathrm|mathit|text)\{([^{}]*)\}", r"\1"),
    (r"\^\{\\ast\}", "*"),
    (r"\{\\times\}|\\times", "×"),
    (r"\\propto", "∝"),
    (r"\\(alpha|beta|gamma|delta|epsilon|eta|kappa|lambda|sigma|omega)", r"\1"),
    (r"[{}$]", ""),
    (r"\\[,;! ]?", ""),
    (r"\s+", " "),
)


def alt_text(figure: Figure) -> str:
    """Describes the panels of a figure: axes, ranges of the data, series with their number of marks, and written text.

    Args:
        figure: The figure.
    """
    rows: dict[str, list[MarkRow]] = {}
    for row in mark_rows(figure):
        rows.setdefault(str(row["panel"]), []).append(row)
    panels = [axes for axes in figure.axes if axes.get_label() != COLORBAR]
    sentences = []
    for index, axes in enumerate(figure.axes):
        name = panel_label(index)
        if axes in panels and name in rows:
            panel = _panel(axes, rows[name])
            sentences.append(f"({name}) {panel}" if len(panels) > 1 else panel)
    return " ".join(sentences)


def _panel(axes: Axes, rows: list[MarkRow]) -> str:
    points = [row for row in rows if row["mark"] == "point"]
    data = points if len({row["x"] for row in points}) > 1 else rows
    ranges = (_range(axes.get_ylabel(), data, "y"), _range(axes.get_xlabel(), data, "x"))
    text = f"{', against '.join(filter(None, ranges)) or 'No axes'}: {_series(rows)}."
    notes = [plain_text(note.get_text()) for note in axes.texts if note.get_text().strip()]
    return f"{text} Labels: {'; '.join(notes)}." if notes else text


def _range(label: str, rows: list[MarkRow], letter: str) -> str:
    """Label of an axis and the range of the data; "" for an axis without a label."""
    values = [float(row[letter]) for row in rows]
    return f"{plain_text(label)}, {min(values):.3g} to {max(values):.3g}" if label else ""


def _series(rows: list[MarkRow]) -> str:
    """Names of the series, without what follows a comma and without run ids, each with its number of marks."""
    marks: dict[str, dict[str, set[object]]] = {}
    for index, row in enumerate(rows):
        kind = KINDS[str(row["mark"]).split()[0]]
        key = (
            row["series"] if kind in ("line", "band") else (row["series"], row["mark"]) if kind == "contour" else index
        )
        name = RUN_ID.sub("", str(row["series"]).split(",")[0])
        marks.setdefault(name, {}).setdefault(kind, set()).add(key)
    parts = [
        f"{name} ({', '.join(plural(len(keys), kind) for kind, keys in kinds.items())})"
        for name, kinds in marks.items()
    ]
    more = len(parts) - MAX_SERIES
    return ", ".join(parts[:MAX_SERIES]) + (f" and {more} more series" if more > 0 else "")


def plain_text(label: str) -> str:
    r"""Returns a label without mathtext: "$N^{\ast} \propto C^{0.59}$" becomes "N* ∝ C^0.59".

    Args:
        label: Text of a figure.
    """
    for pattern, replacement in MATHTEXT:
        label = re.sub(pattern, replacement, label)
    return label.strip()

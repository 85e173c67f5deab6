"""Figures of fits, evaluations and training runs.

Each figure is one module with a function `figure(source, width) -> matplotlib.figure.Figure` and a `CAPTION`; the
names are in `analysis.figures.registry`. `plot` draws a figure of a fit in a notebook. `analysis.figures.save.save`
writes FILE.pdf (png, svg), the numbers it shows to FILE.data.csv, and their origin to FILE.about.json.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from analysis.fitting.result import Fit


def plot(fit: Fit, name: str = "law", width: str = "text") -> Figure:
    """Draws a figure of a fit; pyplot's state is not touched.

    Args:
        fit: The fitted law.
        name: A name in `analysis.figures.registry.FIGURES` whose figure shows points and a law.
        width: "text" (5.5 in) or "column" (3.25 in).

    Returns:
        The Matplotlib figure.

    Raises:
        DataError: The name or the width is unknown.
    """
    from analysis.figures.options import FigureOptions
    from analysis.figures.save import draw  # here, so that `--help` does not import Matplotlib
    from analysis.figures.source import Source
    from analysis.fitting.options import FitOptions

    source = Source(fit.points.source, fit.points, options=FitOptions(level=fit.level), results={fit.law: fit})
    return draw(name, source, FigureOptions(fit.law, width))

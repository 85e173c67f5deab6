"""Figures of fits, evaluations and training runs.

Each figure is one module with a function `figure(source, width) -> matplotlib.figure.Figure` and a `CAPTION`.
`analysis.figures.registry` lists their names. `plot` draws a figure of a fit in a notebook, and
`analysis.figures.save.save` writes a figure to FILE.pdf (png, svg), its data to FILE.data.csv and its origin to
FILE.about.json.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from analysis.fitting.result import Fit


def plot(fit: Fit, name: str = "law", width: str = "text") -> Figure:
    """Draws a figure of a fit without changing the state of pyplot.

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

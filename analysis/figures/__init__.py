"""Figures of fits, evaluations and training runs.

Each figure is one module with a function `figure(source, width) -> matplotlib.figure.Figure` and a `CAPTION`.
`analysis.figures.registry` lists their names. `plot` draws a figure in a notebook, and
`analysis.figures.save.save_figure` writes a figure to FILE.pdf (png, svg), its data to FILE.data.csv and its origin to
FILE.about.json.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.data.options import ReadOptions
from analysis.errors import DataError
from analysis.evals.options import EmergenceOptions
from analysis.fitting.options import FitOptions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from analysis.fitting.result import Fit


def plot(
    source: Fit | str | Path,
    name: str | Callable[..., Figure] = "law",
    width: str = "text",
    options: FitOptions = FitOptions(),
    reading: ReadOptions = ReadOptions(),
    scores: EmergenceOptions = EmergenceOptions(),
) -> Figure:
    """Draws a figure of a fit, a store or a file without changing the state of pyplot.

    Args:
        source: The fitted law, whose options apply, or the path of a store or file.
        name: A name in `analysis.figures.registry.FIGURES`, which for a fit must be a figure that shows points and a
            law; your own, "FILE.py:FUNCTION" or "package.module:FUNCTION"; or a function of a `Source`.
        width: "text" (5.5 in), "column" (3.25 in), or that of a venue (analysis.figures.options.WIDTHS).
        options: Options of the fits of a store or file.
        reading: Options of reading a store or file.
        scores: Scale, tasks and metrics of a figure of scores.

    Returns:
        The Matplotlib figure.

    Raises:
        DataError: The name or width is unknown, an option does not apply, or the source lacks the data of the figure.
        FitError: The law cannot be fitted.
    """
    from analysis.figures.options import FigureOptions, SourceOptions
    from analysis.figures.registry import check_options
    from analysis.figures.save import draw, load_source  # here, so that `--help` does not import Matplotlib
    from analysis.figures.source import Source
    from analysis.fitting.result import Fit

    shown, reads = FigureOptions(width=width), SourceOptions(options, reading, scores)
    if not isinstance(source, Fit):
        check_options(name, shown, reads)
        return draw(name, load_source(name, source, None, reads), shown)
    if reads != SourceOptions():
        raise DataError("plot: the options of a fit are those that it was fitted with: pass no others")
    fitted = Source(
        source.points.source, source.points, options=FitOptions(level=source.level), results={source.law: source}
    )
    return draw(name, fitted, FigureOptions(source.law, width))

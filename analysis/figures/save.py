"""Draws a figure and saves it with its data and its origin."""

from __future__ import annotations

import csv
import io
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from analysis.data.options import ReadOptions
from analysis.errors import DataError
from analysis.evals.options import EmergenceOptions
from analysis.figures import style
from analysis.figures.marks import COLUMNS, mark_rows
from analysis.figures.options import FigureOptions, SourceOptions
from analysis.figures.registry import check_options, figure_module, find_figure
from analysis.figures.source import Source, load
from analysis.fitting.options import FitOptions
from scaling.store.commit import code_commit
from scaling.store.files import write_atomic

# Canvas of each format and its method, which draws once; `savefig` draws twice for the layout, which is fixed here.
WRITERS: dict[str, tuple[type[FigureCanvasBase], Callable[..., Any]]] = {
    "pdf": (FigureCanvasPdf, FigureCanvasPdf.print_pdf),
    "png": (FigureCanvasAgg, FigureCanvasAgg.print_png),
    "svg": (FigureCanvasSVG, FigureCanvasSVG.print_svg),
}
FORMATS = tuple(WRITERS)


def save(
    name: str,
    source: Source | str | Path,
    out: str | Path,
    figure_options: FigureOptions = FigureOptions(),
    options: FitOptions = FitOptions(),
    reading: ReadOptions = ReadOptions(),
    scores: EmergenceOptions = EmergenceOptions(),
) -> Path:
    """Draws a figure into a file, and writes its data (FILE.data.csv) and origin (FILE.about.json) next to it.

    Args:
        name: A name in `analysis.figures.registry.FIGURES`.
        source: Source of the figure, or the path of a store or file.
        out: File to write, with the suffix .pdf, .png or .svg.
        figure_options: Law and width.
        options: Options of the fits, if the source is a path.
        reading: Options of reading the source, if it is a path.
        scores: Scale, tasks and metrics of a figure of scores, if the source is a path.

    Returns:
        The path of the figure.

    Raises:
        DataError: The figure or format is unknown, the figure does not use an option that was changed, or the source
            lacks the data of the figure.
        FitError: The law cannot be fitted.
    """
    out = Path(out)
    kind = file_format(out)
    source_options = SourceOptions(options, reading, scores)
    check_options(name, figure_options, source_options)
    read = getattr(figure_module(name), "read", None)  # only figures without points have one
    if not isinstance(source, Source):
        source = read(Path(source), source_options) if read else load(source, options, reading, figure_options.law)
    figure = draw(name, source, figure_options)
    write_atomic(out, render(figure, kind))
    write_origin(figure, name, source, out, figure_options)
    return out


def file_format(out: Path) -> str:
    """Returns the format of a figure file from its suffix. Raises DataError for an unknown format."""
    kind = out.suffix.removeprefix(".").lower()
    if kind not in FORMATS:
        raise DataError(f"{out}: must end in one of {', '.join('.' + f for f in FORMATS)}")
    return kind


def draw(name: str, source: Source, options: FigureOptions = FigureOptions()) -> Figure:
    """Draws a figure in the style of `analysis.figures.style`.

    Args:
        name: A name in `analysis.figures.registry.FIGURES`.
        source: Source of the figure.
        options: Law and width; the law only applies to figures of one law.

    Returns:
        The Matplotlib figure with a fixed layout.
    """
    module = figure_module(name)
    law = {"law": options.law} if options.law and "law" in find_figure(name).options else {}
    with style.style_context():
        figure: Figure = module.figure(source, options.inches, **law)
        style.fix_layout(figure)
    return figure


def render(figure: Figure, kind: str) -> bytes:
    """Returns the contents of a figure file; the bytes are reproducible.

    Args:
        figure: The figure, whose layout is fixed.
        kind: One of FORMATS.
    """
    out = io.BytesIO()
    make_canvas, write = WRITERS[kind]
    canvas, dpi = figure.canvas, figure.dpi
    with style.style_context():
        figure.dpi = style.RC_PARAMS["savefig.dpi"]
        new = canvas if isinstance(canvas, make_canvas) else make_canvas(figure)  # a canvas keeps parsed labels
        write(new, out, metadata=style.METADATA[kind])
    figure.dpi = dpi
    figure.set_canvas(canvas)
    return out.getvalue()


def write_origin(
    figure: Figure, name: str, source: Source, out: Path, options: FigureOptions = FigureOptions()
) -> None:
    """Writes the data of a figure and their origin next to its file.

    Args:
        figure: The figure.
        name: Name of the figure.
        source: Source of the figure.
        out: File of the figure.
        options: Law and width of the figure.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(mark_rows(figure))
    target = out.with_suffix(".data.csv")
    if Path(source.name).resolve() == target.resolve():
        raise DataError(f"{target}: is the source and would be overwritten by the data of the figure: change --out")
    write_atomic(target, text.getvalue().encode())
    command = ["python", "-m", "analysis", "figure", name, source.name, "--out", str(out)]
    about = {
        "figure": name,
        "source": source.name,
        "points": len(source.points),
        "convention": source.points.convention,
        "loss_unit": source.points.loss_unit if len(source.points) else None,
        "notes": list(source.points.notes),
        "command": shlex.join([*command, *source.arguments(), *options.arguments()]),
        "commit": code_commit(),
    }
    recorded = {key: value for key, value in about.items() if value is not None}
    write_atomic(out.with_suffix(".about.json"), (json.dumps(recorded, indent=1, ensure_ascii=False) + "\n").encode())

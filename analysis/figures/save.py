"""Draws a figure and saves it with its data and its origin."""

from __future__ import annotations

import csv
import importlib
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
from analysis.data.record_cache import StoreSnapshot
from analysis.errors import DataError
from analysis.evals.options import EmergenceOptions
from analysis.figures import style
from analysis.figures.alt_text import alt_text
from analysis.figures.custom import FigureFunction, code_digest, draw_custom
from analysis.figures.marks import COLUMNS, mark_rows
from analysis.figures.options import FigureOptions, SourceOptions
from analysis.figures.registry import check_options, find_figure, used_options
from analysis.figures.source import Source, load
from analysis.fitting.options import FitOptions
from scaling.config.options import format_options
from scaling.store.files import write_atomic
from scaling.store.origin.commit import code_commit
from scaling.store.origin.paths import public_path

# Canvas of each format and its method, which draws once; `savefig` draws twice for the layout, which is fixed here.
WRITERS: dict[str, tuple[type[FigureCanvasBase], Callable[..., Any]]] = {
    "pdf": (FigureCanvasPdf, FigureCanvasPdf.print_pdf),
    "png": (FigureCanvasAgg, FigureCanvasAgg.print_png),
    "svg": (FigureCanvasSVG, FigureCanvasSVG.print_svg),
}
FORMATS = tuple(WRITERS)


def save_figure(
    source: Source | str | Path | StoreSnapshot,
    name: str,
    out: str | Path,
    figure_options: FigureOptions = FigureOptions(),
    options: FitOptions = FitOptions(),
    reading: ReadOptions = ReadOptions(),
    scores: EmergenceOptions = EmergenceOptions(),
) -> Path:
    """Draws a figure into a file, and writes its data (FILE.data.csv) and origin (FILE.about.json) next to it.

    Args:
        source: Source of the figure, or the path of a store or file.
        name: A name in `analysis.figures.registry.FIGURES`, or your own, "FILE.py:FUNCTION" or
            "package.module:FUNCTION".
        out: File to write, with the suffix .pdf, .png or .svg.
        figure_options: Law, width and settings.
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
    if not isinstance(source, Source):
        source = load_source(name, source, figure_options.law, source_options)
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


def load_source(
    name: str | FigureFunction, source: str | Path | StoreSnapshot, law: str | None, options: SourceOptions
) -> Source:
    """Reads the source of a figure.

    Args:
        name: As for `draw`.
        source: A store, or the path of a store or file.
        law: Law whose columns are read from a file; None reads N, D, C and L.
        options: Options of reading the source and of the computation.

    Raises:
        DataError: The figure is unknown or the source cannot be read.
    """
    entry = find_figure(name)
    read = getattr(importlib.import_module(entry.module), "read", None) if entry.module else None
    if read is not None:  # a figure without points
        without_points: Source = read(source if isinstance(source, StoreSnapshot) else Path(source), options)
        return without_points
    return load(source, options.fits, options.reading, law)


def draw(name: str | FigureFunction, source: Source, options: FigureOptions = FigureOptions()) -> Figure:
    """Draws a figure in the style of `analysis.figures.style`.

    Args:
        name: A name in `analysis.figures.registry.FIGURES`; your own, "FILE.py:FUNCTION" or "package.module:FUNCTION";
            or a function.
        source: Source of the figure.
        options: Law, width and settings; the law only applies to figures of one law.

    Returns:
        The Matplotlib figure with a fixed layout.
    """
    entry = find_figure(name)
    with style.style_context():
        if entry.function is not None:
            figure = draw_custom(entry.function, source, options)
        else:
            law = {"law": options.law} if options.law and "law" in entry.options else {}
            figure = importlib.import_module(entry.module).figure(source, options.inches, **law)
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


def figure_command(name: str, source: Source, out: str | Path, options: FigureOptions = FigureOptions()) -> str:
    """Returns the command that makes a figure, with the options that it uses.

    Args:
        name: Name of the figure.
        source: Source of the figure.
        out: File to write.
        options: Law, width and settings of the figure.
    """
    used = used_options(name)
    flags = [*source.arguments(used), *format_options(options, only=used)]
    return shlex.join(
        ["python", "-m", "analysis", "figure", name, public_path(source.name), "--out", public_path(out), *flags]
    )


def figure_data(figure: Figure) -> bytes:
    """Returns the data of a figure as CSV: one row per mark.

    Args:
        figure: The figure.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(mark_rows(figure))
    return text.getvalue().encode()


def write_origin(
    figure: Figure, name: str, source: Source, out: Path, options: FigureOptions = FigureOptions()
) -> None:
    """Writes the data of a figure and their origin next to its file.

    Args:
        figure: The figure.
        name: Name of the figure.
        source: Source of the figure.
        out: File of the figure.
        options: Law, width and settings of the figure.
    """
    target = out.with_suffix(".data.csv")
    if Path(source.name).resolve() == target.resolve():
        raise DataError(f"{target}: is the source and would be overwritten by the data of the figure: change --out")
    write_atomic(target, figure_data(figure))
    about = {
        "figure": name,
        "code_sha256": code_digest(name),
        "source": public_path(source.name),
        "points": len(source.points),
        "convention": source.points.convention,
        "loss_unit": source.points.loss_unit if len(source.points) else None,
        "notes": list(source.points.notes),
        "alt_text": alt_text(figure),
        "command": figure_command(name, source, out, options),
        "commit": code_commit(),
    }
    recorded = {key: value for key, value in about.items() if value is not None}
    write_atomic(out.with_suffix(".about.json"), (json.dumps(recorded, indent=1, ensure_ascii=False) + "\n").encode())

"""Draws a figure and saves it with its data and its origin."""

from __future__ import annotations

import csv
import io
import json
import shlex
from pathlib import Path

from matplotlib.figure import Figure

from analysis.data.options import ReadOptions
from analysis.errors import DataError
from analysis.figures import style
from analysis.figures.marks import COLUMNS, mark_rows
from analysis.figures.options import FigureOptions
from analysis.figures.registry import figure_module, takes_law
from analysis.figures.source import Source, load
from analysis.fitting.options import FitOptions
from scaling.store.commit import code_commit
from scaling.store.files import write_atomic

FORMATS = ("pdf", "png", "svg")


def save(
    name: str,
    source: Source | str | Path,
    out: str | Path,
    figure_options: FigureOptions = FigureOptions(),
    options: FitOptions = FitOptions(),
    reading: ReadOptions = ReadOptions(),
) -> Path:
    """Draws a figure into a file, and writes its data (FILE.data.csv) and origin (FILE.about.json) next to it.

    Args:
        name: A name in `analysis.figures.registry.FIGURES`.
        source: What the figure shows, or the path of a store or file to load it from.
        out: File to write; its suffix, .pdf, .png or .svg, is its format.
        figure_options: Law and width.
        options: How laws are fitted, for a source that is a path.
        reading: How the source is read, for a source that is a path.

    Returns:
        The path of the figure.

    Raises:
        DataError: An unknown figure or format, or a source that does not have what the figure shows.
        FitError: The law cannot be fitted.
    """
    out = Path(out)
    kind = file_format(out)
    read = getattr(figure_module(name), "read", None)  # of a figure that shows no points
    if figure_options.law and not takes_law(name):
        raise DataError(f"figure {name} shows no single law: leave out law {figure_options.law!r}")
    if not isinstance(source, Source):
        source = read(Path(source)) if read else load(source, options, reading, figure_options.law)
    figure = draw(name, source, figure_options)
    write_atomic(out, render(figure, kind))
    write_origin(figure, name, source, out, figure_options)
    return out


def file_format(out: Path) -> str:
    """Returns the format of a figure's file by its suffix; DataError lists the known ones."""
    kind = out.suffix.removeprefix(".").lower()
    if kind not in FORMATS:
        raise DataError(f"{out}: must end in one of {', '.join('.' + f for f in FORMATS)}")
    return kind


def draw(name: str, source: Source, options: FigureOptions = FigureOptions()) -> Figure:
    """Draws a figure in the style of `analysis.figures.style`.

    Args:
        name: A name in `analysis.figures.registry.FIGURES`.
        source: What the figure shows.
        options: Law and width; the law is for figures of one law.

    Returns:
        The Matplotlib figure, its layout fixed.
    """
    module = figure_module(name)
    law = {"law": options.law} if options.law and takes_law(name) else {}
    with style.style_context():
        figure: Figure = module.figure(source, options.inches, **law)
        style.fix_layout(figure)
    return figure


def render(figure: Figure, kind: str) -> bytes:
    """Returns the contents of a figure's file, the same bytes each time.

    Args:
        figure: The figure.
        kind: One of FORMATS.
    """
    out = io.BytesIO()
    with style.style_context():
        figure.savefig(out, format=kind, metadata=style.METADATA[kind])
    return out.getvalue()


def write_origin(
    figure: Figure, name: str, source: Source, out: Path, options: FigureOptions = FigureOptions()
) -> None:
    """Writes the data that a figure shows, and where they come from, next to its file.

    Args:
        figure: The figure.
        name: Name of the figure.
        source: What it was drawn from.
        out: File of the figure.
        options: Law and width it was drawn with.
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
        "notes": list(source.points.notes),
        "command": shlex.join([*command, *source.arguments(), *options.arguments()]),
        "commit": code_commit(),
    }
    recorded = {key: value for key, value in about.items() if value is not None}
    write_atomic(out.with_suffix(".about.json"), (json.dumps(recorded, indent=1, ensure_ascii=False) + "\n").encode())

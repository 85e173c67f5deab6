"""Figures of a paper: PDFs at the widths of the venue, their data, and the environments that show them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from analysis.errors import DataError, FitError
from analysis.figures import registry, save
from analysis.figures.alt_text import alt_text
from analysis.figures.options import FigureOptions, SourceOptions
from analysis.figures.source import Source, source_of_study
from analysis.paper.latex import escape
from analysis.paper.macros import law_label
from analysis.paper.options import PaperOptions, Venue
from analysis.studies.forecast.scores import Outcome

REPORT_FIGURES = ("isoflop", "curves", "contours", "kaplan", "parity")
LAW_FIGURES = ("law", "parity")  # of a paper on laws that the user names
IN_COLUMN = ("curves", "law")  # figures that the sample shows in one column, where the page has two


@dataclass(frozen=True)
class PaperFigure:
    """A figure.

    Attributes:
        name: Name of the figure.
        error: Reason that it could not be drawn, else "". With an error the other fields are empty.
        files: Content of each file by its name in the folder of figures.
        caption: Caption as plain text.
        alt_text: Description of what it shows.
        commands: Command that makes each PDF.
    """

    name: str
    error: str = ""
    files: Mapping[str, bytes] = field(default_factory=dict)
    caption: str = ""
    alt_text: str = ""
    commands: Mapping[str, str] = field(default_factory=dict)


def draw_figures(
    source: Source, options: PaperOptions, published: Source, outcomes: Sequence[Outcome] = ()
) -> Iterator[PaperFigure]:
    """Draws the figures that the source allows.

    Args:
        source: Source of the paper.
        options: Venue and laws, whose files are named as commands state them.
        published: The source with names as commands state them.
        outcomes: Sealed forecasts of the store with their outcomes.
    """
    names = LAW_FIGURES if options.laws else REPORT_FIGURES
    for name in names:
        if name != "curves" or source.store is not None:
            law = options.laws[0] if options.laws and "law" in registry.find_figure(name).options else None
            yield draw_figure(source, name, law, options.page, published)
    if outcomes and source.store is not None:
        study = source_of_study(source.store, "forecasts", list(outcomes), SourceOptions(source.options))
        yield draw_figure(study, "forecasts", None, options.page, published)


def draw_figure(source: Source, name: str, law: str | None, page: Venue, published: Source) -> PaperFigure:
    """Draws a figure at each width of a venue; `PaperFigure.error` has the reason of a failure.

    Args:
        source: Source of the paper.
        name: Name of the figure.
        law: Law that it shows, as commands state it; None for a figure of no law, or of chinchilla.
        page: Page of the venue.
        published: The source with names as commands state them.
    """
    files, commands, description = {}, {}, ""
    for width, suffix in page.widths.items():
        options = FigureOptions(law, width)
        try:
            figure = save.draw(name, source, replace(options, law=law and law_label(law)))
        except (DataError, FitError) as error:
            return PaperFigure(name, str(error))
        files[f"{name}{suffix}.pdf"] = save.render(figure, "pdf")
        files.setdefault(f"{name}.data.csv", save.figure_data(figure))
        description = description or alt_text(figure)
        target = f"{name}{suffix}.pdf"
        commands[target] = save.figure_command(name, published, target, options)
    caption = registry.figure_module(name).CAPTION.format(level=source.level)
    return PaperFigure(name, "", files, caption, description, commands)


def figure_file(figures: list[PaperFigure], page: Venue, folder: Path) -> str:
    r"""Returns the environments of the figures, each with \label{fig:NAME}.

    Args:
        figures: The figures.
        page: Page of the venue.
        folder: Folder of the figures, relative to that of the paper.
    """
    lines = []
    for figure in figures:
        if not figure.error:
            narrow = page.column is not None and figure.name in IN_COLUMN
            environment = "figure" if page.column is None or narrow else "figure*"
            path = folder / f"{figure.name}{'-column' if narrow else ''}.pdf"
            lines += [
                rf"\begin{{{environment}}}[tbp]",
                r"\centering",
                rf"\includegraphics{{{path.as_posix()}}}",
                rf"\caption{{{escape(figure.caption)}}}",
                rf"\label{{fig:{figure.name}}}",
                rf"\end{{{environment}}}",
                "",
            ]
    return "\n".join(lines)

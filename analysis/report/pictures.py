"""Figures of a report: as files next to the page, and as images inside it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from matplotlib.figure import Figure

from analysis.errors import DataError, FitError
from analysis.figures import registry, save
from analysis.figures.options import FigureOptions
from analysis.figures.source import Source
from analysis.report import sentences
from analysis.report.findings import with_progress
from scaling.store.files import write_atomic

FILES = {"pdf": "PDF", "png": "PNG", "data.csv": "data", "about.json": "origin"}  # by suffix, with the link's text


@dataclass(frozen=True)
class Picture:
    """A figure on the page.

    Attributes:
        name: Name of the figure.
        title: Its heading.
        error: Why it could not be drawn, "" where it was; the fields below are then empty.
        caption: Its caption.
        wide: Image as a data URL.
        narrow: The same for a narrow screen, with panels stacked.
        files: Text of the link to each file in the folder of the figures.
    """

    name: str
    title: str
    error: str = ""
    caption: str = ""
    wide: str = ""
    narrow: str = ""
    files: Mapping[str, str] = field(default_factory=dict)


def draw_pictures(titles: Mapping[str, str], source: Source, folder: Path) -> list[Picture]:
    """Draws figures in turn.

    Args:
        titles: Heading of each figure by its name.
        source: What the report is about.
        folder: Where the files of the figures go.
    """
    return [draw_picture(name, titles[name], source, folder) for name in with_progress(list(titles), "figures")]


def draw_picture(name: str, title: str, source: Source, folder: Path) -> Picture:
    """Draws a figure and writes its PDF, PNG, data and origin; where it cannot be drawn the picture says why.

    Args:
        name: Name of the figure.
        title: Its heading.
        source: What the report is about.
        folder: Where its files go.
    """
    try:
        wide, narrow = save.draw(name, source), save.draw(name, source, FigureOptions(width="column"))
    except (DataError, FitError) as error:
        for outdated in folder.glob(f"{name}.*"):  # files of an earlier report
            outdated.unlink()
        return Picture(name, title, error=sentences.sentence(str(error)))
    for kind in ("pdf", "png"):
        write_atomic(folder / f"{name}.{kind}", save.render(wide, kind))
    save.write_origin(wide, name, source, folder / f"{name}.pdf")
    return Picture(
        name,
        title,
        caption=registry.figure_module(name).CAPTION.format(level=source.level),
        wide=_data_url(wide),
        narrow=_data_url(narrow),
        files={f"{name}.{suffix}": text for suffix, text in FILES.items()},
    )


def select(pictures: Sequence[Picture], names: Mapping[str, str]) -> list[Picture]:
    """Returns the pictures of some figures, in their order.

    Args:
        pictures: All pictures of the report.
        names: Names of the figures.
    """
    return [picture for picture in pictures if picture.name in names]


def _data_url(figure: Figure) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(save.render(figure, "svg")).decode()

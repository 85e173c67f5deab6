"""Figures of a report, as files next to the page and as embedded images."""

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

FILES = {"pdf": "PDF", "png": "PNG", "data.csv": "data", "about.json": "origin"}  # link text by suffix


@dataclass(frozen=True)
class Picture:
    """A figure on the page.

    Attributes:
        name: Name of the figure.
        title: Heading of the figure.
        error: Reason that the figure could not be drawn, else "". With an error the other fields are empty.
        caption: Caption of the figure.
        wide: Image as a data URL.
        narrow: Image with stacked panels for narrow screens, as a data URL.
        files: Link text of each file in the folder of the figures.
    """

    name: str
    title: str
    error: str = ""
    caption: str = ""
    wide: str = ""
    narrow: str = ""
    files: Mapping[str, str] = field(default_factory=dict)


def draw_pictures(titles: Mapping[str, str], source: Source, folder: Path) -> list[Picture]:
    """Draws all figures of a report.

    Args:
        titles: Heading of each figure by its name.
        source: Source of the report.
        folder: Folder for the files of the figures.
    """
    return [draw_picture(name, titles[name], source, folder) for name in with_progress(list(titles), "figures")]


def draw_picture(name: str, title: str, source: Source, folder: Path) -> Picture:
    """Draws a figure and writes its PDF, PNG, data and origin; `Picture.error` has the reason of a failure.

    Args:
        name: Name of the figure.
        title: Heading of the figure.
        source: Source of the report.
        folder: Folder for the files of the figure.
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
    """Returns the pictures of the named figures.

    Args:
        pictures: All pictures of the report.
        names: Names of the figures.
    """
    return [picture for picture in pictures if picture.name in names]


def _data_url(figure: Figure) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(save.render(figure, "svg")).decode()

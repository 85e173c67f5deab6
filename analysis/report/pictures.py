"""Figures of a report, as files next to the page and as embedded images."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from analysis.errors import DataError, FitError
from analysis.figures import registry, save
from analysis.figures.alt_text import alt_text
from analysis.figures.options import FigureOptions
from analysis.figures.source import Source
from analysis.report import sentences
from analysis.solver.processes import fork_pool, fork_processes, map_in_pool
from scaling.store.files import write_atomic

FILES = {"pdf": "PDF", "png": "PNG", "data.csv": "data (CSV)", "about.json": "origin (JSON)"}  # link text by suffix


@dataclass(frozen=True)
class Picture:
    """A figure on the page.

    Attributes:
        name: Name of the figure.
        title: Heading of the figure.
        error: Reason that the figure could not be drawn, else "". With an error the other fields are empty.
        caption: Caption of the figure.
        alt_text: Description of what the figure shows.
        command: Command that makes the figure.
        wide: Image as a data URL.
        narrow: Image with stacked panels for narrow screens, as a data URL.
        files: Link text of each file in the folder of the figures.
    """

    name: str
    title: str
    error: str = ""
    caption: str = ""
    alt_text: str = ""
    command: str = ""
    wide: str = ""
    narrow: str = ""
    files: Mapping[str, str] = field(default_factory=dict)


def draw_pictures(titles: Mapping[str, str], source: Source, folder: Path) -> Iterator[Picture]:
    """Draws all figures of a report, several in forked processes where that is safe, while the caller works.

    Args:
        titles: Heading of each figure by its name.
        source: Source of the report.
        folder: Folder for the files of the figures.

    Returns:
        Iterator over the pictures in the order of the titles.
    """
    workers = min(fork_processes(), len(titles))
    if workers <= 1:
        return map(partial(draw_picture, source=source, folder=folder), titles, titles.values())
    pool = fork_pool(workers, _remember, source, folder)
    pictures = map_in_pool(pool, _draw_remembered, titles, titles.values())
    pool.shutdown(wait=False)
    return pictures


_inherited: dict[str, tuple[Source, Path]] = {}  # source and folder of the report, in a forked process


def _remember(source: Source, folder: Path) -> None:
    _inherited["report"] = source, folder


def _draw_remembered(name: str, title: str) -> Picture:
    return draw_picture(name, title, *_inherited["report"])


def draw_picture(name: str, title: str, source: Source, folder: Path) -> Picture:
    """Draws a figure and writes its PDF, PNG, data and origin; `Picture.error` has the reason of a failure.

    Args:
        name: Name of the figure.
        title: Heading of the figure.
        source: Source of the report.
        folder: Folder for the files of the figure.
    """
    try:
        wide = save.draw(name, source)
        images = {kind: save.render(wide, kind) for kind in ("png", "svg", "pdf")}
        narrow = save.render(save.draw(name, source, FigureOptions(width="column")), "svg")
    except (DataError, FitError) as error:
        for outdated in folder.glob(f"{name}.*"):  # files of an earlier report
            outdated.unlink()
        return Picture(name, title, error=sentences.sentence(str(error)))
    for kind in ("pdf", "png"):
        write_atomic(folder / f"{name}.{kind}", images[kind])
    save.write_origin(wide, name, source, folder / f"{name}.pdf")
    return Picture(
        name,
        title,
        caption=registry.figure_module(name).CAPTION.format(level=source.level),
        alt_text=f"{title}. {alt_text(wide)}",
        command=save.figure_command(name, source, f"{name}.pdf"),
        wide=_data_url(images["svg"]),
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


def _data_url(svg: bytes) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode()

"""Figures that a page shows and that its own commands make: `figures/PAGE/NAME` next to the page is their NAME."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from tests.docs.harness.blocks import read_blocks


def own_figures(page: Path, end: int | None = None) -> list[Path]:
    """Returns the files of the figures that a page shows from the folder of its name.

    Args:
        page: The page.
        end: Position in its text up to which figures count.
    """
    text = page.read_text("utf-8")[:end]
    shown = re.findall(rf"!\[[^\]]*\]\((figures/{re.escape(page.stem)}/[\w.-]+)\)", text)
    return [page.parent / name for name in shown]


def check_figures(page: Path, folder: Path, *, long: bool) -> None:
    """Checks that the commands of a page have made its figures; with UPDATE_OUTPUTS=1 copies them next to the page.

    Args:
        page: The page.
        folder: Folder in which its blocks were run.
        long: Whether blocks that take minutes were run; otherwise figures after the first do not count.
    """
    end = None if long else next((block.span[0] for block in read_blocks(page) if block.takes), None)
    for figure in own_figures(page, end):
        made = folder / figure.name
        assert made.exists(), f"{page}: shows {figure.name}, which no command of the page writes"
        if os.environ.get("UPDATE_OUTPUTS"):
            figure.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(made, figure)
        assert figure.exists(), f"{figure}: missing; UPDATE_OUTPUTS=1 makes it"

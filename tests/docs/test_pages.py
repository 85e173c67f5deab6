"""The blocks of the README and of every page do what the page says, in the order of the page."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.harness.blocks import read_blocks
from tests.docs.harness.page import RUN, run_page
from tests.support.commands import ROOT

PAGES = [
    page
    for page in (ROOT / "README.md", *sorted((ROOT / "docs" / "pages").rglob("*.md")))
    if any(block.language in RUN and not block.needs for block in read_blocks(page))
]
LONG = [page for page in PAGES if any(block.takes for block in read_blocks(page))]


@pytest.mark.docs
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_blocks_of_the_page_do_what_it_says(page: Path, tmp_path: Path) -> None:
    run_page(page, tmp_path / "page", long=False)


@pytest.mark.long
@pytest.mark.parametrize("page", LONG, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_blocks_of_the_page_that_take_minutes_do_what_it_says(page: Path, tmp_path: Path) -> None:
    run_page(page, tmp_path / "page", long=True)

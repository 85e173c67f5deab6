"""Pages of the documentation site in a browser: a sample of each section."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.pages import opened, problems, served, unreached_controls
from tests.support.site import built_site

pytest.importorskip("mkdocs")
pytestmark = pytest.mark.docs

SECTIONS = ("tutorials", "how-to", "reference", "explanation", "measurements", "notebooks")
PER_SECTION = 2  # the pages with the most bytes: those with figures, tables and code


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built_site(tmp_path_factory)[0]


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    with served(site) as address:
        yield address


def sample(site: Path, section: str) -> list[str]:
    pages = sorted((site / section).rglob("*.html"), key=lambda page: -page.stat().st_size)
    return [page.relative_to(site).as_posix() for page in pages[:PER_SECTION]]


@pytest.mark.parametrize("section", SECTIONS)
def test_pages_of_a_section_are_readable_in_both_widths_and_schemes(
    browser: Browser, site: Path, address: str, section: str
) -> None:
    pages = sample(site, section)
    assert pages
    assert not [f"{page}: {problem}" for page in pages for problem in problems(browser, address + page)]


def test_the_first_page_is_readable_and_the_keyboard_reaches_its_controls(browser: Browser, address: str) -> None:
    assert not problems(browser, address + "index.html")
    with opened(browser, address + "index.html") as page:
        assert not unreached_controls(page)

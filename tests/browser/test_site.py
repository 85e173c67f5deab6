"""The documentation site in a browser: nothing comes from elsewhere, and it is readable on a phone and in the dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.pages import opened, problems, served, unreached_controls

pytestmark = pytest.mark.docs

SECTIONS = ("tutorials", "how-to", "explanation", "measurements", "notebooks")
PAGES = ("index", "reference/index", "reference/laws/loss", "reference/commands/analysis", "reference/api/analysis",
    "reference/verdicts", "reference/store", "reference/fits", "explanation/architecture")  # fmt: skip


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    with served(site) as address:
        yield address


@pytest.mark.parametrize("page", PAGES)
def test_the_page_is_readable(page: str, browser: Browser, address: str) -> None:
    assert not problems(browser, f"{address}{page}.html")


@pytest.mark.parametrize("section", SECTIONS)
def test_the_longest_page_of_a_section_is_readable(section: str, browser: Browser, site: Path, address: str) -> None:
    page = max((site / section).rglob("*.html"), key=lambda page: page.stat().st_size)
    assert not problems(browser, address + page.relative_to(site).as_posix())


def test_the_keyboard_reaches_every_control_of_the_first_page(browser: Browser, address: str) -> None:
    with opened(browser, f"{address}index.html") as page:
        assert not unreached_controls(page)


def test_the_palette_can_be_switched(browser: Browser, address: str) -> None:
    with opened(browser, f"{address}index.html") as page:
        background = "getComputedStyle(document.body).backgroundColor"
        before = page.evaluate(background)
        page.get_by_title("Switch to dark mode").click()
        assert page.evaluate(background) != before


@pytest.mark.parametrize("opening", ["served", "file"])
def test_search_finds_a_law_offline(opening: str, browser: Browser, site: Path, address: str) -> None:
    url = f"{address}index.html" if opening == "served" else f"{site.as_uri()}/index.html"
    with opened(browser, url) as page:
        page.keyboard.press("/")
        page.keyboard.type("chinchilla")
        page.locator(".md-search-result__link", has_text="chinchilla").first.wait_for()


def test_a_formula_is_drawn_as_a_fraction(browser: Browser, address: str) -> None:
    with opened(browser, f"{address}reference/laws/loss.html") as page:
        fraction = page.locator("math mfrac").first.bounding_box()
        numerator = page.locator("math mfrac > :first-child").first.bounding_box()
        assert fraction and numerator and fraction["height"] > 1.5 * numerator["height"]

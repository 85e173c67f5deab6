"""The report in a browser: readable, usable by keyboard, its table of runs sorted and filtered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from analysis.fitting.options import FitOptions
from analysis.report.build import write_report
from analysis.report.html import Table, environment
from tests.browser.pages import opened, problems, served, unreached_controls
from tests.support.known_store import build

pytestmark = pytest.mark.docs

COLUMNS = ("run", "status", "budget", "N", "D", "C (FLOPs)", "loss", "seconds")
MANY = 10_000
ROWS = "table.sortable tbody tr"
PAGE_OF_A_TABLE = """{% from "macros.html.j2" import table %}<!DOCTYPE html><html lang="en"><title>Runs</title>
<link rel="icon" href="data:,"><style>{% include "report.css" %}</style><h1>Runs</h1>{{ table(runs) }}
<script>{% include "report.js" %}</script></html>"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a report on runs of which some failed, some are running and some have no loss."""
    folder = tmp_path_factory.mktemp("report")
    store = build(folder / "store", extras=True, rows=40).root
    write_report(store, folder / "out", FitOptions(bootstrap=100))
    with served(folder / "out") as address:
        yield address + "report.html"


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    with opened(browser, address) as page:
        yield page


def cells(page: Page, column: str) -> list[str]:
    """Text of a column, from the top."""
    place = COLUMNS.index(column) + 1
    return page.locator(f"{ROWS} td:nth-child({place})").all_inner_texts()


def values(page: Page, column: str) -> list[float]:
    """Numbers of a column by which rows are sorted, from the top; missing ones are NaN."""
    place = COLUMNS.index(column) + 1
    script = "cells => cells.map(cell => cell.dataset.value ?? 'nan')"
    return [float(value) for value in page.locator(f"{ROWS} td:nth-child({place})").evaluate_all(script)]


def test_it_is_readable_in_both_widths_and_schemes(browser: Browser, address: str) -> None:
    assert not problems(browser, address)


def test_every_column_has_a_header_with_a_scope(page: Page) -> None:
    assert page.locator("th").count() > 30
    assert page.locator("th:not([scope])").count() == 0


def test_the_keyboard_reaches_every_control(page: Page) -> None:
    assert not unreached_controls(page)


def test_the_first_tab_skips_to_the_content(page: Page) -> None:
    page.keyboard.press("Tab")
    assert page.locator("a.skip").bounding_box()["x"] >= 0  # type: ignore[index]
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"


@pytest.mark.parametrize("column", ["N", "C (FLOPs)", "loss", "seconds"])
def test_a_column_of_numbers_sorts_by_number_with_missing_ones_last(page: Page, column: str) -> None:
    head = page.locator("table.sortable th", has=page.get_by_role("button", name=column, exact=True))
    for order, reverse in (("ascending", False), ("descending", True)):
        head.get_by_role("button").click()
        shown = values(page, column)
        numbers = [value for value in shown if value == value]
        assert len(shown) == 24 and len(numbers) > 15
        assert numbers == sorted(numbers, reverse=reverse)
        assert shown[: len(numbers)] == numbers  # missing ones are last
        assert head.get_attribute("aria-sort") == order
        assert page.locator("th[aria-sort]").count() == 1


def test_the_keyboard_sorts_and_text_sorts_as_text(page: Page) -> None:
    button = page.locator("table.sortable").get_by_role("button", name="status")
    button.focus()
    for key, reverse in (("Enter", False), ("Space", True)):
        page.keyboard.press(key)
        assert cells(page, "status") == sorted(cells(page, "status"), key=str.lower, reverse=reverse)


def test_the_filter_shows_rows_with_all_words_and_says_how_many(page: Page) -> None:
    count = page.locator(".filter output")
    assert count.get_attribute("aria-live") == "polite"
    assert count.inner_text() == "24 of 24 rows"
    run = cells(page, "run")[cells(page, "status").index("done")]
    for words, expected in (("DONE", 20), (f"done {run[:6]}", 1), ("no such run", 0), ("", 24)):
        page.get_by_label("Rows that contain").fill(words)
        shown = page.locator(ROWS).all_inner_texts()
        assert all(word in text.lower() for text in shown for word in words.lower().split())
        assert len(shown) == expected and count.inner_text() == f"{expected} of 24 rows"


def test_a_filtered_table_keeps_its_filter_when_it_is_sorted(page: Page) -> None:
    page.get_by_label("Rows that contain").fill("done")
    page.locator("table.sortable").get_by_role("button", name="loss").click()
    assert set(cells(page, "status")) == {"done"} and values(page, "loss") == sorted(values(page, "loss"))


def test_without_scripts_it_is_a_whole_page_without_dead_controls(browser: Browser, address: str) -> None:
    with opened(browser, address, script=False) as page:
        assert page.locator(ROWS).count() == 24
        assert page.locator("button, input").count() == 0
        assert page.locator("figure .command code").count() == page.locator("figure").count() > 4


def test_the_button_copies_the_command_of_its_figure(page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    for figure in page.locator("figure").all():
        figure.get_by_role("button").click()
        assert figure.get_by_role("button").inner_text() == "Copied"
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied == figure.locator("code").inner_text() and copied.startswith("python -m analysis figure ")


def write_table(path: Path, count: int) -> None:
    """Writes a page with a table of runs; N is 1e6 plus each whole number below the count, in another order."""
    numbers = [(None, None, 1e18, 1e6 + (7 * i) % count, 1e9, 1e16, 3.0, 60.0) for i in range(count)]
    rows = [(f"{i:012x}", "done", *("1",) * 6) for i in range(count)]
    table = Table(COLUMNS, "ctnnnnnn", rows, "", numbers)
    path.write_text(environment().from_string(PAGE_OF_A_TABLE).render(runs=table))


def test_the_rows_of_a_long_table_are_shown_when_they_are_wanted(browser: Browser, tmp_path: Path) -> None:
    write_table(tmp_path / "page.html", 600)
    with served(tmp_path) as address, opened(browser, address + "page.html") as page:
        assert page.locator(ROWS).count() == 500
        page.get_by_role("button", name="Show all").click()
        assert page.locator(ROWS).count() == 600
        assert page.locator(".filter output").inner_text() == "600 of 600 rows"


def test_ten_thousand_rows_are_sorted_and_filtered_at_once(browser: Browser, tmp_path: Path) -> None:
    write_table(tmp_path / "page.html", MANY)
    with served(tmp_path) as address, opened(browser, address + "page.html") as page:
        count = page.locator(".filter output")
        assert count.inner_text() == "10,000 of 10,000 rows, the first 500 shown"
        page.get_by_role("button", name="N", exact=True).click(timeout=5000)
        assert values(page, "N")[:3] == [1e6, 1e6 + 1, 1e6 + 2] and page.locator(ROWS).count() == 500
        page.get_by_label("Rows that contain").fill(f"{MANY - 1:012x}")
        assert cells(page, "run") == [f"{MANY - 1:012x}"] and count.inner_text() == "1 of 10,000 rows"

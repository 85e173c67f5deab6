"""The page of a sweep's status in a browser."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from scaling.config.run import RunConfig, override, run_id
from scaling.config.validation import from_dict
from sweeps.monitoring.page import write_page
from sweeps.monitoring.status import status
from tests.browser.pages import opened, problems, served, unreached_controls
from tests.support.known_store import build
from tests.support.sweeps import write_ended

pytestmark = pytest.mark.docs


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the page of a sweep with runs in every state, and a long log."""
    folder: Path = tmp_path_factory.mktemp("status")
    store = build(folder / "store", extras=True, rows=40)
    configs = [from_dict(RunConfig, entry["config"]) for entry in store.sweep("quickstart") or []]
    failed = override(configs[0], ["seed=7"])
    write_ended(store, failed, "failed", error="out of memory", log=["Traceback (most recent call last): " + "x" * 400])
    waiting = dataclasses.replace(failed, seed=8)
    configs += [failed, waiting]
    store.write_sweep("quickstart", configs, [run_id(config) for config in configs])
    write_page(folder / "page" / "status.html", store, status(store, "quickstart"))
    with served(folder / "page") as address:
        yield address + "status.html"


def test_it_is_readable_in_both_widths_and_schemes(browser: Browser, address: str) -> None:
    assert not problems(browser, address)


def test_the_keyboard_reaches_and_scrolls_every_box(browser: Browser, address: str) -> None:
    with opened(browser, address, 390) as page:
        assert not unreached_controls(page)
        boxes = page.evaluate(
            "[...document.querySelectorAll('*')].filter(e => e.scrollWidth > e.clientWidth + 1 && "
            "getComputedStyle(e).overflowX === 'auto').map(e => e.tabIndex)"
        )
        assert len(boxes) >= 3 and set(boxes) == {0}


def test_every_state_and_the_numbers_of_the_charts_are_said_in_text(browser: Browser, address: str) -> None:
    with opened(browser, address) as page:
        text = page.locator("body").inner_text()
        for state in ("done", "running", "diverged", "failed", "waiting"):
            assert state in text
        for chart in page.get_by_role("img").all():
            label = chart.get_attribute("aria-label") or ""
            assert "curves" in label and "lowest" in label
        assert page.locator("th:not([scope])").count() == 0

"""The page of latents in a browser: search, sort and size with 4,096 latents."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from scaling.evaluation.sae import page as latents_page
from scaling.evaluation.sae.text import Subject
from tests.browser.pages import opened, problems, served, unreached_controls
from tests.support.models import VARIANTS, untrained_run
from tests.support.sae.known import known_sae, random_params

pytestmark = [pytest.mark.docs, pytest.mark.slow]
LATENTS, POSITIONS, PASSAGES = 4096, 32, 6
HOSTILE = "</script><img src=x onerror=document.title='run'>"


def known_data() -> dict[str, Any]:
    """Latent i has density (i mod 1000) / 1000 and the token i mod 40 in its passages; latent 7 has hostile text."""
    draws = np.random.default_rng(0)
    pieces = {i: f" word{i - 50_000}" for i in range(50_000, 50_040)} | {49_999: HOSTILE}
    latents = []
    for i in range(LATENTS):
        density = i % 1000 / 1000
        tokens = [50_000 + i % 40] * POSITIONS if i != 7 else [49_999] * POSITIONS
        percents = draws.integers(0, 100, POSITIONS).tolist()
        passages = [[tokens, [*percents[:20], 100, *percents[21:]], 20, 3.25]] * PASSAGES
        latents.append({
            "density": density, "mean": 1.5, "max": 1 + i / LATENTS, "cosine": 0.5, "near": [[(i + 1) % LATENTS, 0.5]],
            "effects": [[50_001, 0.5], [50_002, -0.5]], "passages": passages if density else [],
        })  # fmt: skip
    return {"pieces": pieces, "latents": latents}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the page."""
    folder: Path = tmp_path_factory.mktemp("latents")
    model = untrained_run(VARIANTS["swiglu"])
    subject = Subject(known_sae(model, random_params(model.model.width, LATENTS), layer=0), model)
    (folder / "sae.html").write_text(latents_page.render_page(subject, known_data(), 200_000))
    assert (folder / "sae.html").stat().st_size < 20e6
    with served(folder) as address:
        yield address + "sae.html"


def shown(page: Page) -> list[int]:
    """Numbers of the latents on the page, in order."""
    return [int(text.removeprefix("Latent ")) for text in page.locator("article h2").all_inner_texts()]


def test_the_fragment_searches_and_sorts(browser: Browser, address: str) -> None:
    with opened(browser, f"{address}#sort=density&order=descending&q=word39") as page:
        latents = shown(page)
        densities = [i % 1000 for i in latents]
        assert len(latents) == 40 and all(i % 40 == 39 for i in latents) and densities == sorted(densities)[::-1]
        assert page.locator("output").inner_text() == "102 of 4,096 latents, the first 40 shown"
    with opened(browser, f"{address}#q=%23123") as page:
        assert shown(page) == [123]
        page.get_by_role("link", name="124").click()
        assert shown(page) == [124]


def test_controls_search_and_sort(browser: Browser, address: str) -> None:
    with opened(browser, address) as page:
        assert shown(page)[:3] == [1, 2, 3]  # latent 0 is dead
        page.get_by_label("show dead latents").check()
        assert shown(page)[0] == 0 and "4,096 of 4,096" in page.locator("output").inner_text()
        page.get_by_label("Sort by").select_option("max")
        page.get_by_label("descending").check()
        assert shown(page)[:2] == [4095, 4094]
        page.get_by_role("button", name="Show more").click()
        assert len(shown(page)) == 80
        page.get_by_label("Search").fill("no such text")
        assert not shown(page) and "q=no+such+text" in page.url


def test_hostile_text_is_text(browser: Browser, address: str) -> None:
    with opened(browser, f"{address}#q=7") as page:
        assert shown(page) == [7] and HOSTILE in page.locator("article").inner_text()
        assert page.locator("article img").count() == 0 and page.title() != "run"


def test_it_is_readable_in_both_widths_and_schemes(browser: Browser, address: str) -> None:
    assert not problems(browser, address)
    with opened(browser, address, 390) as page:
        assert not unreached_controls(page)

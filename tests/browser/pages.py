"""Opens pages in headless Chromium and lists their problems."""

from __future__ import annotations

import contextlib
import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page

AUDIT = Path(__file__).with_name("audit.js").read_text()
WIDTHS = (390, 1280)  # pixels: a phone, and a laptop
SCHEMES = ("light", "dark")
MOST_TABS = 400
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",  # a page that asks another host gets no answer
)


class _Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Prints nothing."""


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serves a folder on this machine; yields its address, which ends in a slash."""
    handler = functools.partial(_Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def opened(browser: Browser, url: str, width: int = 1280, scheme: Any = "light", script: bool = True) -> Iterator[Page]:
    """Opens a page. When the context ends, errors of the page and requests to other hosts are failures.

    Args:
        browser: The browser.
        url: Address of the page.
        width: Width of the window in pixels.
        scheme: "light" or "dark".
        script: Whether the page may run scripts.
    """
    wrong: list[str] = []
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=script
    )
    page = context.new_page()
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
    page.on("requestfailed", lambda request: wrong.append(f"not loaded: {request.url}"))
    page.on("request", lambda request: wrong.append(f"asks {request.url}") if _is_elsewhere(request.url, url) else None)
    page.goto(url, wait_until="networkidle")
    try:
        yield page
    finally:
        context.close()
    assert not wrong, f"{url}: {wrong}"


def _is_elsewhere(asked: str, url: str) -> bool:
    parts = urlsplit(asked)
    return parts.scheme not in ("data", "blob", "about") and parts.netloc != urlsplit(url).netloc


def problems(browser: Browser, url: str) -> list[str]:
    """Problems of a page in both widths and both colour schemes."""
    found = []
    shots = {}
    for width in WIDTHS:
        for scheme in SCHEMES:
            with opened(browser, url, width, scheme) as page:
                found += [f"{width} pixels, {scheme}: {problem}" for problem in page.evaluate(AUDIT)]
                shots[width, scheme] = page.screenshot()
        if shots[width, "light"] == shots[width, "dark"]:
            found.append(f"{width} pixels: light and dark look the same")
    return found


FOCUSABLE = "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']"
MARK = f"""
  () => {{
    const shown = element => element.checkVisibility({{ visibilityProperty: true }}) && !element.disabled &&
      element.getAttribute("tabindex") !== "-1";
    const controls = [...document.querySelectorAll("{FOCUSABLE}")].filter(shown);
    controls.forEach((element, index) => element.dataset.control = index);
    return controls.length;
  }}
"""
FOCUSED = """
  () => {
    const element = document.activeElement;
    const label = element.matches("input:has(+ label)") ? [element.nextElementSibling] : [];
    const marked = [element, ...label].some(part => { // a hidden input shows its label
      const style = getComputedStyle(part);
      return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0 || style.boxShadow !== "none";
    });
    const writing = element.matches("input[type=text], input[type=search]"); // shows the caret
    return [element.dataset.control ?? null, marked || writing, element.outerHTML.slice(0, 120)];
  }
"""
UNREACHED = """
  reached => {
    const controls = [...document.querySelectorAll("[data-control]")];
    const isReached = element => reached.includes(element.dataset.control);
    const groups = controls.filter(element => element.type === "radio" && isReached(element)).map(radio => radio.name);
    return controls
      .filter(element => !isReached(element) && element.tabIndex >= 0 && !groups.includes(element.name))
      .map(element => element.outerHTML.slice(0, 120));
  }
"""


def unreached_controls(page: Page) -> list[str]:
    """Controls of a page that the Tab key does not reach, or that do not show that they have the focus."""
    count, reached, wrong = page.evaluate(MARK), [], []
    for _ in range(min(count + 10, MOST_TABS)):
        page.keyboard.press("Tab")
        control, is_marked, text = page.evaluate(FOCUSED)
        if control is None or control in reached:
            continue
        reached.append(control)
        if not is_marked:
            wrong.append(f"focus is not visible: {text}")
    return wrong + [f"not reached: {html}" for html in page.evaluate(UNREACHED, reached)]

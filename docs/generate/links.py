"""Check of the finished site: every link leads somewhere, and no page asks another host for a resource."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

RESOURCES = {  # attributes that a browser loads without a click
    "img": ("src", "srcset"), "script": ("src",), "link": ("href",), "iframe": ("src",), "source": ("src", "srcset"),
    "video": ("src", "poster"), "audio": ("src",), "object": ("data",), "embed": ("src",), "image": ("href",),
    "use": ("href",), "form": ("action",), "input": ("src",),
}  # fmt: skip
_CSS_URL = re.compile(r"""(?:url\(\s*|@import\s+(?!url))['"]?([^'")\s;]+)""")
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


@dataclass(frozen=True)
class Checked:
    """Result of a check.

    Attributes:
        pages: Number of HTML pages.
        links: Number of links and resources.
        errors: One line for each broken link and each resource of another host.
    """

    pages: int
    links: int
    errors: list[str] = field(default_factory=list)


class _Page(HTMLParser):
    """Collects the ids, links, resources and style sheets of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.resources: list[str] = []
        self.policy = False
        self._style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.ids.update(values[name] for name in ("id", "name") if name in values)
        self.policy |= values.get("http-equiv") == "Content-Security-Policy"
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        names = RESOURCES.get(tag, ())
        self.resources += [values[name].split()[0] for name in names if values.get(name, "").strip()]
        self.resources += css_resources(values.get("style", ""))
        self._style = tag == "style"

    def handle_data(self, data: str) -> None:
        if self._style:
            self.resources += css_resources(data)
            self._style = False


def css_resources(css: str) -> list[str]:
    """Returns the addresses that a style sheet loads."""
    return _CSS_URL.findall(_COMMENT.sub("", css))


def check_site(site: Path) -> Checked:
    """Checks the links and resources of every page and style sheet of a site.

    Args:
        site: Folder of the site.
    """

    @cache
    def read(path: Path) -> _Page:
        page = _Page()
        page.feed(path.read_text(encoding="utf-8"))
        return page

    def broken(page: Path, address: str) -> str | None:
        """Says what is wrong with an internal address."""
        parts = urlsplit(address)
        folder = site if parts.path.startswith("/") else page.parent  # 404.html uses addresses from the root
        target = (folder / unquote(parts.path).lstrip("/")).resolve() if parts.path else page
        target = target / "index.html" if target.is_dir() else target
        if not target.is_file():
            return f"{address}: there is no such file"
        anchor = unquote(parts.fragment)
        if anchor and target.suffix == ".html" and anchor not in read(target).ids and not anchor.startswith("__"):
            return f"{address}: {target.name} has no anchor {anchor!r}"
        return None

    pages, count, errors = sorted(site.rglob("*.html")), 0, []
    for path in pages:
        page = read(path)
        if not page.policy:
            errors.append(f"{path.relative_to(site)}: no Content-Security-Policy")
        for address in page.links + page.resources:
            count += 1
            if is_external(address):
                reason = f"{address}: loaded from another host" if address in page.resources else bad_url(address)
            elif address.startswith(("data:", "mailto:", "javascript:")):
                reason = None
            else:
                reason = broken(path, address)
            errors += [f"{path.relative_to(site)}: {reason}"] if reason else []
    for path in sorted(site.rglob("*.css")):
        for address in css_resources(path.read_text(encoding="utf-8")):
            count += 1
            if is_external(address):
                errors.append(f"{path.relative_to(site)}: {address}: loaded from another host")
    return Checked(len(pages), count, errors)


def is_external(address: str) -> bool:
    """Whether an address names a host."""
    return address.startswith("//") or urlsplit(address).scheme in ("http", "https", "ws", "wss", "ftp")


def bad_url(address: str) -> str | None:
    """Says what is wrong with the syntax of an outgoing link; None if nothing."""
    parts = urlsplit(address)
    if parts.scheme in ("http", "https") and re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+(:\d+)?", parts.netloc.lower()):
        return f"{address}: has spaces" if re.search(r"\s", address) else None
    return f"{address}: not an address of the form https://HOST/PATH"

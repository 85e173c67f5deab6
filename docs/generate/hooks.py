"""Hooks that MkDocs calls while it builds the site."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # MkDocs loads this file by its path: `docs` is not installed

from mkdocs.config.defaults import MkDocsConfig  # noqa: E402
from mkdocs.exceptions import PluginError  # noqa: E402
from mkdocs.structure.files import File, Files  # noqa: E402
from mkdocs.structure.pages import Page  # noqa: E402

from docs.generate import formulas, links, measurements, notebooks, reference  # noqa: E402

logging.getLogger("mkdocs").setLevel(logging.WARNING)  # not --quiet, which would hide warnings from strict mode


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the generated pages: the reference, and the notebooks with their outputs."""
    generated: dict[str, str | bytes] = {**reference.pages(), **notebooks.pages()}
    for path, content in generated.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Fills in the generated parts of a page."""
    return measurements.fill_markers(reference.fill(markdown, page.file.src_uri))


def on_page_content(html: str, **_: Any) -> str:
    """Replaces the formulas of a page by MathML."""
    return formulas.to_mathml(html)


def on_post_build(config: MkDocsConfig) -> None:
    """Checks every link and resource of the finished site.

    Raises:
        PluginError: A link is broken, or a page asks another host for a resource.
    """
    checked = links.check_site(Path(config.site_dir))
    if checked.errors:
        raise PluginError("\n".join(checked.errors))
    print(f"pages: {checked.pages}, links checked: {checked.links}, site: {Path(config.site_dir) / 'index.html'}")

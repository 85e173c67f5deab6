"""The documentation site: it builds strictly, describes everything that it must, and asks no other host."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import ROOT

pytest.importorskip("mkdocs")

from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.exceptions import Abort

from analysis.evals import verdict as emergence
from analysis.laws import LAWS
from analysis.uncertainty.verdicts import VERDICTS
from docs.generate import formulas, links
from docs.generate.reference import commands, laws
from docs.generate.reference.markdown import anchor
from scaling.config.exit_status import MEANINGS

pytestmark = pytest.mark.docs


def ids(page: Path) -> set[str]:
    return set(re.findall(r'\bid="([^"]+)"', page.read_text("utf-8")))


def test_every_command_has_a_section(site: Path) -> None:
    for package in commands.PACKAGES:
        found = ids(site / "reference" / "commands" / f"{package}.html")
        assert {anchor(name) for name in commands.subcommands(package)} <= found


def test_every_law_has_a_section_with_its_equations(site: Path) -> None:
    found = {name for name, _ in laws.anchors()}
    assert set().union(*laws.names_by_law().values()) == set(LAWS)
    for page, section in laws.anchors():
        assert section in ids(site / page), f"{page} has no section {section}"
    for page in found:
        assert "<math" in (site / page).read_text("utf-8")


def test_every_verdict_and_exit_status_is_explained(site: Path) -> None:
    found = ids(site / "reference" / "verdicts.html")
    assert {*VERDICTS, *(name.replace(" ", "-") for name in emergence.VERDICTS)} <= found
    assert emergence.INCONCLUSIVE_REASONS.keys() <= found
    text = (site / "reference" / "errors.html").read_text("utf-8")
    for status, (name, meaning, _) in MEANINGS.items():
        assert f"<td>{status}</td>\n<td>{name}</td>" in text and meaning.split(";")[0] in text


def test_no_formula_is_left_in_latex(site: Path) -> None:
    for page in site.rglob("*.html"):
        assert "arithmatex" not in page.read_text("utf-8"), page


@pytest.fixture
def copied(site: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of the site without its pages, but for one."""
    shutil.copytree(site / "assets", tmp_path / "assets")
    shutil.copy(site / "404.html", tmp_path / "page.html")
    shutil.copy(site / "reference" / "verdicts.html", tmp_path / "verdicts.html")
    (tmp_path / "page.html").write_text('<meta http-equiv="Content-Security-Policy"><p id="here"></p>')
    (tmp_path / "verdicts.html").write_text('<meta http-equiv="Content-Security-Policy"><p id="outliers"></p>')
    yield tmp_path


@pytest.mark.parametrize(
    ("html", "error"),
    [
        ('<a href="verdicts.html#outliers">', None),
        ('<a href="#here">', None),
        ('<a href="https://arxiv.org/abs/2203.15556">', None),
        ('<a href="absent.html">', "no such file"),
        ('<a href="verdicts.html#absent">', "no anchor"),
        ('<a href="https://arxiv/abs">', "not an address"),
        ('<img src="https://example.org/figure.png">', "another host"),
        ('<script src="//example.org/script.js"></script>', "another host"),
        ("<style>@import url(https://example.org/style.css)</style>", "another host"),
        ('<p style="background: url(https://example.org/a.png)">', "another host"),
    ],
)
def test_a_broken_link_and_a_resource_of_another_host_are_errors(copied: Path, html: str, error: str | None) -> None:
    page = copied / "page.html"
    page.write_text(page.read_text() + html)
    errors = links.check_site(copied).errors
    assert (not errors) if error is None else (len(errors) == 1 and error in errors[0])


@pytest.mark.parametrize("link", ["absent.md", "other.md#absent", "#absent"])
def test_a_page_with_a_broken_link_fails_the_build(link: str, tmp_path: Path) -> None:
    pages = tmp_path / "pages"
    pages.mkdir()
    (pages / "index.md").write_text(f"# Index\n\n[link]({link})\n")
    (pages / "other.md").write_text("# Other\n")
    settings = {"docs_dir": str(pages), "site_dir": str(tmp_path / "site"), "nav": [], "hooks": [], "plugins": []}
    config = load_config(config_file=str(ROOT / "docs" / "mkdocs.yml"), **settings, strict=True, extra_css=[])
    with pytest.raises(Abort, match="1 warnings"):
        build(config)


def test_a_formula_with_an_unknown_command_fails_the_build() -> None:
    from mkdocs.exceptions import PluginError

    assert "<mfrac>" in formulas.mathml(r"\frac{A}{N^\alpha}")
    with pytest.raises(PluginError, match="arg is not known"):
        formulas.mathml(r"\arg x")

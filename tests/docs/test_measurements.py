"""Measurement pages: every figure is filled in from a results file that says how, when and where it was made."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from docs.generate import measurements as generate
from docs.measurements import SUBJECTS, results
from docs.measurements.__main__ import main, measure
from docs.measurements.readme import README, with_table
from docs.measurements.session import Session
from tests.support.commands import PUBLISHED, ROOT

PAGES = ROOT / "docs" / "pages" / "measurements"
PATH = re.compile(r"/(tmp|work|root|home|mnt)/")


def test_every_subject_has_a_page_and_results_and_nothing_else_has() -> None:
    assert {path.stem for path in PAGES.glob("*.md")} - {"index"} == set(SUBJECTS)
    assert {path.stem for path in (PAGES / "results").glob("*.json")} == set(SUBJECTS)
    listed = (PAGES / "index.md").read_text()
    assert all(f"]({name}.md)" in listed for name in SUBJECTS)


@pytest.mark.parametrize("name", SUBJECTS)
def test_a_page_says_how_its_figures_were_made_before_it_shows_a_table(name: str) -> None:
    page = (PAGES / f"{name}.md").read_text()
    markers = [match.groups() for match in generate.MARKER.finditer(page)]
    assert {subject for _, subject, _ in markers} == {name}
    kinds = [kind for kind, _, _ in markers if kind != "value"]
    assert kinds[0] == "made" and kinds.count("made") == 1 and "table" in kinds
    shown = {key or "main" for kind, _, key in markers if kind == "table"}
    assert shown == set(generate.read_results(name)["tables"])
    assert "{{" not in generate.fill_markers(page)
    figures = set(re.findall(r"\(figures/([a-z-]+\.png)\)", page))
    assert all((PAGES / "figures" / figure).is_file() for figure in figures)


@pytest.mark.parametrize("name", SUBJECTS)
def test_results_name_their_commands_date_machine_and_commit_and_no_path(name: str) -> None:
    text = results.results_path(name).read_text()
    content = json.loads(text)
    assert not PATH.search(text)
    assert content["name"] == name and content["seconds"] > 0
    assert re.fullmatch(r"20\d\d-\d\d-\d\d \d\d:\d\d", content["date"])
    assert content["machine"]["processor"] and content["machine"]["cores"] and content["machine"]["jax"]
    for entry in content["commands"]:
        assert entry["command"].startswith("python -m ") and re.fullmatch(r"[0-9a-f]{40}", entry["commit"])
    for table in content["tables"].values():
        assert table["rows"] and all(len(row) == len(table["columns"]) for row in table["rows"])


def test_every_figure_of_the_pages_is_shown() -> None:
    pages = "".join(path.read_text() for path in PAGES.glob("*.md"))
    assert all(f"(figures/{figure.name})" in pages for figure in (PAGES / "figures").iterdir())


def test_the_command_lists_every_subject(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1].removeprefix("measure-") for line in lines] == list(SUBJECTS)
    assert "measure-%:" in (ROOT / "Makefile").read_text()


@pytest.mark.parametrize(
    ("cell", "format", "text"),
    [
        (0.5, ".0%", "50%"),
        (-3.2e-9, ".2g", "−3.2e−9"),
        (12345, ",", "12,345"),
        (None, ".2f", ""),
        ([1.5, 1.0, None], ".2f", "1.50 [1.00, none]"),
        ("a|b", "", "a\\|b"),
    ],
)
def test_cells_are_rounded_where_they_are_shown(cell: results.Cell, format: str, text: str) -> None:
    assert generate.cell_text(cell, format) == text


@pytest.mark.docs
@pytest.mark.parametrize("name", ["coverage", "planning-speed"])
def test_a_small_measurement_runs_for_real(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "PAGES", tmp_path)
    generate.read_results.cache_clear()
    session = Session(tmp_path / "store", PUBLISHED, tmp_path, small=True)
    results.write_results(name, measure(name, session), session.about())
    page = generate.fill_markers((PAGES / f"{name}.md").read_text())
    generate.read_results.cache_clear()
    assert "{{" not in page and f"`make measure-{name}`" in page
    assert page.count("python -m ") >= len(session.commands) > 0


def test_the_table_of_the_readme_is_that_of_the_published_fits() -> None:
    text = README.read_text()
    assert with_table(text) == text
    assert with_table(text.replace("| 1.8", "| 1.9")) == text  # an edited figure is replaced

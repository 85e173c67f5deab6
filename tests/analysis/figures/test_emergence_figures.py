"""Figures and the report of abilities: what is drawn is what was found, and the report has it where there are items."""

from __future__ import annotations

import csv
import dataclasses
import html
import json
import re
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from analysis.data.record_cache import StoreSnapshot
from analysis.errors import DataError
from analysis.figures import save, style
from analysis.figures.evals import common
from analysis.figures.options import FigureOptions
from analysis.figures.source import Source, load
from analysis.fitting.options import FitOptions
from analysis.report import build, evals
from analysis.report.pictures import Picture
from tests.support import items_store

NAMES = ("emergence", "metrics", "accuracy-loss", "shots")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return items_store.build(tmp_path_factory.mktemp("abilities") / "store", items=60, shots=(1, 2)).root


@pytest.fixture(scope="module")
def source(store: Path) -> Source:
    return common.read(store)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_holds_the_numbers_that_were_found(source: Source, name: str, tmp_path: Path) -> None:
    out = save.save_figure(source, name, tmp_path / f"{name}.pdf", FigureOptions(width="column"))
    assert out.read_bytes().startswith(b"%PDF") and b"/Type3" not in out.read_bytes()
    rows = rows_of(tmp_path / f"{name}.data.csv")
    plotted = {round(float(row["y"]), 9) for row in rows if row["mark"] == "point"}
    finding = next(o for o in common.emergence_study(source).findings if o.task.name == "addition-4@0")
    assert finding.score is not None and {round(float(y), 9) for y in finding.score.mean} <= plotted
    about = json.loads((tmp_path / f"{name}.about.json").read_text())
    assert about["command"].startswith(f"python -m analysis figure {name} {Path(source.name).name} --out")


def test_chance_is_drawn_where_it_is(source: Source, tmp_path: Path) -> None:
    save.save_figure(source, "emergence", tmp_path / "e.svg")
    rows = rows_of(tmp_path / "e.data.csv")
    panel = next(row["panel"] for row in rows if row["series"] == "accuracy of choice")
    level = {float(row["y"]) for row in rows if row["panel"] == panel and row["series"] == "chance"}
    assert level == {0.25}


@pytest.mark.parametrize(("interval", "lines"), [((44.0, 45.0), 0), ((44.0, 44.0), 1)])
def test_the_interval_of_a_changepoint_is_visible_if_it_is_one_point(
    source: Source, interval: tuple[float, float], lines: int
) -> None:
    finding = next(o for o in common.emergence_study(source).findings if o.verdict.verdict == "break")
    assert finding.verdict.score is not None
    score = dataclasses.replace(finding.verdict.score, interval=interval)
    finding = dataclasses.replace(finding, verdict=dataclasses.replace(finding.verdict, score=score))
    axes = Figure().add_subplot()
    common.shade_changepoint(axes, finding, "C")
    assert len(axes.get_lines()) == lines and len(axes.patches) == 1


def test_no_two_panels_are_called_alike() -> None:
    names = [style.panel_label(i) for i in range(60)]
    assert names[:2] == ["a", "b"] and names[25:28] == ["z", "aa", "ab"] and len(set(names)) == 60


def test_what_cannot_be_drawn_is_said(tmp_path: Path) -> None:
    plain = items_store.build(tmp_path / "plain", items=20)
    with pytest.raises(DataError, match="at least 3 different numbers of shots"):
        save.save_figure(plain.root, "shots", tmp_path / "s.pdf")


def words(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", "", page))


def test_the_section_of_a_report_has_every_verdict_and_why(store: Path, source: Source) -> None:
    evaluated = Source(str(store), source.points, store=StoreSnapshot(store), results=source.results)
    assert list(evals.figure_titles(evaluated)) == list(NAMES)
    section = evals.describe_evaluations(evaluated, [Picture(name, name) for name in (*NAMES, "curves")])
    assert section is not None and [picture.name for picture in section.pictures] == list(NAMES)
    rows = {row[0]: row for row in section.table.rows}
    for finding in common.emergence_study(source).findings:
        row = rows[finding.task.name]
        assert row[1] == finding.verdict.verdict and finding.verdict.reason[1:] in row[-1]


def test_a_store_without_items_has_no_such_section(source: Source, tmp_path: Path) -> None:
    bare = Source(str(tmp_path), source.points, store=StoreSnapshot(tmp_path))
    assert evals.figure_titles(bare) == {} and evals.describe_evaluations(bare, []) is None


@pytest.mark.slow
def test_the_report_has_the_section_where_runs_were_evaluated(store: Path, tmp_path: Path) -> None:
    page_text = words(build.write_report(load(store, FitOptions(bootstrap=100)), tmp_path).read_text())
    assert "Evaluations" in page_text and "switch" in page_text
    for name in NAMES:
        assert (tmp_path / "figures" / f"{name}.pdf").is_file()

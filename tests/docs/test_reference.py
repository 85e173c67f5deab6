"""The reference is complete: what the code has, its pages describe."""

from __future__ import annotations

import ast
import dataclasses
import io
import json
import re
import tarfile

import pyarrow.parquet as pq
import pytest

from analysis.evals import verdict as emergence
from analysis.figures.registry import FIGURES
from docs.generate.reference import fields, interface, laws, markdown, parts
from scaling.config.placement import Placement
from tests.support.commands import ROOT

PAGES = ROOT / "docs" / "pages"


@pytest.mark.parametrize("cls", [*parts.CONFIGS, Placement], ids=lambda cls: cls.__name__)
def test_every_field_of_a_config_says_what_it_means(cls: type) -> None:
    comments = fields.field_comments(cls)
    assert not [field.name for field in dataclasses.fields(cls) if not comments.get(field.name)]


def test_every_option_says_what_it_means() -> None:
    assert interface.options_page().count("|  |\n") == 0


def test_every_input_and_parameter_of_a_law_says_what_it_means() -> None:
    for names in laws.names_by_law().values():
        assert laws.section(names)  # a KeyError names an argument without a description


def test_every_reason_of_an_inconclusive_verdict_is_explained() -> None:
    source = (ROOT / "analysis" / "evals" / "verdict.py").read_text("utf-8")
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    codes = {c.args[1].value for c in calls if getattr(c.func, "id", "") == "_inconclusive" and len(c.args) > 1}
    assert codes == set(emergence.INCONCLUSIVE_REASONS)


def test_every_value_of_a_record_and_every_column_of_a_curve_is_described() -> None:
    page = (PAGES / "reference" / "store.md").read_text("utf-8")
    described = set(re.findall(r"`(\w+)`", page))
    with tarfile.open(ROOT / "tests" / "golden" / "store.tar.xz") as store:
        contents = {member.name: store.extractfile(member).read() for member in store if member.isfile()}  # type: ignore[union-attr]
    records = [json.loads(data) for name, data in contents.items() if name.endswith("record.json")]
    sweeps = [json.loads(data) for name, data in contents.items() if "/sweeps/" in f"/{name}"]
    curves = [pq.read_table(io.BytesIO(data)) for name, data in contents.items() if name.endswith("curve.parquet")]
    assert records and sweeps and curves
    assert {key for record in records for key in record["about"]} <= described
    assert {key for sweep in sweeps for run in sweep["runs"] for key in run} <= described
    assert {column for curve in curves for column in curve.column_names} <= described


def test_every_figure_has_a_section() -> None:
    assert all(f"## {name} {{" in parts.PARTS["figures"]() for name in FIGURES)


def test_every_page_is_in_the_navigation() -> None:
    listed = set(re.findall(r"[\w/-]+\.md", (ROOT / "docs" / "mkdocs.yml").read_text("utf-8")))
    assert not {page.relative_to(PAGES).as_posix() for page in PAGES.rglob("*.md")} - listed


@pytest.mark.parametrize("text", ["a | b", "N_c*", "<b>", "$x$", "[link](x)", "C^a", "a & b", "{x}", "~y~", "#1"])
def test_escaped_text_has_no_meaning_in_markdown(text: str) -> None:
    import markdown as python_markdown

    html = python_markdown.markdown(
        markdown.table(("head",), [(markdown.escape(text),)]), extensions=["tables", "attr_list"]
    )
    cell = re.search("<td>(.*)</td>", html)
    assert cell is not None and not re.search("<", cell[1])

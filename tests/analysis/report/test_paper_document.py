"""The sample document: LaTeX compiles it for each venue and from hostile names, and `make` gives the same PDF again."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from pypdf import PdfReader

from analysis import FitOptions, PaperOptions, write_paper
from analysis.data.record_cache import StoreSnapshot
from analysis.laws import LAWS
from analysis.paper import latex
from analysis.paper.options import VENUES
from analysis.studies.forecast.forecast import forecast_run
from analysis.studies.forecast.options import ForecastOptions
from analysis.studies.forecast.seals import seal_forecast
from scaling.config.run import dumps
from tests.analysis.report.test_paper import contents, write_table
from tests.support import known_store
from tests.support.commands import ROOT

pytestmark = pytest.mark.slow
OPTIONS = FitOptions(bootstrap=100)


@pytest.fixture(scope="module", autouse=True)
def pdflatex() -> str:
    path = shutil.which("pdflatex")
    if path is None:
        pytest.skip("no pdflatex: apt-get install texlive-latex-recommended")
    return path


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two sealed forecasts, of which one has its run."""
    folder = tmp_path_factory.mktemp("zq-folder")
    built = known_store.build(folder / "S", rows=20)
    for seed in range(2):
        target = replace(known_store.config(160, 6, 9e14), seed=seed)
        (folder / "target.json").write_text(dumps(target))
        options = ForecastOptions(target_run=str(folder / "target.json"), law=("chinchilla",))
        seal_forecast(built, forecast_run(StoreSnapshot(built.root), options, OPTIONS), ["--law", "chinchilla"])
        if seed == 0:
            built.write(known_store.record(target, "done", 1.75, host="zq-host-417"))
    return built.root


def make(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    line = ["make", f"PYTHON={sys.executable}", *words]
    return subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False)


def without_commit(files: dict[str, bytes]) -> dict[str, bytes | dict]:
    """Files of a paper, without the commit of the code, which may change while the test runs."""
    facts = json.loads(files["provenance.json"])
    return {**files, "provenance.json": {name: value for name, value in facts.items() if name != "code"}}


def assert_outlines(pdf: Path) -> int:
    """Fonts of a PDF are embedded, and none is of bitmaps or of procedures (Type 3)."""
    pages = PdfReader(pdf).pages
    for page in pages:
        forms = [page, *(o.get_object() for o in page["/Resources"].get("/XObject", {}).values())]
        for font in (f.get_object() for form in forms for f in form.get("/Resources", {}).get("/Font", {}).values()):
            assert font["/Subtype"] != "/Type3"
            (child,) = [c.get_object() for c in font.get("/DescendantFonts", [font])]
            assert {"/FontFile", "/FontFile2", "/FontFile3"} & child["/FontDescriptor"].keys()
    return len(pages)


def test_make_rebuilds_the_same_paper_of_a_store(store: Path, tmp_path: Path) -> None:
    paper = write_paper(store, store.parent / "paper", PaperOptions("icml"), OPTIONS).parent
    assert make(paper, "pdf").returncode == 0
    before = contents(paper)
    ran = make(paper)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert without_commit(contents(paper)) == without_commit(before) and "paper.log" not in before
    assert assert_outlines(paper / "paper.pdf") > 4
    text = " ".join(page.extract_text() for page in PdfReader(paper / "paper.pdf").pages)
    for words in ("Anonymous authors", "starts agree", "bootstrap samples", "Sealed forecasts", "were sealed before"):
        assert words in " ".join(text.split())
    for name, data in before.items():
        for word in ("zq-folder", str(store.parent), str(Path.home()), "zq-host-417"):
            assert word.encode() not in data, (name, word)
    macros = dict(re.findall(r"\\newcommand\{\\(\w+)\}\{(.*)\}%", (paper / "macros.tex").read_text()))
    assert macros["ForecastsScored"] == "1" and macros["ForecastOneMeasured"] == "1.7500"
    assert macros["ForecastTwoLossUnit"] == "nats per token" and "ForecastTwoMeasured" not in macros


@pytest.mark.parametrize("venue", VENUES)
def test_hostile_names_compile_and_are_printed(venue: str, tmp_path: Path) -> None:
    source = write_table(tmp_path / "a$#%&_'\\b.csv")
    paper = write_paper(source, tmp_path / "p", PaperOptions(venue, ("power-n", "chinchilla-2")), OPTIONS).parent
    ran = make(paper, "pdf")
    assert ran.returncode == 0, ran.stdout
    assert_outlines(paper / "paper.pdf")
    text = PdfReader(paper / "paper.pdf").pages[0].extract_text()
    assert "a$#%&" in text


def test_an_error_of_latex_is_shown_and_fails(tmp_path: Path) -> None:
    paper = write_paper(
        write_table(tmp_path / "r.csv"), tmp_path / "p", PaperOptions(laws=("power-n",)), OPTIONS
    ).parent
    (paper / "methods.tex").write_text(r"\undefined")
    ran = make(paper, "pdf")
    assert ran.returncode != 0 and "Undefined control sequence" in ran.stdout
    assert make(paper, "results", "SOURCE=").returncode != 0


def test_every_character_and_the_equation_of_every_law_compile(pdflatex: str, tmp_path: Path) -> None:
    tables = (latex.SPECIAL, latex.TEXT, latex.MATH, latex.SUPERSCRIPTS)
    characters = [
        *map(chr, range(32, 127)),
        *(letter for table in tables for letter in table),
        *"äéñçőşḍẖÅαΩ中\x1b\u202e",
    ]
    lines = [f"x{latex.escape(character)}y {latex.symbol(f'a_{i}')}" for i, character in enumerate(characters)]
    lines += [f"${equation}$" for law in LAWS.values() for equation in law.latex]
    body = "\n\n".join(lines)
    document = rf"\documentclass{{article}}\usepackage{{amsmath}}\begin{{document}}{body}\end{{document}}"
    (tmp_path / "all.tex").write_text(document, encoding="ascii")
    line = [pdflatex, "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    ran = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0 and "Missing character" not in (tmp_path / "all.log").read_text(), ran.stdout
    assert_outlines(tmp_path / "all.pdf")

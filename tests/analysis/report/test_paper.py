"""A paper's files: numbers as the fit has them, the same bytes from the same source, nothing of the machine in them."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from pypdf import PdfReader

from analysis import FitOptions, PaperOptions, format, write_paper
from analysis.errors import DataError
from analysis.figures.source import load
from analysis.paper.latex import booktabs, escape, symbol
from analysis.paper.macros import all_macros, macro_name
from analysis.paper.methods import methods
from analysis.paper.provenance import make_text, published_findings, relative_name, sha256
from analysis.report.findings import fit_laws
from analysis.report.html import Table
from tests.support.commands import call_command

OPTIONS = FitOptions(bootstrap=100)
LAWS = PaperOptions(laws=("chinchilla",))
NAMES = (r"\input{/etc/passwd}", "}}$$&&##%%", "x\n\\end{document}", "a^b_c~", "中文 Ünï", "\x1b[31m", "[*]--''`<>|\"")


def write_table(path: Path, factor: float = 1.0) -> Path:
    """25 runs with hostile names, of which one is an outlier."""
    random = np.random.default_rng(0)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["run", "N", "D", "L"])
        for i, (N, D) in enumerate((N, D) for N in np.geomspace(1e7, 1e9, 5) for D in np.geomspace(1e9, 1e11, 5)):
            loss = (1.69 + 406 / N**0.34 + 410 / D**0.28) * np.exp(0.003 * random.normal())
            writer.writerow([NAMES[i % len(NAMES)] + str(i), N, D, loss * (1.3 if i == 2 else factor if i == 9 else 1)])
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("zq-folder")


@pytest.fixture(scope="module")
def table(folder: Path) -> Path:
    return write_table(folder / "ru ns_$1.csv")


@pytest.fixture(scope="module")
def paper(table: Path, folder: Path) -> Path:
    return write_paper(table, folder / "paper", LAWS, OPTIONS).parent


@pytest.fixture(scope="module")
def findings(table: Path):
    return published_findings(fit_laws(load(table, OPTIONS), ("chinchilla",)))


def test_an_unchanged_source_gives_the_same_bytes_from_any_folder(
    paper: Path, table: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(paper)
    monkeypatch.chdir(paper)
    again = call_command(
        "analysis", "paper", f"../{table.name}", "--out", ".", "--law", "chinchilla", "--bootstrap", 100
    )
    assert again.returncode == 0 and again.stdout == "paper.tex\n", again.stderr
    assert contents(paper) == before and len(before) > 10


def test_a_changed_source_changes_the_macros(paper: Path, tmp_path: Path) -> None:
    changed = fit_laws(load(write_table(tmp_path / "runs.csv", factor=1.05), OPTIONS), ("chinchilla",))
    old = (paper / "macros.tex").read_text()
    new = [
        macro for macro in all_macros(changed) if rf"\newcommand{{\{macro.name}}}{{{escape(macro.text)}}}" not in old
    ]
    assert {"ChinchillaAlpha", "ChinchillaEInterval", "ChinchillaAtTenN"} <= {macro.name for macro in new}


def test_macros_are_the_numbers_of_the_fit_as_the_report_rounds_them(findings) -> None:
    macros = {macro.name: macro.text for macro in all_macros(findings)}
    fit = findings.fits["chinchilla"]
    for name, value in fit.params.items():
        stem = f"Chinchilla{macro_name(name)}"
        assert macros[stem] == format.number(value, fit.intervals[name])
        assert macros[f"{stem}Interval"] == format.interval_text(fit.intervals[name])
    assert macros["ChinchillaEEstimate"] == f"{format.estimate(fit.params['E'], fit.intervals['E'])} nats per token"
    optimum = fit.optimum.at(10 * fit.optimum.largest)
    assert macros["ChinchillaAtTenNEstimate"].startswith(
        format.estimate(optimum["N"], optimum["intervals"]["N"], format.count)
    )
    assert macros["RunsCount"] == "25" and macros["ChinchillaVerdict"].startswith("outliers")
    assert all(re.fullmatch("[A-Za-z]+", name) for name in macros) and len(macros) == len(all_macros(findings))


def test_the_name_of_a_macro_is_letters() -> None:
    assert macro_name("chinchilla-2", "G_N") == "ChinchillaTwoGN"
    assert macro_name("over-training", "a") != macro_name("over-training", "A")
    assert macro_name("at", "10") == "AtTen" and macro_name("m", "α") == "SmallMAlpha"


def test_the_methods_state_counts_objective_starts_intervals_and_every_warning(findings) -> None:
    text = methods(findings)
    fit = findings.fits["chinchilla"]
    assert len(fit.verdict) >= 1 and all(f"({line.partition(':')[0]})" in text for line in fit.verdict)
    for part in ("25 runs", "N: as in column N", r"C: 6\ensuremath{\cdot}N", "Huber's loss", "0.001", "starts agree",
                 r"95\% intervals", "100 bootstrap samples"):  # fmt: skip
        assert part in text, part


def test_text_of_the_source_is_printed_and_never_run(paper: Path) -> None:
    for name, data in contents(paper).items():
        if name.endswith(".tex"):
            text = data.decode("ascii")
            assert not re.search(r"\\(input\{/|end\{document\}\d|x1b)", text), name
            assert "\x1b" not in text
    runs = (paper / "tables" / "runs.tex").read_text()
    assert r"\textbackslash{}input\{" in runs and "[U+4E2D]" in runs
    assert r"\ensuremath{\mathdollar}\ensuremath{\mathdollar}\&\&\#\#\%\%" in runs


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        (
            "-0.5 [-1.2×10⁻⁵, 3.2e+18]",
            r"\ensuremath{-0.5} [\ensuremath{-1.2\times10^{-5}}, \ensuremath{3.2\times10^{18}}]",
        ),
        ("run-12 --by a_b", r"run-12 -{}-by a\_b"),
        ("α ≤ 45%", r"\ensuremath{\alpha} \ensuremath{\leq} 45\%"),
        ("Łódź", r"\L{}\'{o}d\'{z}"),
        ("12e45 34e+4567", "12e45 34e+4567"),
    ],
)
def test_numbers_and_letters_become_latex(text: str, latex: str) -> None:
    assert escape(text) == latex


def test_a_row_that_begins_with_a_bracket_is_no_option_of_the_row_above() -> None:
    lines = booktabs(Table(("a", "b"), "tn", [("x", "1"), ("[*]", "2"), ("*", "3")])).split("\n")
    assert lines[5].startswith("{}[*]") and lines[6].startswith("{}*")
    assert symbol("alpha_N") == r"\ensuremath{\alpha_{\mathrm{N}}}" and symbol("x}y") == r"x\}y"


@pytest.mark.slow
def test_figures_have_the_width_of_the_venue_and_embedded_outlines(table: Path, tmp_path: Path) -> None:
    out = write_paper(table, tmp_path / "p", PaperOptions("nature", ("chinchilla",)), OPTIONS).parent
    widths = {path.name: float(PdfReader(path).pages[0].mediabox.width) for path in (out / "figures").glob("*.pdf")}
    for name, width in widths.items():
        assert width == pytest.approx(72 * (3.5 if "column" in name else 7.2), abs=0.1)
        fonts = PdfReader(out / "figures" / name).pages[0]["/Resources"]["/Font"].values()
        for font in fonts:
            assert font.get_object()["/Subtype"] != "/Type3"
            for child in font.get_object().get("/DescendantFonts", []):
                assert "/FontFile2" in child.get_object()["/FontDescriptor"]
    assert {"law.pdf", "law-column.pdf", "parity.pdf", "parity-column.pdf"} == set(widths)


def test_provenance_states_hashes_and_nothing_of_the_machine(paper: Path, table: Path, folder: Path) -> None:
    facts = json.loads((paper / "provenance.json").read_bytes())
    assert facts["source"] == {"name": table.name, "sha256": sha256(table.read_bytes())}
    files = contents(paper)
    assert facts["files"] == {name: sha256(data) for name, data in sorted(files.items()) if name != "provenance.json"}
    assert {"python", "numpy", "scipy"} <= facts["versions"].keys() and facts["points"]["count"] == 25
    for name, data in files.items():
        for word in ("zq-folder", str(folder), str(Path.home())):
            assert word.encode() not in data, (name, word)


def test_the_makefile_names_a_source_beside_the_paper_and_no_other_folder(paper: Path, tmp_path: Path) -> None:
    assert "SOURCE ?= '../ru ns_$$1.csv'\n" in (paper / "Makefile").read_text()
    assert relative_name(tmp_path / "a" / "runs.csv", tmp_path / "b" / "c") is None
    assert make_text(["a#$b", "c"]) == r"'a\#$$b' c"


@pytest.mark.slow
def test_a_changed_sample_stays_and_files_of_an_earlier_paper_go(paper: Path, table: Path, tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    for name in ("paper.tex", "Makefile", "provenance.json"):
        (tmp_path / name).write_bytes((paper / name).read_bytes())
    (tmp_path / "paper.tex").write_text("mine")
    for name in ("old", "edited"):
        (tmp_path / "tables" / f"{name}.tex").write_text(name)
    facts = json.loads((tmp_path / "provenance.json").read_bytes())
    facts["files"] |= {f"tables/{name}.tex": sha256(b"old") for name in ("old", "edited")}
    facts["files"]["../outside.tex"] = sha256(b"old")
    (tmp_path / "provenance.json").write_text(json.dumps(facts))
    write_paper(table, tmp_path, LAWS, OPTIONS)
    assert (tmp_path / "paper.tex").read_text() == "mine"
    assert not (tmp_path / "tables" / "old.tex").exists() and (tmp_path / "tables" / "edited.tex").exists()
    assert "paper.tex" not in json.loads((tmp_path / "provenance.json").read_bytes())["files"]


@pytest.mark.slow
def test_a_paper_never_replaces_its_source(paper: Path, tmp_path: Path) -> None:
    source = tmp_path / "points.csv"
    source.write_bytes((paper / "points.csv").read_bytes())
    before = source.read_bytes()
    with pytest.raises(DataError, match="is the source and would be overwritten"):
        write_paper(source, tmp_path, LAWS, OPTIONS)
    assert source.read_bytes() == before


@pytest.mark.slow
def test_a_law_of_the_user_gives_the_same_bytes_from_any_folder(
    table: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the name of the law nor its source in the methods has a folder."""
    (folder / "laws").mkdir()
    (folder / "laws" / "my_law.py").write_text(
        "def cubic(N, D, *, E=1.5, A=(1.0, 100.0), a_1=0.3):\n    return E + A * N**-a_1 + 400 * D**-0.28\n"
    )
    out = write_paper(table, folder / "own", PaperOptions(laws=(f"{folder}/laws/my_law.py:cubic",)), OPTIONS).parent
    before = contents(out)
    monkeypatch.chdir(folder)
    write_paper(table.name, "own", PaperOptions(laws=("laws/my_law.py:cubic",)), OPTIONS)
    assert contents(out) == before
    assert rb"\CubicAOne}" in before["macros.tex"] and b"(my\\_law.py:cubic)" in before["methods.tex"]
    assert not [name for name, data in before.items() if b"zq-folder" in data]


def test_bad_options_are_one_line(table: Path, tmp_path: Path) -> None:
    for words, text in ((("--venue", "acl"), "must be one of neurips"), (("--law", "nothing"), "must be one of")):
        result = call_command("analysis", "paper", table, "--out", tmp_path / "p", *words)
        assert result.returncode == 2 and text in result.stderr and result.stderr.count("\n") == 1
    assert not (tmp_path / "p").exists()

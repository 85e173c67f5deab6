"""Figures: same bytes each time, fonts a venue takes, the data beside them, a line instead of a traceback."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from analysis.errors import DataError
from analysis.figures import plot, registry, save
from analysis.figures.source import Source, load
from analysis.fitting.options import FitOptions
from tests.support.known_store import BUDGETS, build

OPTIONS = FitOptions(bootstrap=100)  # the least that is allowed
ABILITIES = ("emergence", "metrics", "accuracy-loss", "shots", "calibration", "extraction")
OTHERS = (
    "transfer",
    "attention",
    "coordinates",
    "grokking",
    "double-descent",
    "forecasts",
    "sae-loss",
    "sae-exponents",
    "sae-pareto",
    "sae-density",
    *ABILITIES,
)  # have their own tests
FIGURES = [name for name in registry.FIGURES if name not in OTHERS]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("figures") / "store", extras=True, rows=40).root


@pytest.fixture(scope="module")
def source(store: Path) -> Source:
    return load(store, OPTIONS)


@pytest.fixture(scope="module")
def second_source(store: Path) -> Source:
    """The same store read and fitted a second time."""
    return load(store, OPTIONS)


@pytest.fixture(scope="module")
def table(source: Source, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store's points as a CSV that knows nothing of runs or budgets."""
    path = tmp_path_factory.mktemp("table") / "runs.csv"
    rows = zip(source.points.N, source.points.D, source.points.L, strict=True)
    path.write_text("params,tokens,loss\n" + "".join(f"{N},{D},{L}\n" for N, D, L in rows))
    return path


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_draws_from_a_store_with_fonts_embedded_and_none_of_type_3(
    source: Source, name: str, tmp_path: Path
) -> None:
    out = save.save_figure(source, name, tmp_path / f"{name}.pdf")
    assert out.read_bytes().startswith(b"%PDF")
    check_fonts(out)
    rows = rows_of(tmp_path / f"{name}.data.csv")
    assert rows
    about = json.loads((tmp_path / f"{name}.about.json").read_text())
    assert about["source"] == Path(source.name).name
    assert about["command"].startswith(f"python -m analysis figure {name} {Path(source.name).name} --out")


def test_a_figure_saved_by_its_own_method_has_the_same_fonts(source: Source, tmp_path: Path) -> None:
    """`plot(fit, "law").savefig("law.pdf")` as in the README, with Matplotlib's default settings (Type 3 fonts)."""
    figure = plot(source.fit("chinchilla"), "law")
    figure.savefig(tmp_path / "law.pdf")
    check_fonts(tmp_path / "law.pdf")


def check_fonts(out: Path) -> None:
    from pypdf import PdfReader

    fonts = [font.get_object() for page in PdfReader(out).pages for font in page["/Resources"]["/Font"].values()]
    assert fonts
    for font in fonts:
        assert font["/Subtype"] != "/Type3"
        inner = font["/DescendantFonts"][0].get_object() if "/DescendantFonts" in font else font
        assert "/FontFile2" in inner["/FontDescriptor"].get_object()


def test_a_notebook_shows_a_figure_as_an_image_of_its_width_without_pyplot(source: Source) -> None:
    figure = plot(source.fit("chinchilla"), "law", width="column")
    image, shown = figure._repr_png_()  # type: ignore[attr-defined]
    assert image.startswith(b"\x89PNG") and image == figure._repr_png_()[0]  # type: ignore[attr-defined]
    assert shown["width"] == pytest.approx(3.25 * 120)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("isoflop", "pdf"),
        ("isoflop", "png"),
        *(pytest.param(n, "svg", marks=[] if n == "contours" else [pytest.mark.slow]) for n in FIGURES),
    ],
)
def test_the_same_source_gives_the_same_bytes_whenever(
    source: Source, second_source: Source, name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_values = []
    for day, loaded in enumerate((source, second_source), 1):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", str(day * 86_400))  # what a figure would take for today
        made_values.append(save.render(save.draw(name, loaded), kind))
    assert made_values[0] == made_values[1]


@pytest.fixture(scope="module")
def table_source(table: Path) -> Source:
    return load(table, OPTIONS)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=[] if n == "kaplan" else [pytest.mark.slow])
        for n in FIGURES
        if n not in ("curves", "collapse")
    ],
)
def test_a_table_of_results_draws_too(table_source: Source, name: str, tmp_path: Path) -> None:
    assert save.save_figure(table_source, name, tmp_path / f"{name}.svg").read_text().startswith("<?xml")


@pytest.mark.parametrize("name", ["curves", "collapse"])
def test_curves_of_a_table_are_an_error_that_says_why(table: Path, name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no learning curves: give a store"):
        save.save_figure(table, name, tmp_path / "curves.pdf")
    assert not list(tmp_path.iterdir())


def test_the_data_beside_a_figure_are_what_it_shows(source: Source, tmp_path: Path) -> None:
    save.save_figure(source, "parity", tmp_path / "parity.png")
    rows = [r for r in rows_of(tmp_path / "parity.data.csv") if r["series"].startswith("runs")]
    shown = sorted((float(r["x"]), float(r["y"])) for r in rows)
    points = source.points
    expected = source.fit("chinchilla").predict(N=points.N, D=points.D)
    np.testing.assert_allclose(shown, sorted(zip(points.L, expected, strict=True)), rtol=1e-12)


def test_a_band_is_written_down_with_both_its_edges(source: Source, tmp_path: Path) -> None:
    save.save_figure(source, "kaplan", tmp_path / "kaplan.svg")
    rows = [r for r in rows_of(tmp_path / "kaplan.data.csv") if r["mark"] == "band"]
    law = [r for r in rows if r["panel"] == "a" and r["series"].startswith("power law, ")]
    x, low, high = (np.array([float(r[k]) for r in law]) for k in ("x", "y", "y_high"))
    expected = source.fit("kaplan-c").predict_interval(C=x)
    np.testing.assert_allclose((low, high), expected, rtol=1e-9)


def test_one_mark_for_each_budget_has_a_minimum(source: Source, tmp_path: Path) -> None:
    save.save_figure(source, "isoflop", tmp_path / "isoflop.svg")
    rows = rows_of(tmp_path / "isoflop.data.csv")
    minima = [r for r in rows if r["panel"] == "a" and r["series"].startswith("minimum")]
    assert len(minima) == len(BUDGETS)


@pytest.mark.parametrize(("name", "out", "message"), [
    ("kaplans", "a.pdf", "must be one of kaplan, curves, isoflop, contours, parity"),
    ("kaplan", "a.tiff", "must end in one of .pdf, .png, .svg"),
])  # fmt: skip
def test_what_cannot_be_asked_for_is_one_line(
    source: Source, tmp_path: Path, name: str, out: str, message: str
) -> None:
    with pytest.raises(DataError, match=message) as error:
        save.save_figure(source, name, tmp_path / out)
    assert "\n" not in str(error.value)


def test_a_source_is_never_overwritten_by_a_figures_data(table: Path, tmp_path: Path) -> None:
    own_path = tmp_path / "kaplan.data.csv"
    own_path.write_bytes(table.read_bytes())
    with pytest.raises(DataError, match="would be overwritten"):
        save.save_figure(own_path, "kaplan", tmp_path / "kaplan.pdf", options=OPTIONS)
    assert own_path.read_bytes() == table.read_bytes()


@pytest.mark.parametrize("span", [1.05, 1.5, 3, 8, 12, 100, 1e4, 1e9])
@pytest.mark.parametrize("low", [1.7, 2.9, 9.3, 8.8e5, 1e18])
@pytest.mark.parametrize("want", [2, 4, 8])
def test_a_log_axis_has_labels_however_little_it_spans(low: float, span: float, want: int) -> None:
    from analysis.figures.style import log_label, log_ticks

    major, minor = log_ticks(low, low * span, want)
    assert 2 <= len(major) <= want + 2
    assert all(low * (1 - 1e-9) <= v <= low * span * (1 + 1e-9) for v in major)
    assert not set(major) & set(minor)
    assert len({log_label(v, major) for v in major}) == len(major)


def test_smoothing_keeps_the_mean_and_the_order() -> None:
    from analysis.figures.training.curves import smooth

    C = np.geomspace(1e9, 1e12, 500)
    x, y = smooth(C, np.log(C))
    assert (np.diff(x) > 0).all() and (np.diff(y) > 0).all() and len(x) <= 3 * 24 + 2
    np.testing.assert_allclose(np.interp(np.log(1e10), np.log(x), y), np.log(1e10), rtol=1e-3)


def test_the_frontier_is_beaten_by_no_cheaper_run() -> None:
    from analysis.fitting.selection import efficient_frontier

    C, L = np.array([1, 1, 2, 3, 3, 4.0]), np.array([5, 4, 4.5, 3, 3.5, 3.0])
    assert efficient_frontier(C, L).tolist() == [1, 3]
    assert efficient_frontier(np.zeros(0), np.zeros(0)).tolist() == []

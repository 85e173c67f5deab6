"""Texts of figures: an alternative text that says what is shown in numbers, and colours that can be read."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from analysis.figures import save
from analysis.figures.alt_text import alt_text, plain_text
from analysis.figures.contrast import TEXT_CONTRAST, contrast_to_white, text_color
from analysis.figures.source import Source, load
from analysis.fitting.options import FitOptions
from tests.support.known_store import BUDGETS, build

NAMES = ("isoflop", "curves", "contours", "kaplan", "parity", "conventions", "law")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    store = build(tmp_path_factory.mktemp("texts") / "store", extras=True, rows=40)
    return load(store.root, FitOptions(bootstrap=100))


@pytest.fixture(scope="module")
def figures(source: Source) -> dict[str, Figure]:
    return {name: save.draw(name, source) for name in NAMES}


def test_an_alternative_text_has_the_numbers_of_the_figure(source: Source) -> None:
    text, N = alt_text(save.draw("isoflop", source)), source.points.N
    assert (
        f" to {source.points.L.max():.3g}, against Model size N (parameters), {N.min():.3g} to {N.max():.3g}: " in text
    )
    assert f"parabola ({len(BUDGETS)} lines), runs ({len(N)} points)" in text
    optimum = source.fit("chinchilla-2").optimum
    assert optimum is not None and f"Labels: N* ∝ C^{optimum.a:.2f} [" in text


@pytest.mark.docs
def test_every_figure_has_a_text_of_each_panel_without_markup(figures: dict[str, Figure]) -> None:
    for name, figure in figures.items():
        text = alt_text(figure)
        panels = len([axes for axes in figure.axes if axes.get_label() != "<colorbar>"])
        assert text.count(": ") >= panels, name
        assert not set("$\\{}") & set(text), text


def test_run_ids_are_not_listed(source: Source) -> None:
    assert "training loss (23 lines)" in alt_text(save.draw("curves", source))


@pytest.mark.parametrize(("label", "expected"), [
    (r"$N^{\ast} \propto C^{0.59}$", "N* ∝ C^0.59"),
    (r"$2.1{\times}10^{18}$ FLOPs", "2.1×10^18 FLOPs"),
    (r"$E_{\mathrm{max}}$", "E_max"),
    ("Loss $L$ (nats/token)", "Loss L (nats/token)"),
])  # fmt: skip
def test_mathtext_becomes_plain_text(label: str, expected: str) -> None:
    assert plain_text(label) == expected


@pytest.mark.docs
def test_all_text_of_all_figures_can_be_read_on_white(figures: dict[str, Figure]) -> None:
    for name, figure in figures.items():
        for artist in figure.findobj(Text):
            if artist.get_text().strip() and artist.get_visible():
                assert contrast_to_white(to_rgb(artist.get_color())) >= TEXT_CONTRAST, (name, artist.get_text())


def test_a_colour_with_enough_contrast_is_not_changed() -> None:
    assert contrast_to_white((0, 0, 0)) == pytest.approx(21)
    assert contrast_to_white((1, 1, 1)) == pytest.approx(1)
    assert text_color("#0072B2") == pytest.approx((0, 0x72 / 255, 0xB2 / 255))
    assert contrast_to_white(text_color("#E69F00")) == pytest.approx(TEXT_CONTRAST, rel=0.1)


def test_the_origin_of_a_figure_has_its_alternative_text(source: Source, tmp_path: Path) -> None:
    save.save_figure(source, "isoflop", tmp_path / "isoflop.png")
    assert '"alt_text": "(a) Loss L (nats/token), ' in (tmp_path / "isoflop.about.json").read_text()

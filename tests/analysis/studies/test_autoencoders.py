"""The study, figures and report section of sparse autoencoders, on a store whose errors lie on a known law."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from analysis.data.options import ReadOptions
from analysis.data.record_cache import StoreSnapshot
from analysis.data.rows.saes import SAES
from analysis.data.runs import read_runs
from analysis.errors import DataError
from analysis.figures import registry, save
from analysis.figures.options import FigureOptions, SourceOptions
from analysis.figures.source import Source, load, source_of_study
from analysis.fitting.options import FitOptions
from analysis.report.pictures import draw_picture
from analysis.report.sections.autoencoders import describe_autoencoders, figure_titles
from analysis.studies.saes.exponents import SaeStudy, exponent_interval, study_autoencoders
from analysis.studies.saes.text import law_rows, optimum_lines, slope_lines
from scaling.store.record import Store
from scaling.store.verification import parquet
from tests.support import known_store
from tests.support.sae import store as sae_store

OPTIONS = FitOptions(bootstrap=100)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> StoreSnapshot:
    root = tmp_path_factory.mktemp("autoencoders") / "S"
    written = sae_store.build(root)
    random = np.random.default_rng(0)
    for record in written.records():
        if record.config.sae is not None and record.config.sae.latents == 256:
            density = np.append(np.minimum(1, 10 ** random.normal(-2, 0.6, 250)), np.zeros(6))
            table = pa.table({"latent": np.arange(256), "density": density})
            file = written.run_dir(record.run_id) / "sae" / f"latents.{record.config.steps}.parquet"
            file.parent.mkdir()
            parquet.write_table(file, table, "zstd")
    return StoreSnapshot(root)


@pytest.fixture(scope="module")
def study(store: StoreSnapshot) -> SaeStudy:
    return study_autoencoders(store, OPTIONS)


@pytest.mark.slow
def test_exponents_of_all_models_and_their_slope_are_recovered(study: SaeStudy) -> None:
    assert [law.runs for law in study.laws] == [20, 20, 20]
    for law, model in zip(study.laws, sae_store.models(), strict=True):
        truth = sae_store.exponent(model) + sae_store.TRUTH["gamma"] * np.log(law.k)
        low, high = exponent_interval(law, study.level)
        assert low <= truth <= high
    [slope] = study.slopes
    assert slope.models == 3 and slope.interval[0] <= -sae_store.SLOPE <= slope.interval[1] < 0
    assert "larger models gain more from more latents" in slope_lines(study)[0]
    assert len(law_rows(study)) == 3


def test_the_compute_optimal_number_of_latents_is_inside_its_interval(study: SaeStudy) -> None:
    """Of errors L(n)·(1 - g + g·√(T/t)) at t = C/(10·D·n) tokens, by a fine search over n."""
    law, model = study.laws[-1], sae_store.models()[-1]
    optimum = law.optima[0]
    n = np.geomspace(64, 1e5, 4000)
    tokens = optimum.compute / (10 * model.model.width * n)
    beta = sae_store.exponent(model)
    error = np.array([sae_store.error(value, optimum.k, beta_n=beta) for value in n])
    error *= 1 + sae_store.GAIN * (np.sqrt(sae_store.TOKENS / tokens) - 1)
    best = n[np.argmin(error)]
    assert optimum.latents_interval[0] <= best <= optimum.latents_interval[1]
    assert optimum.latents == pytest.approx(best, rel=0.5)  # numbers of latents are a factor of 2 apart
    assert any("n* = " in line for line in optimum_lines(study))


@pytest.mark.parametrize(
    "name", ["sae-loss", "sae-exponents", pytest.param("sae-pareto", marks=pytest.mark.slow), "sae-density"]
)
def test_figures_have_embedded_fonts_and_the_same_bytes_each_time(
    store: StoreSnapshot, study: SaeStudy, name: str, tmp_path: Path
) -> None:
    from pypdf import PdfReader

    options = SourceOptions(OPTIONS, ReadOptions(where="n == 256 and k == 16" if name == "sae-density" else None))
    module = registry.figure_module(name)

    def read() -> Source:
        return (
            source_of_study(store, "sae", study, options)
            if name in ("sae-loss", "sae-exponents")
            else module.read(store, options)
        )

    source = read()
    pdf = save.save_figure(source, name, tmp_path / "figure.pdf")
    for page in PdfReader(pdf).pages:
        for font in page["/Resources"]["/Font"].values():
            assert font.get_object()["/Subtype"] != "/Type3"
    first, second = (save.render(save.draw(name, each), "svg") for each in (source, read()))
    assert first == second and (tmp_path / "figure.data.csv").read_text().count("\n") >= 9


def test_a_report_has_a_section_on_autoencoders_and_fits_models_alone(
    store: StoreSnapshot, study: SaeStudy, tmp_path: Path
) -> None:
    source = load(store, OPTIONS)
    source.results["sae"] = study
    assert len(source.points) == 3 and len(source.records) == 3
    titles = figure_titles(source)
    pictures = [draw_picture("sae-pareto", titles["sae-pareto"], source, tmp_path)]
    section = describe_autoencoders(source, pictures)
    assert section is not None and section.table is not None and not section.error
    assert len(section.table.rows) == 3 and len(section.pictures) == 1
    known_store.build(tmp_path / "models", per_budget=2, rows=5)
    assert describe_autoencoders(load(tmp_path / "models", OPTIONS), []) is None


def test_figures_of_a_law_show_the_autoencoders_of_the_chosen_model(store: StoreSnapshot) -> None:
    with pytest.raises(DataError, match="choose with --where"):
        load(store, law="sae-nk")
    everything = read_runs(store, runs=SAES)
    name = everything["model"].iloc[0]
    source = load(store, OPTIONS, ReadOptions(where=f"model == '{name}'"), "sae-nk")
    assert len(source.points) == (everything["model"] == name).sum()
    assert save.draw("parity", source, FigureOptions("sae-nk")).axes


def test_a_store_without_autoencoders_and_an_unevaluated_one_are_one_line(tmp_path: Path) -> None:
    known_store.build(tmp_path / "models", per_budget=2, rows=5)
    with pytest.raises(DataError, match="no finished run of a sparse autoencoder"):
        study_autoencoders(tmp_path / "models")
    Store(tmp_path / "S")
    sae_store.build(tmp_path / "S", count=1)
    with pytest.raises(DataError, match="no autoencoder was evaluated: python -m scaling sae evaluate"):
        registry.figure_module("sae-density").read(tmp_path / "S")

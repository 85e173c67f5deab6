"""Runs of sparse autoencoders in a store: their columns, and that laws of models and of autoencoders never mix them."""

from __future__ import annotations

from pathlib import Path

import pytest

import analysis
from analysis import laws
from analysis.data.from_store import table
from analysis.data.load import load
from analysis.data.options import ReadOptions
from analysis.data.record_cache import StoreSnapshot
from analysis.errors import DataError
from analysis.fitting.options import FitOptions
from analysis.studies.audit.audit import audit_source
from scaling.counting.counts import parameters
from tests.support import known_store
from tests.support.sae import store as sae_store

NK = laws.find("sae-nk")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> StoreSnapshot:
    root = tmp_path_factory.mktemp("sae") / "S"
    sae_store.build(root)
    return StoreSnapshot(root)


def test_a_table_has_columns_of_autoencoders_and_their_models(store: StoreSnapshot) -> None:
    runs = table(store)
    saes = runs[runs["n"].notna()]
    assert len(runs) == 63 and len(saes) == 60
    assert set(saes["n"]) == set(sae_store.LATENTS) and set(saes["k"]) == set(sae_store.ACTIVE)
    counts = [parameters(model.model) for model in sae_store.models()]
    assert set(saes["model_N"]) == {count["total"] for count in counts}
    assert set(saes["model_N_nonembedding"]) == {count["total"] - count["embedding"] for count in counts}
    width, n = saes["model.width"].astype(float), saes["n"]
    assert (saes["C"] == 10 * width * n * saes["D"]).all()  # five products of 2·D·n FLOPs per token
    assert (saes["N"] == 2 * width * n + n + width).all()


def test_laws_of_models_leave_autoencoders_out_and_say_so(store: StoreSnapshot) -> None:
    points = load(store, laws.find("chinchilla"))
    assert len(points) == 3
    assert any("60 runs of sparse autoencoders left out" in note for note in points.notes)
    assert len(list(store.records())) == 3
    assert "60 runs of sparse autoencoders" in str(audit_source(store).findings)


def test_a_law_of_autoencoders_reads_those_of_one_model_alone(store: StoreSnapshot) -> None:
    with pytest.raises(DataError, match=r"differ in model .*choose with --where \"model == '\w{12}'\", or --by model"):
        load(store, NK)
    name = table(store)["model"].dropna().iloc[0]
    points = load(store, NK, ReadOptions(where=f"model == '{name}' and layer == 1 and kind == 'topk'"))
    assert len(points) == 20 and any("3 runs of models left out" in note for note in points.notes)


def test_a_written_table_is_read_as_the_store_is(store: StoreSnapshot, tmp_path: Path) -> None:
    table(store).to_csv(tmp_path / "runs.csv", index=False)
    assert len(load(tmp_path / "runs.csv")) == 3
    name = table(store)["model"].dropna().iloc[0]
    reading = ReadOptions(where=f"model == '{name}'")
    there, here = load(tmp_path / "runs.csv", NK, reading), load(store, NK, reading)
    assert there["n"].tolist() == here["n"].tolist() and there.L.tolist() == here.L.tolist()


def test_the_law_of_n_and_k_is_recovered_within_its_intervals(store: StoreSnapshot) -> None:
    saes = table(store).dropna(subset=["n"])
    smallest = saes.loc[saes["model_N"].idxmin(), "model"]
    fit = analysis.fit(store, "sae-nk", FitOptions(bootstrap=100), ReadOptions(where=f"model == '{smallest}'"))
    for name, value in sae_store.TRUTH.items():
        low, high = fit.intervals[name]
        assert low <= value <= high, (name, low, value, high)


def test_a_store_without_autoencoders_says_how_to_train_them(tmp_path: Path) -> None:
    known_store.build(tmp_path / "S", per_budget=2, rows=5)
    with pytest.raises(DataError, match="no runs of sparse autoencoders: train them"):
        load(tmp_path / "S", NK)

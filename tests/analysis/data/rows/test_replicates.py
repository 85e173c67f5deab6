"""Rows of one set of inputs: hyper-parameters are minimised, seeds averaged, and other factors kept and named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis import laws
from analysis.data.load import load
from analysis.data.options import ReadOptions
from analysis.data.points import Points
from analysis.figures.source import load as load_source
from analysis.fitting.fit import fit
from analysis.fitting.options import FitOptions
from analysis.studies.multiplier import compute_multipliers
from scaling.config.run import run_id
from scaling.store.record import Store
from tests.support.commands import PUBLISHED
from tests.support.records import add_record, config
from tests.support.tables import refusal, write_table

CASES = PUBLISHED.parent / "cases"
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason="no inputs at ../shared/cases")


def surface(N: Any, D: Any) -> Any:
    return 1.8 + 450 / N**0.34 + 1800 / D**0.36


def design(**factors: Any) -> pd.DataFrame:
    """Sizes × tokens × factors on the surface."""
    N, D = (x.ravel() for x in np.meshgrid(np.geomspace(1e7, 1e9, 5), np.geomspace(1e9, 1e11, 4)))
    frame = pd.DataFrame({"params": N, "tokens": D})
    for name, values in factors.items():
        frame = frame.merge(pd.DataFrame({name: values}), how="cross")
    return frame.assign(val_loss=surface(frame.params, frame.tokens))


def notes(points: Points) -> str:
    return "; ".join(points.notes)


@needs_cases
def test_a_grid_of_learning_rates_is_fitted_at_its_best_and_gives_the_truth() -> None:
    result = fit(CASES / "lrsweep.csv", options=FitOptions(bootstrap=200))
    assert "60 rows are 20 sets of the same N and D that differ in lr: the lowest loss" in notes(result.points)
    low, high = result.intervals["E"]
    assert low - 1e-3 <= 1.8 <= high + 1e-3 and result.params["E"] == pytest.approx(1.8, abs=1e-3)
    at = result.to_json()["optimum"]["at"][0]
    assert at["N"] == pytest.approx(526e6, rel=2e-3) and at["L"] == pytest.approx(2.748, abs=5e-4)
    everything = fit(CASES / "lrsweep.csv", options=FitOptions(bootstrap=100), reading=ReadOptions(replicates="all"))
    assert len(everything.points) == 60 and everything.params["E"] == pytest.approx(1.954, abs=1e-3)


@needs_cases
def test_the_isoflop_figure_draws_the_runs_that_are_fitted() -> None:
    parabolas = load_source(CASES / "lrsweep.csv").isoflop().budgets  # what the figure draws
    best = pd.read_csv(CASES / "lrsweep.csv").groupby(["budget", "params"]).val_loss.min()
    assert sorted(L for parabola in parabolas for L in parabola.points.L) == sorted(best)


@needs_cases
def test_the_law_of_the_best_learning_rate_is_fitted_to_the_rates_of_lowest_loss() -> None:
    result = fit(CASES / "lrsweep.csv", "step-law-lr", FitOptions(bootstrap=100))
    assert len(result.points) == 20 and result.params["alpha"] == pytest.approx(-0.3, abs=1e-3)


def test_hyperparameters_are_minimised_after_seeds_are_averaged(tmp_path: Path) -> None:
    frame = design(learning_rate=[1e-4, 1e-3], **{"config.batch_size": [64, 256], "seed": [0, 1]})
    frame["val_loss"] += 0.1 * (frame.learning_rate == 1e-4) + 0.05 * (frame["config.batch_size"] == 64)
    frame["val_loss"] += np.where(frame.seed == 0, 0.02, -0.02)
    frame.loc[(frame.learning_rate == 1e-4) & (frame.seed == 1), "val_loss"] -= 0.06  # lowest, but not in the mean
    path = tmp_path / "runs.tsv"
    frame.assign(runtime=np.random.default_rng(0).random(len(frame))).to_csv(path, sep="\t", index=False)
    points = load(path)
    assert np.allclose(points.L, surface(points.N, points.D)) and len(points) == 20
    assert "differ in learning_rate, config.batch_size" in notes(points)
    assert "40 rows that differ only in seed are averaged: 20 points" in notes(points)
    assert len(load(path, options=ReadOptions(replicates="seeds"))) == 40


@pytest.mark.parametrize("name", ["seed", "data_seed", "trial", "run", "config.rng_seed", "repeat"])
def test_seeds_have_many_names(name: str) -> None:
    points = load(design(**{name: [1, 2, 3]}))
    assert len(points) == 20 and f"60 rows that differ only in {name} are averaged" in notes(points)


def test_a_mean_weighs_as_many_runs_as_it_has() -> None:
    frame = design(seed=[0, 1, 2])[:-2]  # one seed at the last size
    points = load(frame)
    assert len(points) == 20 and points.weights is not None and sorted(set(points.weights)) == [1, 3]
    weighted = load(frame.assign(weight=2.0), options=ReadOptions(replicates="mean"))
    assert weighted.weights is not None and sorted(set(weighted.weights)) == [2, 6]


def test_rows_of_two_corpora_are_kept_and_named() -> None:
    frame = design(corpus=["web", "code"], lr=[1e-3, 2e-3])
    frame["val_loss"] += 0.1 * (frame.corpus == "code") + 0.1 * (frame.lr == 1e-3)
    points = load(frame)
    assert len(points) == 40 and "differ in lr" in notes(points) and "--by corpus" in notes(points)
    assert len(load(frame, options=ReadOptions(replicates="best"))) == 20
    assert len(load(frame, options=ReadOptions(columns={"group": "lr"}))) == 80  # groups are never combined


def test_tokens_rounded_to_whole_batches_are_one_set_only_for_other_hyperparameters() -> None:
    frame = design(batch_size=[60, 64])
    frame["tokens"] = np.ceil(frame.tokens / (frame.batch_size * 4096)) * frame.batch_size * 4096
    assert len(set(frame.tokens)) == 8 and len(load(frame)) == 20
    assert len(load(frame.drop(columns="batch_size"))) == 40


def test_repetitions_of_data_are_no_replicates() -> None:
    frame = design(epochs=[1, 4])
    points = load(frame.assign(val_loss=frame.val_loss + 0.1 * (frame.epochs > 1)))
    assert len(points) == 40 and "share" not in notes(points) and "differ in" not in notes(points)


def test_rows_that_differ_in_nothing_named_are_kept_and_said() -> None:
    frame = pd.concat([design(), design().assign(val_loss=lambda rows: rows.val_loss + 0.1)])
    points = load(frame)
    assert len(points) == 40 and "40 rows share N and D with others and differ in no other column" in notes(points)
    assert np.allclose(load(frame, options=ReadOptions(replicates="best")).L, design().val_loss)
    assert np.allclose(load(frame, options=ReadOptions(replicates="mean")).L, design().val_loss + 0.05)


def test_the_edge_of_a_grid_of_rates_is_said() -> None:
    frame = design(lr=[1e-4, 1e-3, 1e-2])
    frame["val_loss"] += 0.1 * (frame.lr != 1e-2)
    assert "the best lr is the smallest or largest in 20 of 20 sets" in notes(load(frame))


def test_sizes_of_runs_of_one_compute_are_not_known(tmp_path: Path) -> None:
    path = write_table(tmp_path, "flops,lr,loss\n1e18,1,3\n1e18,2,3.1\n1e19,1,2.8\n")
    assert len(load(path, laws.find("power-c"))) == 3


def test_accuracies_are_not_minimised() -> None:
    frame = design(lr=[1e-4, 1e-3]).assign(Acc=0.5)
    assert len(load(frame, laws.find("sigmoid"))) == 40
    scores = {"N": [1e6, 1e6], "D": [2e9, 2e9], "Acc": [0.1, 0.2]}
    assert "has no loss to compare rows by" in refusal(scores, laws.find("two-step"), replicates="best")


def test_an_unknown_choice_is_refused() -> None:
    assert "replicates = 'worst': allowed are auto, best, mean, seeds, all" in refusal(design(), replicates="worst")


def test_noise_between_seeds_is_of_all_seeds() -> None:
    frame = design(seed=[0, 1, 2])
    frame["val_loss"] *= np.exp(0.002 * np.random.default_rng(0).normal(size=len(frame)))
    result = fit(frame, options=FitOptions(weights="seeds", bootstrap=100))
    assert len(result.points) == 60


def test_a_multiplier_uses_every_seed(tmp_path: Path) -> None:
    rows = [
        {
            "mlp": mlp,
            "C": C,
            "N": N,
            "D": C / (6 * N),
            "seed": seed,
            "loss": surface(N, C / (6 * N)) * factor + seed / 1e3,
        }
        for mlp, factor in (("a", 1.0), ("b", 0.99))
        for C, best in ((1e17, 3e7), (1e18, 1e8), (1e19, 3e8))
        for N in (best / 2, best, best * 2, best * 4)
        for seed in (0, 1)
    ]
    path = tmp_path / "runs.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    (multiplier,) = compute_multipliers(path, "mlp")
    assert multiplier.runs == 48


def test_replicates_of_a_store(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    for width in (32, 64, 128):
        for seed in (0, 1):
            add_record(store, config(width, 100, budget=1e12, seed=seed), loss=300 / width + 0.1 * seed)
    points = load(store.root)
    assert sorted(points.L) == pytest.approx([300 / 128 + 0.05, 300 / 64 + 0.05, 300 / 32 + 0.05])
    assert "6 rows that differ only in seed are averaged: 3 points" in notes(points)
    assert set(points.names) <= {
        run_id(config(width, 100, seed=seed, budget=1e12)) for width in (32, 64, 128) for seed in (0, 1)
    }
    assert len(load_source(store.root, FitOptions(weights="seeds")).points) == 6


def test_numbers_of_vocabularies_and_flags_are_labels_and_other_numbers_are_not() -> None:
    N = np.geomspace(1e7, 1e9, 8)
    table = {"params": N, "tokens": 20 * N[::-1], "loss": 5 - np.arange(8) / 10}
    columns = {
        "precision": ["bf16", "fp8"] * 4,
        "vocab_size": [32000, 50257] * 4,
        "qk_norm": [True, False] * 4,
        "n_layers": [8, 12] * 4,
    }
    assert set(load({**table, **columns}).labels) == {"precision", "vocab_size", "qk_norm"}

"""Rows of one run: they are found, the last one or all are fitted, and errors of a run are correlated."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import least_squares

from analysis import laws
from analysis.data.load import load
from analysis.data.options import ReadOptions
from analysis.data.points import Points
from analysis.fitting.fit import fit
from analysis.fitting.options import FitOptions
from scaling.store.record import Store
from tests.support import known_store
from tests.support.commands import PUBLISHED, call_command
from tests.support.tables import refusal

CASES = PUBLISHED.parent / "cases"
OLMO = PUBLISHED / "olmo_ladder2024" / "checkpoints.csv"
N, D = (x.ravel() for x in np.meshgrid(np.geomspace(1e7, 1e9, 4), np.geomspace(1e9, 1e11, 4)))
FAST = FitOptions(bootstrap=100)


def surface(N: Any, D: Any) -> Any:
    return 1.8 + 450 / N**0.34 + 1800 / D**0.36


def evaluations(
    name: Callable[[int], dict[str, object]], N: np.ndarray = N, D: np.ndarray = D, steps: int = 8
) -> pd.DataFrame:
    """Evaluations along runs of sizes N and lengths D, whose names and other columns `name` returns."""
    rows = [
        {**name(run), "step": 100 * t, "params": n, "tokens": d * t / steps, "val_loss": surface(n, d * t / steps)}
        for run, (n, d) in enumerate(zip(N, D, strict=True))
        for t in range(1, steps + 1)
    ]
    return pd.DataFrame(rows)


def notes(points: Points) -> str:
    return "; ".join(points.notes)


@pytest.mark.parametrize(
    "name",
    [
        lambda run: {"run_id": f"r{run}"},
        lambda run: {"Run Name": f"r{run}"},
        lambda run: {"id": run},
        lambda run: {"name": f"r{run}"},
        lambda run: {"run": f"n{N[run]:g}", "seed": run // 4},
        lambda run: {"model": f"n{N[run]:g}", "seed": run // 4},
        lambda run: {"model": f"n{N[run]:g}", "length": f"{run // 4}x"},
    ],
)
def test_the_last_row_of_each_run_is_fitted(name: Callable[[int], dict[str, object]]) -> None:
    frame = evaluations(name).sample(frac=1, random_state=0)
    points = load(frame)
    assert "128 rows are checkpoints of 16 runs: the last row of each is fitted" in notes(points)
    assert sorted(zip(points.N, points.D, strict=True)) == sorted(zip(N, D, strict=True)) and points.runs is None
    every = load(frame, options=ReadOptions(checkpoints="all"))
    assert len(every) == 128 and every.runs is not None and len(set(every.runs)) == 16


def test_runs_of_several_lengths_are_not_checkpoints() -> None:
    frame = pd.DataFrame({"params": N, "tokens": D, "val_loss": surface(N, D)})
    sizes = [f"{n:.0e}" for n in N]
    for names in ({}, {"name": sizes}, {"model": sizes}, {"run_id": range(16)}):
        points = load(frame.assign(**names))
        assert len(points) == 16 and points.runs is None and points.curves is None
    assert "--runs" in refusal(frame, checkpoints="final")


def test_all_rows_are_fitted_where_the_last_ones_do_not_determine_the_law() -> None:
    sizes = np.geomspace(1e7, 1e9, 12)
    for lengths, reason in ((np.full(12, 3e10), "same D"), (20 * sizes, "N and D rise together")):
        points = load(evaluations(lambda run: {"run": f"r{run}"}, sizes, lengths))
        assert len(points) == 96 and points.runs is not None and reason in notes(points)
    few = fit(evaluations(lambda run: {"run": f"r{run}"}, sizes[::3], sizes[::3] * 20), options=FAST)
    assert len(few.points) == 32 and any(line.startswith("correlated-points: 32 rows are of 4") for line in few.verdict)


def test_runs_can_be_named_for_every_law(tmp_path: Path) -> None:
    frame = evaluations(lambda run: {"size": f"a{run % 4}", "group_no": run // 4}).drop(columns="step")
    options = ReadOptions(run_columns=("size", "group_no"))
    for law in ("chinchilla", "power-d", "kaplan-nd"):
        assert len(load(frame, laws.find(law), options)) == 16
    path = tmp_path / "runs.csv"
    frame.to_csv(path, index=False)
    for command in ("fit", "optimum"):
        done = call_command("analysis", command, path, "--runs", "size,group_no", "--bootstrap", 100)
        assert done.returncode == 0 and "checkpoints of 16 runs" in done.stdout
    assert "no column 'nothing' (to name runs)" in refusal(path, run_columns=("nothing",))


def test_laws_of_accuracy_and_of_one_learning_curve_take_every_row() -> None:
    frame = evaluations(lambda run: {"run": f"r{run}"}).assign(Acc=0.5)
    assert len(load(frame, laws.find("sigmoid"))) == 128
    curve = frame[frame.run == "r3"]
    points = load(curve, laws.find("m2"))
    assert len(points) == 8 and points.runs is None


def test_the_best_run_of_several_learning_rates_is_chosen_by_its_last_row() -> None:
    first, second = (evaluations(lambda run, lr=lr: {"run": f"r{run} {lr}", "lr": lr}) for lr in (1, 2))  # type: ignore[misc]
    second["val_loss"] += 0.1
    frame = pd.concat([first, second])
    every = load(frame, options=ReadOptions(checkpoints="all"))
    assert len(every) == 128 and np.allclose(every.L, surface(every.N, every.D)) and "differ in lr" in notes(every)
    assert "use --checkpoints final" in refusal(frame, checkpoints="all", replicates="mean")


@pytest.mark.skipif(not CASES.is_dir(), reason="no inputs at ../shared/cases")
def test_a_table_of_curves_gives_the_truth_by_its_last_rows_and_serves_approach_1() -> None:
    result = fit(CASES / "curves_runid.csv", options=FAST)
    assert len(result.points) == 12 and result.params["E"] == pytest.approx(1.8, abs=1e-3)
    envelope = fit(CASES / "curves_runid.csv", "chinchilla-1", FAST)
    assert "envelope of 12 held-out learning curves" in envelope.notes[0]
    one_by_one = fit(
        CASES / "curves_runid.csv", options=FitOptions(resampling="cases"), reading=ReadOptions(checkpoints="all")
    )
    assert one_by_one.verdict[0].startswith("correlated-points: 120 rows are of 12 runs")


def noisy(random: np.random.Generator, runs: int = 16, rows: int = 10, rho: float = 0.9) -> Points:
    """Checkpoints whose errors are an autoregression plus an offset of their run."""
    e = np.zeros((runs, rows))
    e[:, 0] = random.standard_normal(runs)
    for t in range(1, rows):
        e[:, t] = rho * e[:, t - 1] + np.sqrt(1 - rho**2) * random.standard_normal(runs)
    error = 0.003 * (0.8 * e + 0.6 * random.standard_normal((runs, 1))).ravel()
    n, d = np.repeat(N[:runs], rows), (D[:runs, None] * np.linspace(0.1, 1, rows)).ravel()
    names = [f"r{run}" for run in np.repeat(np.arange(runs), rows)]
    return Points(n, d, 6 * n * d, surface(n, d) * np.exp(error), names, runs=names)


def test_intervals_are_those_of_a_bootstrap_of_whole_runs() -> None:
    """The width agrees with SciPy's fits to runs drawn with replacement; taking rows as independent is far narrower."""
    points, rows_of = noisy(np.random.default_rng(0)), np.arange(160).reshape(16, 10)
    ln_L, start = np.log(points.L), np.log([1.8, 450.0, 1800.0, 0.34, 0.36])

    def residual(ln_params: np.ndarray, rows: np.ndarray) -> np.ndarray:
        E, A, B, alpha, beta = np.exp(ln_params)
        return np.log(E + A / points.N[rows] ** alpha + B / points.D[rows] ** beta) - ln_L[rows]

    random, alphas = np.random.default_rng(1), []
    for _ in range(100):
        rows = rows_of[random.choice(16, 16)].ravel()
        alphas.append(np.exp(least_squares(residual, start, args=(rows,), x_scale="jac").x[3]))
    options = FitOptions(bootstrap=200, objective="mse-log")
    result, by_row = fit(points, options=options), fit(dataclasses.replace(points, runs=None), options=options)
    assert result.resampling == "runs"
    low, high = np.quantile(alphas, [0.025, 0.975])
    assert np.ptp(result.intervals["alpha"]) / (high - low) == pytest.approx(1, abs=0.2)
    assert np.ptp(result.intervals["alpha"]) > 1.8 * np.ptp(by_row.intervals["alpha"])


@pytest.mark.long  # some minutes each
@pytest.mark.parametrize("runs", [8, 16])
@pytest.mark.parametrize("objective", ["huber-log", "mse-log"])
def test_intervals_of_checkpoints_cover(runs: int, objective: str) -> None:
    random, inside = np.random.default_rng(2), 0
    options = FitOptions(bootstrap=200, objective=objective)
    for _ in range(120):
        low, high = fit(noisy(random, runs), options=options).intervals["alpha"]
        inside += low <= 0.34 <= high
    assert inside / 120 >= 0.9


@pytest.mark.skipif(not OLMO.is_file(), reason="no published data sets at ../shared/data")
def test_published_checkpoints_are_found_as_runs() -> None:
    columns = {"N": "n_params_nonemb", "D": "tokens", "L": "hellaswag_val_5shot:bpb"}
    options = ReadOptions(columns=columns, where="mode=='train'")
    assert len(load(OLMO, options=options)) == 16
    every = load(OLMO, options=dataclasses.replace(options, checkpoints="all"))
    assert every.runs is not None and len(set(every.runs)) == 16


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store whose runs share prefixes."""
    store = known_store.build(tmp_path_factory.mktemp("store"), extras=True, rows=10)
    for record in list(store.records()):
        store.write(dataclasses.replace(record, about=record.about | {"shared_steps": 20, "precision": "float32"}))
    return store


@pytest.mark.parametrize(
    ("law", "where"), [("chinchilla", None), ("chinchilla-2", None), ("kaplan-c", "N > 2e4 and status=='done'")]
)
def test_a_table_of_a_store_is_fitted_as_the_store(tmp_path: Path, store: Store, law: str, where: str | None) -> None:
    table = tmp_path / "t.csv"
    assert call_command("analysis", "table", store.root, "--csv", table).returncode == 0
    results = []
    for source in (store.root, table):
        result = fit(source, law, FAST, ReadOptions(where=where)).to_json()
        assert result["source"].pop("name") == Path(source).name
        results.append(result)
    assert results[0] == results[1] and "shared prefix" in " ".join(results[1]["notes"])
    if law == "chinchilla":
        assert results[1]["bootstrap"]["kind"] == "sizes"


def test_the_counts_of_a_table_of_a_store_are_in_the_table(tmp_path: Path, store: Store) -> None:
    table = tmp_path / "t.csv"
    call_command("analysis", "table", store.root, "--csv", table, "--params", "nonembedding", "--flops", "exact")
    counted = load(store.root, options=ReadOptions(params="nonembedding", flops="exact"))
    points = load(table)
    assert points.N.tolist() == counted.N.tolist() and points.convention == counted.convention
    assert "was written with --flops exact" in refusal(table, flops="6nd")
    assert "--columns name does not apply" in refusal(table, columns={"name": "sweep"})


def test_texts_are_compared_whatever_the_law_calls_their_column() -> None:
    step = np.tile(np.arange(100.0, 2100, 100), 2)
    rate = np.where(np.arange(40) < 20, 1e-3, 1e-3 * (1 - step / 4000))
    curves = pd.DataFrame({"step": step, "lr": rate, "curve": np.repeat(["flat", "linear"], 20), "loss": 3 + 9 / step})
    law = laws.find("tissue")
    assert len(load(curves, law, ReadOptions(where="curve=='flat'"))) == 20
    assert len(load(curves, law, ReadOptions(where="curve in ('flat', 'linear') and step > 1000"))) == 20
    experts = pd.DataFrame({"N": [1e6, 2e6], "D": 1e9, "E": ["adam", "muon"], "loss": [3.0, 2.9]})
    assert len(load(experts, options=ReadOptions(where="E=='muon'"))) == 1


@pytest.mark.parametrize(
    "name",
    [
        lambda run, step: {"checkpoint": f"/ckpt/run{run}/step_{step}"},
        lambda run, step: {"name": f"n{N[run]:g}-d{D[run]:g}-step{step}"},
        lambda run, step: {"model": f"m{run}", "revision": f"step{step}"},
        lambda run, step: {"model": f"{N[run] / 1e6:.0f}M", "length": f"{D[run] / 1e9:.0f}B"},
        lambda run, step: {"config": f"{N[run] / 1e6:.0f}M", "total_steps": D[run] // 1e6},
    ],
)
def test_checkpoints_are_found_by_names_with_steps_and_by_planned_lengths(name: Callable[..., Any]) -> None:
    table = evaluations(lambda run: {"index": run})
    names = [name(run, step) for run, step in zip(table.pop("index"), table["step"], strict=True)]
    points = load(pd.concat([table, pd.DataFrame(names)], axis=1))
    assert sorted(points.D) == pytest.approx(sorted(D))


def test_runs_of_each_size_with_their_last_step_are_no_checkpoints() -> None:
    N, D = (x.ravel() for x in np.meshgrid(np.geomspace(1e7, 1e9, 5), np.geomspace(1e9, 1.6e10, 5)))
    names = [f"{n / 1e6:.0f}M" for n in N]
    table = pd.DataFrame({"params": N, "tokens": D, "step": D // 1e6, "loss": surface(N, D)})
    for column in ("model", "name", "experiment"):
        assert len(load(table.assign(**{column: names}))) == 25
        assert load(table.assign(**{column: names}).drop(columns="step")).runs is None


def test_one_run_of_each_size_without_any_name_is_found_by_its_even_checkpoints() -> None:
    sizes = np.geomspace(1e7, 1e9, 12)
    table = evaluations(lambda run: {}, sizes, 20 * sizes).drop(columns="step")
    assert pytest.approx(20 * sizes) == load(table).D or load(table).runs is not None
    designed = pd.DataFrame({"params": np.repeat(sizes, 5), "tokens": np.tile(np.arange(1, 6) * 1e9, 12)})
    designed["loss"] = surface(designed["params"], designed["tokens"])
    assert len(load(designed)) == 60 and load(designed).runs is None


def test_runs_without_a_name_that_differ_in_the_learning_rate_are_found_by_their_even_checkpoints() -> None:
    sizes, lengths = np.geomspace(1e7, 1e9, 12), np.tile([1e9, 1e10, 1e11], 4)
    table = evaluations(lambda run: {"lr": [1e-3, 3e-3][run % 2]}, np.repeat(sizes, 2), np.repeat(lengths, 2))
    table["val_loss"] += 0.01 * (table["lr"] > 1e-3)
    points = load(table.drop(columns="step"))
    assert "192 rows are checkpoints of 24 runs" in notes(points) and pytest.approx(lengths) == points.D

"""What points count: stated budgets, repeated data, runs of one budget, and the runs of a law of one input."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import laws
from analysis.data.load import load
from analysis.errors import FitError
from analysis.figures.fits import contours, isoflop
from analysis.figures.fits.common import axis_label
from analysis.figures.source import Source
from analysis.fitting.fit import fit
from analysis.fitting.options import FitOptions
from analysis.laws.compute_cost import ComputeCost, estimate_cost, optimal_path, optimal_size
from analysis.laws.loss.chinchilla import chinchilla, chinchilla_optimum
from analysis.uncertainty.accounting import implied_budgets
from tests.support.commands import ROOT, call_command

CASES = ROOT.parent / "shared" / "cases"
TRUTH = {"E": 1.8, "A": 450.0, "B": 1800.0, "alpha": 0.34, "beta": 0.36}
QUICK = FitOptions(bootstrap=100)
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason="no input files at ../shared/cases")


def codes(verdict: tuple[str, ...]) -> set[str]:
    return {line.partition(":")[0] for line in verdict}


def sweep(compute: list[float], budgets: list[float], embedding: float = 0.0, noise: float = 0.0) -> pd.DataFrame:
    """An isoFLOP sweep whose params include `embedding` times N^(1/3) parameters that its compute does not count."""
    C, factor = (x.ravel() for x in np.meshgrid(compute, np.exp(np.linspace(-1.2, 1.2, 7)), indexing="ij"))
    N = 0.2 * (C / 6) ** 0.514 * factor
    L = chinchilla(N, C / 6 / N, **TRUTH) * np.exp(noise * np.random.default_rng(0).normal(size=len(N)))
    rows = {"budget": np.repeat(budgets, 7), "params": N + embedding * N ** (1 / 3), "tokens": C / 6 / N, "val_loss": L}
    return pd.DataFrame(rows)


GRID = [1e18, 2.15e18, 4.64e18, 1e19, 2.15e19]
PRINTED = [1e18, 2e18, 5e18, 1e19, 2e19]


@pytest.mark.parametrize("law", ["chinchilla-2", "chinchilla"])
def test_budgets_that_were_rounded_when_printed_are_named(law: str) -> None:
    fitted = fit(sweep(GRID, PRINTED, noise=0.001), law, QUICK)
    (line,) = [line for line in fitted.verdict if line.startswith("rounded-budgets")]
    assert "2e+18 for 2.15e+18, 5e+18 for 4.64e+18, 2e+19 for 2.15e+19: --flops 6nd recomputes them" in line
    assert "rounded-budgets" not in codes(fit(sweep(GRID, GRID, noise=0.001), law, QUICK).verdict)


def test_rounded_budgets_are_seen_beside_another_count_of_parameters() -> None:
    implied = implied_budgets(load(sweep(GRID, PRINTED, embedding=3e4)))
    assert implied is not None and np.allclose(list(implied.values()), GRID, rtol=0.01)
    assert implied_budgets(load(sweep(GRID, GRID, embedding=3e4))) is None


def test_an_optimum_follows_the_stated_compute() -> None:
    """The law in the counted parameters is exact, and C = k·N^s·D."""
    C, factor = (x.ravel() for x in np.meshgrid([1e18, 1e19, 1e20], np.exp(np.linspace(-1, 1, 5)), indexing="ij"))
    N = 0.2 * (C / 6) ** 0.45 * factor
    D = C / (0.02 * N**1.3)
    rows = {"N": N, "D": D, "C": C, "L": chinchilla(N, D, **TRUTH)}
    fitted = fit(rows, "chinchilla", QUICK)
    assert fitted.optimum is not None and fitted.optimum.a == pytest.approx(0.36 / (0.34 + 1.3 * 0.36), rel=1e-3)
    optimum, sizes = fitted.optimum.at(1e20), np.geomspace(1e7, 1e11, 40001)
    best = sizes[np.argmin(chinchilla(sizes, 1e20 / (0.02 * sizes**1.3), **TRUTH))]
    assert optimum["N"] == pytest.approx(best, rel=2e-3)
    assert any("C is not proportional to N·D: optima use C = 0.02·N^1.3·D" in note for note in fitted.notes)


def test_an_optimum_at_a_curved_cost_is_the_lowest_loss() -> None:
    cost = ComputeCost(0.001, 1.4, bend=-0.03, center=20.0, limits=(18.0, 23.0))
    sizes = np.geomspace(1e8, 5e9, 40001)
    for C in (1e18, 1e20):
        best = sizes[np.argmin(chinchilla(sizes, cost.tokens(C, sizes), **TRUTH))]
        assert optimal_size(chinchilla_optimum, TRUTH, cost, C) == pytest.approx(best, rel=1e-3)
    path = optimal_path(chinchilla_optimum, TRUTH, cost, 1e18, 1e20)
    assert np.exp(path["ln_n"] + path["a"] * np.log(1e20)) == pytest.approx(best, rel=1e-3)


def test_compute_of_six_per_parameter_and_token_is_proportional() -> None:
    N, D = np.geomspace(1e7, 1e9, 9), np.geomspace(1e9, 1e10, 9)
    assert estimate_cost(N, D, 6 * N * D) == ComputeCost(estimate_cost(N, D, 6 * N * D).k)
    scattered = 6 * N * D * np.exp(0.1 * np.random.default_rng(1).normal(size=9))
    cost = estimate_cost(N, D, scattered)
    assert (cost.s, cost.bend) == (1.0, 0.0) and cost.k == np.exp(np.median(np.log(scattered / (N * D))))


@needs_cases
def test_a_stated_budget_gives_the_exponent_of_the_budget() -> None:
    for law in ("chinchilla-2", "chinchilla"):
        fitted = fit(CASES / "nano_small.csv", law, FitOptions(bootstrap=200))
        assert fitted.optimum is not None
        low, high = fitted.optimum.intervals["a"]
        assert low < 0.377 < high and fitted.optimum.a == pytest.approx(0.377, abs=0.015)
        assert fitted.optimum.at(10 * fitted.optimum.largest)["C"] == pytest.approx(1e21)


@pytest.mark.parametrize("law", ["chinchilla", "power-d", "chinchilla-2"])
def test_a_law_without_repetition_says_that_data_are_repeated(law: str) -> None:
    rows = sweep(GRID, GRID, noise=0.001)
    assert "repeated-data" not in codes(fit(rows.assign(epochs=1), law, QUICK).verdict)
    line = next(x for x in fit(rows.assign(epochs=4), law, QUICK).verdict if x.startswith("repeated-data"))
    assert "repeat their data (4 to 4 epochs)" in line


def test_runs_without_budgets_are_not_chained_into_one() -> None:
    rng = np.random.default_rng(0)
    C = np.geomspace(1e18, 1e21, 160)
    N = 0.2 * (C / 6) ** 0.514 * np.exp(rng.uniform(-1, 1, 160))
    rows = {"N": N, "D": C / 6 / N, "C": C, "L": chinchilla(N, C / 6 / N, **TRUTH)}
    for law in ("chinchilla-1", "chinchilla-2"):
        with pytest.raises(FitError, match="C varies without gaps from 1e\\+18 to 1e\\+21 FLOPs \\(160 runs\\)"):
            fit(rows, law, QUICK)


def test_runs_of_one_budget_that_differ_in_compute_are_warned_of() -> None:
    rows = sweep(GRID, GRID, noise=0.001).rename(columns={"budget": "planned_flops"})
    rows["C"] = rows["planned_flops"] * np.tile(np.linspace(0.8, 1.2, 7), 5)
    assert "mixed-budgets" in codes(fit(rows, "chinchilla-2", QUICK).verdict)


FRONTIER = [(c, L * over) for c, L in zip((1e17, 1e18, 1e19, 1e20), (4.0, 3.58, 3.26, 3.0), strict=True)
            for over in (1, 1.05, 1.12)]  # fmt: skip


def test_the_runs_of_a_law_of_one_input_do_not_depend_on_other_columns() -> None:
    C, L = (np.array(column) for column in zip(*FRONTIER, strict=True))
    sizes = np.tile([1.0, 0.3, 3.0], 4) * 3e7
    alone, beside = fit({"C": C, "L": L}, "power-c", QUICK), fit({"C": C, "N": sizes, "L": L}, "power-c", QUICK)
    assert len(alone.points) == len(beside.points) == 4 and alone.params == beside.params
    assert "power-c is fitted to the frontier: 4 of 12 runs" in alone.notes[0]


@pytest.mark.parametrize("repeats", [1, 3])
def test_noise_about_one_curve_is_no_frontier(repeats: int) -> None:
    rng, D = np.random.default_rng(3), np.repeat(np.geomspace(1e8, 1e10, 12), repeats)
    noise = (0.01 if repeats == 1 else 0.001) * rng.normal(size=len(D))
    L = laws.find("power-d").function(D, E=1.8, B=1800.0, beta=0.36) * np.exp(noise)
    for rows in ({"D": D, "L": L}, {"D": D, "N": 1e7 * rng.uniform(1, 9, len(D)), "L": L}):
        fitted = fit(rows, "power-d", QUICK)
        assert len(fitted.points) == 12 * repeats and "their losses fall along one curve in D" in fitted.notes[0]


def test_the_unit_of_the_loss_travels_to_text_and_json(tmp_path: Path) -> None:
    path, out = tmp_path / "runs.csv", tmp_path / "out.json"
    rows = sweep(GRID[:3], GRID[:3], noise=0.001)
    rows.assign(val_loss=rows["val_loss"] / 3).rename(columns={"val_loss": "val_bpb"}).to_csv(path, index=False)
    quick = ("--bootstrap", "100")
    run = call_command("analysis", "fit", path, *quick, "--at", "N=1e9,D=1e10", "--json", out)
    assert "nats" not in run.stdout and json.loads(out.read_text())["loss_unit"] == "bits per byte"
    assert json.loads(out.read_text())["at"]["unit"] == "bits per byte"
    lines = run.stdout.splitlines()
    for start in ("E ", "at 10×", "at N = 1e+09"):
        assert any(line.startswith(start) and "bits per byte" in line for line in lines), start
    assert any("L in bits per byte, the unit in the name of column val_bpb" in line for line in lines)
    run = call_command("analysis", "optimum", path, *quick, "--run", "N=1e9,D=1e10", "--json", out)
    assert run.stdout.count("(bits/byte)") == 2 and " bits per byte." in run.stdout and "nats" not in run.stdout
    assert json.loads(out.read_text())["loss_unit"] == "bits per byte"


def test_axes_of_the_loss_have_its_unit() -> None:
    points = replace(load(sweep(GRID[:3], GRID[:3], noise=0.001)), loss_unit="bits per byte")
    source = Source("runs", points, options=QUICK)
    for figure in (isoflop.figure, contours.figure):
        labels = [axes.get_ylabel() for axes in figure(source).axes]
        assert "Loss $L$ (bits/byte)" in labels, labels
    assert axis_label(source.fit("chinchilla").form, "L") == "Loss $L$ (bits/byte)"

"""Doubt is as large as it should be: intervals cover, and what is wrong with a sweep is named, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import t as student

from analysis import laws
from analysis.data.points import Points
from analysis.errors import FitError
from analysis.fitting.fit import fit
from analysis.fitting.hoffmann import parabola_bias
from analysis.fitting.hoffmann.isoflop import fit_isoflop
from analysis.fitting.options import FitOptions
from analysis.laws.loss import chinchilla
from analysis.solver.minimise import minimise
from analysis.solver.objective import OBJECTIVES
from analysis.solver.problem import Problem
from analysis.studies.options import CoverageOptions
from analysis.studies.simulations.coverage import HOFFMANN, CoverageStudy, coverage_study, simulate_sweep
from analysis.uncertainty import influence, regimes
from analysis.uncertainty.intervals import corrected_interval
from analysis.uncertainty.resampling import bootstrap
from tests.support.commands import call_command

LAW = laws.LAWS["chinchilla"]


def simulated_points(noise: float = 0.003, seed: int = 0, runs: int = 20, design: str = "isoflop") -> Points:
    clean = simulate_sweep("chinchilla", HOFFMANN, design, runs)
    return replace(clean, L=clean.L * np.exp(noise * np.random.default_rng(seed).standard_normal(len(clean))))


def at_truth(points: Points) -> tuple[Problem, np.ndarray]:
    """The problem of least squares in ln L, at the law that made the points."""
    problem = Problem(LAW, (points.N, points.D), np.log(points.L), np.ones(len(points)), OBJECTIVES["mse-log"])
    return problem, problem.coordinates({k: np.array([v]) for k, v in HOFFMANN.items()})[0]


# Profiles.


def test_a_profile_of_a_line_is_students_interval() -> None:
    """ln N* = ln G + a ln C by least squares: there the interval is known exactly."""
    C = np.geomspace(1e17, 1e21, 9)
    N = 0.1 * C**0.5 * np.exp(0.1 * np.random.default_rng(1).standard_normal(9))
    fitted = fit({"C": C, "Nopt": N}, "optimal-n", FitOptions(intervals="profile", bootstrap=100))
    x = np.log(C) - np.log(C).mean()
    slope = x @ np.log(N) / (x @ x)
    error = np.sqrt(np.sum((np.log(N) - np.log(N).mean() - slope * x) ** 2) / 7 / (x @ x))
    reach = student.ppf(0.975, 7) * error
    assert fitted.intervals["a"] == pytest.approx((slope - reach, slope + reach), rel=1e-5)
    assert fitted.verdict == ("converged",)


def test_at_the_end_of_a_profile_the_best_other_parameters_are_found() -> None:
    """The objective with alpha held at the end of its interval, minimised by another road, has risen by t²."""
    points = simulated_points()
    fitted = fit(points, options=FitOptions(objective="mse-log", intervals="profile", bootstrap=100))
    minimum, critical = fitted.objective["value"], student.ppf(0.975, 15)
    for end in fitted.intervals["alpha"]:
        fixed_fit = fit(points, options=FitOptions(objective="mse-log", fix={"alpha": end}, bootstrap=100))
        assert (fixed_fit.objective["value"] - minimum) / (minimum / 15) == pytest.approx(critical**2, rel=1e-3)
    assert fitted.optimum is not None
    assert fitted.optimum.intervals["a"] == fitted.profiles["a"].interval
    assert set(fitted.to_json()["profile"]) >= {"E", "alpha", "a", "N at 10x", "L at 100x"}


@pytest.mark.slow
def test_a_flat_profile_is_called_unidentifiable_with_its_range() -> None:
    """Four doublings of N and D and 1% noise: nothing says how much of the loss is E."""
    clean = simulate_sweep("chinchilla", HOFFMANN, "grid", 25, {"N": (1e8, 1.6e9), "D": (1e9, 1.6e10)})
    noisy = replace(clean, L=clean.L * np.exp(0.02 * np.random.default_rng(0).standard_normal(25)))
    fitted = fit(noisy, options=FitOptions(intervals="profile", bootstrap=100))
    assert fitted.profiles["E"].open == (True, False) and fitted.intervals["E"][0] == 0.0
    assert any(line.startswith("unidentifiable: the profile of E is flat below: ") for line in fitted.verdict)


# Bootstraps.


def test_normal_draws_spread_as_drawn_residuals_do() -> None:
    points = simulated_points(runs=40)
    residuals, normal = (
        fit(points, options=FitOptions(objective="mse-log", resampling=k, bootstrap=2000))
        for k in ("residuals", "parametric")
    )
    for name in ("alpha", "beta"):
        assert normal.samples[name].std() == pytest.approx(residuals.samples[name].std(), rel=0.12)
    assert normal.to_json()["bootstrap"] == {"kind": "parametric", "draws": 2000}


@pytest.mark.slow
def test_draws_by_size_know_of_luck_that_a_size_shares() -> None:
    """Eight sizes, each with luck of its own in all of its runs: drawn run by run, half of the spread is missed."""
    N, D = (x.ravel() for x in np.meshgrid(np.geomspace(1e7, 1e9, 8), np.geomspace(1e9, 1e11, 6), indexing="ij"))
    rng, spread, text = np.random.default_rng(0), [], {"residuals": [], "sizes": []}
    for seed in range(20):
        luck = 0.004 * np.repeat(rng.standard_normal(8), 6) + 0.001 * rng.standard_normal(48)
        points = Points(
            N, D, 6 * N * D, chinchilla.chinchilla(N, D, **HOFFMANN) * np.exp(luck), [str(i) for i in range(48)]
        )
        for kind, widths in text.items():
            fitted = fit(points, options=FitOptions(objective="mse-log", resampling=kind, bootstrap=100, seed=seed))
            widths.append(np.log(fitted.samples["alpha"]).std())
        spread.append(np.log(fitted.params["alpha"]))
    true = np.std(spread)
    assert np.median(text["residuals"]) < 0.6 * true
    assert 0.75 * true < np.median(text["sizes"]) < 1.6 * true


def test_runs_that_share_their_beginnings_are_drawn_by_size() -> None:
    points = simulated_points(design="grid", runs=36)
    shared = replace(points, shared_prefix=np.arange(36) % 2 > 0)
    assert bootstrap.choose_resampling("auto", points) == "residuals"
    assert (
        bootstrap.choose_resampling("auto", shared)
        == "sizes"
        == fit(shared, options=FitOptions(bootstrap=100)).resampling
    )
    with pytest.raises(FitError, match="group"):
        fit(points, options=FitOptions(resampling="groups", bootstrap=100))
    with pytest.raises(FitError, match="there are only 2, but 5 are needed"):
        fit(replace(points, groups=["a", "b"] * 18), options=FitOptions(resampling="groups", bootstrap=100))


# One budget left out.


def test_without_a_budget_means_the_same_fit_without_its_runs() -> None:
    points = simulated_points()
    fitted = fit(points, options=FitOptions(bootstrap=100))
    assert [budget_fit.points for budget_fit in fitted.refits] == [15] * 4 and points.budgets is not None
    for budget_fit, budget in zip(fitted.refits, np.unique(points.budgets), strict=True):
        second = fit(points.select(points.budgets != budget), options=FitOptions(bootstrap=100))
        for name, value in second.params.items():
            assert budget_fit.params[name] == pytest.approx(value, rel=1e-3)
    assert fitted.to_json()["left_out"][0]["without"] == "budget 6e+18"
    assert (
        len(fit(simulated_points(design="grid", runs=36), options=FitOptions(bootstrap=100)).refits) == 10
    )  # tenths of C


def test_thousands_of_points_are_left_out_by_one_step_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    points = simulated_points(design="grid", runs=2500)
    problem, u = at_truth(points)
    u = minimise(problem, u[None])[0][0]
    monkeypatch.setattr("analysis.uncertainty.resampling.bootstrap.MAX_REFITTED", 100)
    quick = influence.refit_without_parts(problem, u, points)
    monkeypatch.undo()
    for entry, other in zip(quick, influence.refit_without_parts(problem, u, points), strict=True):
        moved = other.params["alpha"] - problem.params(u[None])["alpha"][0]
        assert entry.params["alpha"] == pytest.approx(other.params["alpha"], abs=0.15 * abs(moved) + 1e-6)


def test_a_budget_that_bends_the_law_is_named() -> None:
    points = simulated_points(runs=40)
    assert points.budgets is not None
    top = points.budgets == points.budgets.max()
    fitted = fit(replace(points, L=points.L * np.where(top, 1.03, 1.0)), options=FitOptions(bootstrap=200))
    verdict = [line for line in fitted.verdict if line.startswith("influential-points: dropping budget 3e+21 moves ")]
    assert len(verdict) == 1 and "outside the 95% interval" in verdict[0]


# A change of regime.


def test_a_break_is_called_in_one_of_a_hundred_sweeps_that_have_none() -> None:
    """At the law's own parameters the test is the same whatever the fit: 200 sweeps, two standard errors above 1%."""
    p = []
    for seed in range(200):
        result = regimes.find_regime_change(*at_truth(first := simulated_points(seed=seed)), first)
        assert result is not None
        p.append(result.p)
    assert np.mean(np.array(p) <= 0.01) <= 0.025
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(0.05, abs=0.031)


@pytest.mark.slow
@pytest.mark.parametrize(("bend", "minimum"), [(0.02, 0.9), (0.01, 0.4)])
def test_a_bend_is_found_where_it_is(bend: float, minimum: float) -> None:
    """The exponent of the loss along C changes by `bend` (of some 0.06) in the middle; 0.3% noise, 40 runs."""
    result, middle = [], 0.0
    for seed in range(20):
        points = simulated_points(seed=seed, runs=40)
        middle = float(np.sqrt(points.C.min() * points.C.max()))
        bent = replace(points, L=points.L * np.maximum(points.C / middle, 1.0) ** bend)
        fitted = fit(bent, options=FitOptions(objective="mse-log", bootstrap=100))
        result.append(
            any("regime-change: the residuals have a changepoint at C = " in verdict for verdict in fitted.verdict)
        )
    assert np.mean(result) >= minimum


def test_a_law_of_one_input_names_both_of_its_exponents() -> None:
    C = np.geomspace(1e18, 1e24, 40)
    L = (1e24 / C) ** 0.05 * np.maximum(C / 1e21, 1) ** 0.02
    L = L * np.exp(0.002 * np.random.default_rng(0).standard_normal(40))
    fitted = fit({"C": C, "L": L}, "kaplan-c", FitOptions(bootstrap=100))
    verdict = next(line for line in fitted.verdict if line.startswith("regime-change"))
    below, above = (float(part.split("alpha = ")[1].split()[0]) for part in verdict.split("; "))
    assert below == pytest.approx(0.05, abs=0.002) and above == pytest.approx(0.03, abs=0.002)


# Approach 2's own error.


def test_approach_twos_own_error_is_the_one_it_makes() -> None:
    """On noiseless losses of a law the error is known; it is what bias says, and it is called material."""
    points = simulated_points(0.0, runs=32)
    tilted = points.select(np.argsort(points.N / points.D)[4:])  # the smallest sizes are missing: off the middle
    fitted = fit_isoflop(tilted, FitOptions(bootstrap=100))
    assert fitted.params is not None
    largest = float(tilted.C.max())
    bias = parabola_bias.estimate_bias(fitted, largest, (10.0,))
    a, _, ln_g = laws.chinchilla_optimum(HOFFMANN, 6.0)
    assert bias is not None and bias.a[0] == pytest.approx(float(fitted.params["a"][0]) - a, abs=1e-6)
    true = float(np.exp(ln_g) * (10 * largest / 6) ** a)
    assert np.exp(bias.ln_N[10.0][0]) == pytest.approx(float(fitted.path(10 * largest)[0]) / true, rel=1e-4)
    assert parabola_bias.check_bias(bias, fitted.params, largest)[0].startswith("parabola-bias: ")
    low, high = corrected_interval(fitted.params["a"], 0.95)
    assert low - 1e-6 <= a <= high + 1e-6 and low <= fitted.params["a"][0] <= high


def test_tokens_follow_the_runs_where_flops_are_not_six_n_d() -> None:
    """C = 6·N·D·(1 + 30·N^(-1/3)): D* is that of the runs beside the minimum, not a constant over N*."""
    C = np.repeat(np.geomspace(1e15, 1e18, 4), 9)
    a, _, ln_g = laws.chinchilla_optimum(HOFFMANN, 6.0)
    N = np.exp(ln_g) * (C / 6) ** a * np.tile(np.geomspace(0.4, 4, 9), 4)
    share = 1 + 30 * N ** (-1 / 3)
    D = C / 6 / N / share
    points = Points(N, D, C, chinchilla.chinchilla(N, D, **HOFFMANN), [str(i) for i in range(36)], budgets=C)
    for budget_fit in fit_isoflop(points, FitOptions(bootstrap=100)).budgets:
        assert budget_fit.N_opt is not None and budget_fit.D_opt is not None
        true = budget_fit.budget / 6 / budget_fit.N_opt / (1 + 30 * budget_fit.N_opt ** (-1 / 3))
        assert budget_fit.D_opt == pytest.approx(true, rel=2e-4)


# Studies.


def test_the_command_says_how_often_intervals_hold_the_truth(tmp_path: object) -> None:
    out = call_command(
        "analysis", "simulate", "--draws", 10, "--bootstrap", 100, "--law", "chinchilla-2", "--json", "-"
    )
    assert out.returncode == 0, out.stderr
    result = json.loads(out.stdout)
    assert [row["name"] for row in result["rows"]] == ["a", "N* at 10x", "N* at 100x"]
    assert result["sweeps"] == 10 and result["settings"]["runs"] == 20
    bad = call_command("analysis", "simulate", "--design", "spiral")
    assert bad.returncode == 2 and bad.stderr.count("\n") == 1 and "isoflop, grid" in bad.stderr
    bad = call_command("analysis", "simulate", "--law", "power-d")
    assert bad.returncode == 1 and "E, B, beta" in bad.stderr


def test_a_grid_of_any_law_can_be_studied() -> None:
    truth = {"E": 1.5, "B": 40.0, "beta": 0.2}
    options = CoverageOptions(law="power-d", truth=truth, design="grid", runs=12, draws=20)
    result = coverage_study(options, FitOptions(bootstrap=100))
    assert [row.name for row in result.rows] == ["E", "B", "beta", "L at 10x", "L at 100x"]
    assert all(row.coverage > 0.7 for row in result.rows) and result.failed == 0


LEANING = [  # truth, budgets, sizes, half range, shift, noise
    ({"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.34, "beta": 0.28}, 4, 5, 1.1, (0.4, -0.4), 0.003),
    ({"E": 1.8, "A": 100.0, "B": 4000.0, "alpha": 0.25, "beta": 0.45}, 6, 7, 1.5, (0.0, 0.6), 0.002),
    ({"E": 1.8, "A": 4000.0, "B": 100.0, "alpha": 0.5, "beta": 0.25}, 8, 9, 2.0, (-0.8, 0.0), 0.0005),
    ({"E": 1.8, "A": 30.0, "B": 60000.0, "alpha": 0.2, "beta": 0.55}, 8, 9, 2.0, (-0.1, 0.9), 0.001),
    ({"E": 1.8, "A": 4000.0, "B": 100.0, "alpha": 0.5, "beta": 0.25}, 5, 6, 1.3, (0.3, 0.3), 0.001),
]


def leaning_study(
    case: tuple[dict[str, float], int, int, float, tuple[float, float], float], draws: int, **choices: str
) -> CoverageStudy:
    """Coverage of approach 2 on budgets whose losses lean and are not centred on the minimum."""
    truth, budgets, sizes, half_range, shift, noise = case
    options = CoverageOptions("chinchilla-2", truth, runs=budgets * sizes, budgets=budgets, half_range=half_range)
    options = replace(options, shift=shift, noise=noise, draws=draws)
    return coverage_study(options, FitOptions(bootstrap=200 if draws < 100 else 300, **choices))


@pytest.mark.slow
def test_approach_twos_interval_holds_the_truth_where_its_bias_is_larger_than_its_noise() -> None:
    """Losses that lean, off the middle: the exponent is wrong by ten standard deviations, and its interval is not."""
    study = leaning_study(LEANING[2], 20)
    row = study.rows[0]
    assert abs(row.bias) > 8 * row.std and row.coverage >= 0.8
    assert study.verdicts["parabola-bias"] == 1 and study.settings["shift"] == (-0.8, 0.0)


def test_the_minimum_of_chinchillas_curve_is_not_biased() -> None:
    row = leaning_study(LEANING[2], 8, minimum="chinchilla").rows[0]
    assert abs(row.bias) < row.std


@pytest.mark.long
@pytest.mark.parametrize("case", LEANING)
def test_approach_two_covers_93_to_97_where_minima_lean(
    case: tuple[dict[str, float], int, int, float, tuple[float, float], float],
) -> None:
    """Beyond that, what chance allows a share of 95% of 400 sweeps: two standard errors."""
    chance = 2 * (0.95 * 0.05 / 400) ** 0.5
    for row in leaning_study(case, 400).rows:
        assert 0.93 - chance <= row.coverage <= 0.97 + chance, f"{row.name}: {row.coverage:.1%}"


@pytest.mark.long
@pytest.mark.parametrize(
    ("runs", "sweeps", "choices"),
    [
        (20, 400, {"resampling": "residuals"}),
        (20, 400, {"resampling": "residuals", "objective": "mse-log"}),
        (20, 400, {"intervals": "profile", "objective": "mse-log"}),
        (20, 400, {"intervals": "profile"}),
        (64, 400, {"resampling": "cases"}),
        (64, 400, {"resampling": "parametric", "objective": "mse-log"}),
    ],
)
def test_nominal_95_covers_93_to_97(runs: int, sweeps: int, choices: dict[str, str]) -> None:
    """Beyond that, what chance allows a share of 95%: two standard errors."""
    result = coverage_study(CoverageOptions(runs=runs, draws=sweeps), FitOptions(bootstrap=300, **choices))
    chance = 2 * (0.95 * 0.05 / sweeps) ** 0.5
    for row in result.rows:
        assert 0.93 - chance <= row.coverage <= 0.97 + chance, f"{row.name}: {row.coverage:.1%}"
    assert result.verdicts["converged"] >= 0.95
    assert influence.CHANCE == regimes.CHANCE == 0.01

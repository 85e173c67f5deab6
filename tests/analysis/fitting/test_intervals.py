"""Intervals of predictions and optima: by the stated method, of the law or of a new run, and with their coverage."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import t as student

from analysis import format
from analysis.__main__ import main
from analysis.data.points import Points
from analysis.fitting.fit import fit
from analysis.fitting.options import FitOptions
from analysis.fitting.result import Fit
from analysis.planning.compute_optimal import optimal_training
from analysis.uncertainty.intervals import corrected_interval
from analysis.uncertainty.new_run import new_run_interval
from tests.support.fits import isoflop_sweep

BETA, EXPONENT, NOISE = 30.0, -0.3, 0.02
X = np.geomspace(1e5, 1e8, 20)


def power_law_fit(seed: int, intervals: str = "bootstrap", samples: int = 1000) -> Fit:
    """M1, which is a line in logarithms, fitted to noisy points by least squares in ln y."""
    y = BETA * X**EXPONENT * np.exp(NOISE * np.random.default_rng(seed).standard_normal(len(X)))
    return fit({"x": X, "L": y}, "m1", FitOptions(objective="mse-log", bootstrap=samples, intervals=intervals))


def exact_intervals(fitted: Fit, x: float) -> tuple[np.ndarray, np.ndarray]:
    """Student's intervals of the line at x, and of a new observation."""
    design = np.stack([np.ones(len(X)), np.log(X)], -1)
    row = np.array([1.0, np.log(x)])
    variance = np.sum(fitted.residuals() ** 2) / (len(X) - 2)
    leverage = row @ np.linalg.solve(design.T @ design, row)
    half = student.ppf(0.975, len(X) - 2) * np.sqrt(variance * np.array([leverage, 1 + leverage]))
    value = np.log(fitted.predict(x=x))
    return np.exp(value + half[0] * np.array([-1, 1])), np.exp(value + half[1] * np.array([-1, 1]))


@pytest.mark.parametrize(
    ("intervals", "law_tolerance", "new_run_tolerance"), [("profile", 1e-5, 2e-3), ("bootstrap", 3e-3, 6e-3)]
)
def test_predictions_of_a_line_have_students_intervals(
    intervals: str, law_tolerance: float, new_run_tolerance: float
) -> None:
    """Of the law, and of a new run; by profile likelihood exactly."""
    fitted = power_law_fit(0, intervals, 4000)
    prediction = fitted.at(x=1e9)
    law, new_run = exact_intervals(fitted, 1e9)
    assert prediction["interval"] == pytest.approx(law, rel=law_tolerance)
    assert prediction["new_run_interval"] == pytest.approx(new_run, rel=new_run_tolerance)
    assert prediction["interval_of"] == "law"
    assert prediction["interval_method"] == {"profile": "profile likelihood"}.get(intervals, "bootstrap (residuals)")


def test_the_optimum_of_a_profiled_fit_is_profiled_at_any_budget() -> None:
    """N, D and L of the optimum: not the intervals of the bootstrap, and the same in `fit` and `optimum`."""
    data = isoflop_sweep(0.003)
    profiled, sampled = (
        fit(data, options=FitOptions(bootstrap=200, intervals=intervals)) for intervals in ("profile", "bootstrap")
    )
    assert profiled.optimum is not None and sampled.optimum is not None
    for C in (10 * data.C.max(),):
        entry, other = profiled.optimum.at(C), sampled.optimum.at(C)
        training = optimal_training(profiled, [C]).to_json()[0]
        assert entry["interval_method"] == training["interval_method"] == "profile likelihood"
        assert other["interval_method"] == "bootstrap (residuals)"
        for name in ("N", "D", "L", "tokens_per_parameter"):
            low, high = entry["intervals"][name]
            assert low < entry[name] < high and entry["intervals"][name] != other["intervals"][name]
            assert (low, high) == pytest.approx(other["intervals"][name], rel=0.6)
            assert training["intervals"][name] == pytest.approx((low, high), rel=1e-6)
        low, high = entry["new_run_intervals"]["L"]
        assert low < entry["intervals"]["L"][0] and high > entry["intervals"]["L"][1]
        assert training["new_run_intervals"]["L"] == pytest.approx((low, high), rel=1e-6)


@pytest.mark.parametrize("intervals", ["bootstrap", pytest.param("profile", marks=pytest.mark.slow)])
def test_text_and_json_name_the_method_of_each_interval(
    intervals: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = isoflop_sweep(0.003)
    path = tmp_path / "runs.csv"
    rows = "\n".join(f"{n!r},{d!r},{loss!r}" for n, d, loss in zip(data.N, data.D, data.L, strict=True))
    path.write_text("N,D,L\n" + rows.replace("np.float64(", "").replace(")", ""))
    flags = ["--bootstrap", "100", "--intervals", intervals]
    fixed = ["--fix", "alpha=0.32,beta=0.36"] if intervals == "profile" else []  # fewer profiles
    method = {"bootstrap": "bootstrap (residuals)", "profile": "profile likelihood"}[intervals]
    assert main(["fit", str(path), *flags, *fixed, "--at", "N=1e7,D=1e9"]) == 0
    text = capsys.readouterr().out
    assert f"95% interval, {method}" in text and f"interval of the law, {method}; with the scatter" in text
    assert "a new run [" in text
    assert main(["fit", str(path), *flags, *fixed, "--at", "N=1e7,D=1e9", "--json", "-"]) == 0
    result = json.loads(capsys.readouterr().out)
    for entry in (result, result["at"], *result["optimum"]["at"]):
        assert entry["interval_method"] == method and entry["interval_of"] == "law"
    assert main(["optimum", str(path), *flags, "--budget", "1e15"]) == 0
    text = capsys.readouterr().out
    assert f"intervals at budgets are of the law, by {method}" in text and "loss of a new run" in text
    assert "intervals of other sizes are of the law, by bootstrap (residuals)" in text


def test_approaches_name_their_method() -> None:
    data = isoflop_sweep(0.001)
    for law, options, method in (
        ("chinchilla-2", {}, "bootstrap (residuals)"),
        ("chinchilla-1", {}, "bootstrap (parametric)"),
        ("chinchilla-1", {"frontier": "hull"}, "bootstrap (runs)"),
    ):
        fitted = fit(data, law, FitOptions(bootstrap=100, **options))
        assert fitted.to_json()["interval_method"] == method
        assert fitted.optimum is not None and fitted.optimum.at(1e15)["interval_method"] == method


def test_a_corrected_interval_contains_its_estimate_and_as_many_samples() -> None:
    samples = np.random.default_rng(0).standard_normal(4000)
    for value in (-9.0, -2.2, 0.0, 1.7, 2.5, 9.0):
        low, high = corrected_interval(np.array([value, *samples]), 0.95)
        assert low <= value <= high
        assert np.mean((low <= samples) & (samples <= high)) == pytest.approx(0.95, abs=0.002)
    assert corrected_interval(np.array([0.0, *samples]), 0.95) == pytest.approx(np.quantile(samples, [0.025, 0.975]))


@pytest.mark.slow
def test_intervals_of_new_runs_cover_new_runs() -> None:
    """30 fits, 200 new runs each, beyond the points: 95% within four standard errors (fits differ, not only runs)."""
    rng, inside = np.random.default_rng(1), []
    for seed in range(30):
        low, high = power_law_fit(seed, samples=300).at(x=1e9)["new_run_interval"]
        runs = BETA * 1e9**EXPONENT * np.exp(NOISE * rng.standard_normal(200))
        inside.append(np.mean((low <= runs) & (runs <= high)))
    assert 0.92 <= np.mean(inside) <= 0.98


@pytest.mark.long
def test_profiles_of_predictions_and_optima_cover() -> None:
    """20 runs, 0.3% noise, 100 sweeps: nominal 95%; two standard errors are 4.4%."""
    truth = isoflop_sweep()
    covered: dict[str, list[bool]] = {"N": [], "D": [], "L": [], "at": []}
    exact = fit(truth, options=FitOptions(bootstrap=100))
    assert exact.optimum is not None
    true, value = exact.optimum.at(3e14), float(exact.predict(N=1e6, D=5e7))
    for seed in range(100):
        data: Points = isoflop_sweep(0.003, seed)
        fitted = fit(data, options=FitOptions(bootstrap=100, intervals="profile"))
        assert fitted.optimum is not None
        entry = fitted.optimum.at(3e14)
        for name in ("N", "D", "L"):
            low, high = entry["intervals"][name]
            covered[name].append(low <= true[name] <= high)
        low, high = fitted.at(N=1e6, D=5e7)["interval"]
        covered["at"].append(low <= value <= high)
    for name, shares in covered.items():
        assert 0.905 <= np.mean(shares) <= 0.995, f"{name}: {np.mean(shares):.1%}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (format.signed(-0.0004, ".0%"), "0%"),
        (format.signed(0.0004, ".3f"), "0.000"),
        (format.signed(-0.12, ".0%"), "-12%"),
        (format.percent(-0.0), "0%"),
        (format.number(-0.0, (-0.01, 0.01)), "0.000"),
        (format.estimate(-0.0, (-0.0, 0.2)), "0.00 [0.00, 0.20]"),
        (format.interval_text((-0.0, 0.5), lambda end: f"{end:.2f}"), "[0.00, 0.50]"),
        (format.interval_text((-np.inf, -0.001), lambda end: f"{end:.2g}"), "[-inf, -0.001]"),
    ],
)
def test_zero_as_printed_has_no_sign(text: str, expected: str) -> None:
    assert text == expected


def test_an_open_end_of_the_law_is_an_open_end_of_a_new_run() -> None:
    scatter = 0.01 * np.random.default_rng(0).standard_normal(1000)
    low, high = new_run_interval(2.0, np.empty(0), scatter, 0.95, profiled=(-np.inf, 2.1))
    assert low == 0 and 2.1 < high < 2.2
    low, high = new_run_interval(2.0, np.empty(0), scatter, 0.95, profiled=(1.9, np.inf), signed=True)
    assert low < 1.9 and high == np.inf

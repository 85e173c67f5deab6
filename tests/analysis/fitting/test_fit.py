"""Fits recover what is true, say how sure they are, and refuse what cannot be known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analysis import laws
from analysis.data.points import Points
from analysis.errors import DataError, FitError
from analysis.fitting.fit import fit
from analysis.fitting.options import FitOptions
from analysis.solver.objective import OBJECTIVES
from analysis.solver.problem import Problem
from tests.support.fits import TRUTH, grid, isoflop_sweep, points


@pytest.mark.parametrize("ratio", [1 / 3, 0.5, 1, 2, 3])
@pytest.mark.parametrize("objective", ["huber-log", "mse-log", "mse", "lse"])
def test_noiseless_surfaces_give_their_exponents_back(ratio: float, objective: str) -> None:
    true = {"alpha": 0.3 * ratio**0.5, "beta": 0.3 / ratio**0.5}
    fitted = fit(grid(**true), options=FitOptions(objective=objective, bootstrap=100))
    for name, value in true.items():
        assert abs(fitted.params[name] / value - 1) < 1e-8
    assert fitted.verdict == ("converged",)
    assert fitted.optimum is not None and abs(fitted.optimum.a - 1 / (1 + ratio)) < 1e-8


def test_a_law_that_declares_nothing_but_its_linear_part_fits_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    data = grid(0.003)
    declared = fit(data, options=FitOptions(bootstrap=100))
    bare = replace(laws.LAWS["chinchilla"], powers={}, constants=())
    monkeypatch.setitem(laws.LAWS, "chinchilla", bare)
    plain = fit(data, options=FitOptions(bootstrap=100))
    monkeypatch.setitem(
        laws.LAWS,
        "chinchilla",
        replace(bare, linear=(), starts={**bare.starts, "E": (1.0, 2.0), "A": (50.0,), "B": (100.0,)}),
    )
    searched = fit(data, options=FitOptions(bootstrap=100))
    for name in TRUTH:
        assert plain.params[name] == pytest.approx(declared.params[name], rel=1e-7)
        assert searched.params[name] == pytest.approx(declared.params[name], rel=1e-4)


@pytest.mark.parametrize("name", ["kaplan-n", "kaplan-d", "kaplan-c", "power-n", "power-d", "power-c"])
def test_every_law_of_one_input_comes_back(name: str) -> None:
    law = laws.LAWS[name]
    x = np.geomspace(1e6, 1e10, 12)
    true = {"E": 1.5, "A": 40.0, "B": 40.0, "G": 40.0, "Nc": 1e13, "Dc": 1e13, "Cc": 1e13, "alpha": 0.21, "beta": 0.21}
    true = {p: true.get(p, 0.21) for p in law.parameters}
    nothing = np.full(len(x), np.nan)
    table = {letter: x if letter == law.inputs[0] else nothing for letter in "NDC"}
    L = law.function(x, **true)
    fitted = fit(Points(**table, L=L, names=[f"{i}" for i in range(len(x))]), name, FitOptions(bootstrap=100))
    for p in true:
        assert abs(fitted.params[p] / true[p] - 1) < 1e-7
    assert np.allclose(fitted.predict(**{law.inputs[0]: x}), L, rtol=1e-10)


@pytest.mark.parametrize(
    ("fix", "tie"),
    [
        ({"E": 1.2}, {}),
        ({"A": 60.0}, {}),
        ({"alpha": 0.32}, {}),
        ({"alpha": 0.32, "beta": 0.36}, {}),
        ({"E": 1.2, "A": 60.0, "B": 120.0}, {}),
        ({"E": 1.2, "A": 60.0}, {"beta": "alpha"}),
        ({}, {"beta": "alpha"}),
        ({}, {"B": "A"}),
        ({}, {"alpha": "E"}),
        ({}, {"E": "alpha"}),
    ],
)
def test_what_is_held_is_held_and_the_rest_comes_back(fix: dict[str, float], tie: dict[str, str]) -> None:
    true = {**TRUTH, **{entry: TRUTH[other] for entry, other in tie.items()}}
    fitted = fit(grid(**true), options=FitOptions(fix=fix, tie=tie, bootstrap=100))
    for name, value in true.items():
        assert abs(fitted.params[name] / value - 1) < 1e-8
    assert fitted.to_json()["held"] == fitted.constraints == {**fix, **tie} and list(fitted.params) == list(TRUTH)
    assert fitted.verdict == ("converged",)
    assert np.allclose(fitted.predict(N=fitted.points.N, D=fitted.points.D), fitted.points.L, rtol=1e-9)


def test_the_jacobian_is_the_derivative() -> None:
    data = grid(0.01)
    for law in ("chinchilla", "kaplan-n", "power-c"):
        form = laws.LAWS[law]
        problem = Problem(
            form, tuple(getattr(data, x) for x in form.inputs), np.log(data.L), np.ones(25), OBJECTIVES["huber-log"]
        )
        u = np.full((1, len(problem.names)), 0.7)
        assert np.allclose(problem.coordinates(problem.params(u)), u)
        for at, row in enumerate(problem.jacobian(u)[0]):
            step = np.zeros_like(u)
            step[0, at] = 1e-6
            numeric = (problem.residual(u + step) - problem.residual(u - step))[0] / 2e-6
            assert np.allclose(row, numeric, rtol=1e-5, atol=1e-8)


def test_what_a_law_declares_is_what_its_function_does() -> None:
    x = np.geomspace(1e3, 1e9, 7)
    for law in laws.LAWS.values():
        for name in law.constants:
            alone = {p: 0.0 if p in law.linear else 0.3 for p in law.parameters}
            with_it, without_term = (law.function(*[x for _ in law.inputs], **{**alone, name: v}) for v in (2.0, 0.0))
            assert np.allclose(with_it - without_term, 2.0)
        for name, (letter, exponent) in law.powers.items():
            rest = {p: 0.0 if p in law.linear else 0.3 for p in law.parameters}
            inputs = [x if i == letter else np.ones(7) for i in law.inputs]
            assert np.allclose(law.function(*inputs, **{**rest, name: 2.0, exponent: 0.4}), 2 * x**-0.4)


def test_same_points_same_numbers() -> None:
    first, second = (fit(grid(0.003), options=FitOptions(bootstrap=100)).to_json() for _ in range(2))
    assert first == second


def test_units_of_the_inputs_change_the_scales_alone() -> None:
    data = grid(0.003)
    first, second = (
        fit(data, options=FitOptions(bootstrap=100)),
        fit(points(data.N / 1e6, data.D / 1e9, data.L), options=FitOptions(bootstrap=100)),
    )
    for name in ("E", "alpha", "beta"):
        assert second.params[name] == pytest.approx(first.params[name], rel=1e-7)
    assert second.params["A"] == pytest.approx(first.params["A"] * 1e6 ** -first.params["alpha"], rel=1e-6)


def test_the_optimum_is_where_the_law_is_least() -> None:
    fitted = fit(grid(0.003), options=FitOptions(bootstrap=200))
    assert fitted.optimum is not None
    at = fitted.optimum.at(1e16)
    N = at["N"] * np.exp(np.linspace(-1, 1, 2001))
    L = fitted.predict(N=N, D=1e16 / 6 / N)
    assert abs(np.log(N[L.argmin()] / at["N"])) < 1e-3 and at["L"] == pytest.approx(L.min(), rel=1e-9)
    assert at["N"] * at["D"] * 6 == pytest.approx(1e16)
    assert at["intervals"]["N"][0] < at["N"] < at["intervals"]["N"][1]
    assert at["verdict"] and "extrapolation" in at["verdict"][0]
    assert fitted.optimum.at(1e13)["verdict"] == []


def test_an_interval_of_a_prediction_holds_the_prediction() -> None:
    fitted = fit(isoflop_sweep(0.003), options=FitOptions(bootstrap=300))
    low, high = fitted.predict_interval(N=fitted.points.N, D=fitted.points.D)
    inside = fitted.predict(N=fitted.points.N, D=fitted.points.D)
    assert np.all((low < inside) & (inside < high)) and low.shape == (20,)


@pytest.mark.parametrize(
    ("subject", "law", "message"),
    [
        (grid().select(np.arange(3)), "chinchilla", "5 parameters and there are 3 points"),
        (points(grid().N, grid().D, grid().L * (grid().N / 1e5) ** 0.3), "chinchilla", "does not fall with N"),
        (points(grid().N, np.full(25, 1e7), grid().L), "chinchilla", "same D"),
        (isoflop_sweep(budgets=1, sizes=8), "chinchilla", "one budget"),
        (isoflop_sweep(budgets=1, sizes=8), "chinchilla-2", "too-few-budgets"),
        (isoflop_sweep(sizes=2), "chinchilla-2", "no budget has 3 model sizes"),
        (
            points(isoflop_sweep().N, isoflop_sweep().D, 5 - isoflop_sweep().L, isoflop_sweep().budgets),
            "chinchilla-2",
            "concave",
        ),
        (
            points(isoflop_sweep().N, isoflop_sweep().D, 5 - isoflop_sweep().L, isoflop_sweep().budgets),
            "chinchilla-1",
            "smallest or the largest",
        ),
        (points(grid().N, np.full(25, 1e7), grid().N ** 0.1), "kaplan-n", "does not fall with N"),
    ],
)
def test_a_fit_that_cannot_be_done_says_why(subject: Points, law: str, message: str) -> None:
    with pytest.raises(FitError, match=message) as error:
        fit(subject, law, FitOptions(bootstrap=100))
    assert "\n" not in str(error.value)


def test_a_law_that_has_n_refuses_a_loss_that_does_not_fall_with_it() -> None:
    data = grid()
    rising = Points(data.N, data.D, data.C, data.L * (data.N / 1e5) ** 0.3, data.names, extra={"U": data.D / 4})
    for law in ("data-constrained", "kaplan-nd"):
        with pytest.raises(FitError, match=f"{law}: the loss does not fall with N"):
            fit(rising, law, FitOptions(bootstrap=100))


def test_an_input_need_not_vary_where_what_speaks_of_it_is_held() -> None:
    N, S = (x.ravel() for x in np.meshgrid(np.geomspace(1e7, 1e9, 5), np.geomspace(1e3, 1e5, 5)))
    true = {"Nc": 6.5e13, "Sc": 2.1e3, "alphaN": 0.077, "alphaS": 0.76, "B_star": 2.1e8, "alphaB": 0.21}
    runs = {"N": N, "S": S, "B": np.full(25, 5e5)}
    runs["L"] = laws.LAWS["kaplan-nsb"].function(*runs.values(), **true)
    with pytest.raises(FitError, match="same B"):
        fit(runs, "kaplan-nsb", FitOptions(bootstrap=100))
    fixed = {name: true[name] for name in ("B_star", "alphaB")}
    fitted = fit(runs, "kaplan-nsb", FitOptions(bootstrap=100, fix=fixed))
    assert fitted.params == pytest.approx(true, rel=1e-7)


def test_what_cannot_be_chosen_is_refused_not_left_unheard() -> None:
    for choice in ({"resampling": "cases"}, {"intervals": "profile"}, {"fix": {"a": 0.5}}):
        with pytest.raises(DataError, match="chinchilla-2"):
            fit(isoflop_sweep(0.003), "chinchilla-2", FitOptions(bootstrap=100, **choice))
    with pytest.raises(DataError, match="'gamma' is not a parameter"):
        fit(grid(), options=FitOptions(bootstrap=100, fix={"gamma": 0.5}))


def test_doubts_are_named() -> None:
    data = grid(0.003)
    bent = data.L.copy()
    bent[7], bent[9] = 1.3 * bent[7], bent[9] / 1.3
    twice = np.r_[np.arange(25), 3]

    def codes(what: Points) -> str:
        return " ".join(fit(what, options=FitOptions(bootstrap=200)).verdict)

    assert codes(data) == "converged"
    outliers = codes(points(data.N, data.D, bent))
    assert "run 7 (" in outliers.split(" above)")[0] and "run 9 (" in outliers.split(" below)")[0]
    assert "duplicate-points: " in codes(points(data.N[twice], data.D[twice], data.L[twice]))
    assert "parameter-at-bound: E" in codes(points(data.N, data.D, data.L - 1.5))
    assert "too-few-points: 8 points for 5" in codes(data.select(np.arange(0, 24, 3)))


def test_draws_spread_as_the_theory_of_least_squares_says() -> None:
    """Var = (JᵀJ)⁻¹·RSS/(n − p), times free/(free − 2) for Student's t; uncorrected residuals give 87% of it."""
    data, law = isoflop_sweep(0.001), laws.LAWS["chinchilla"]
    fitted = fit(data, options=FitOptions(objective="mse-log", bootstrap=4000))
    problem = Problem(law, (data.N, data.D), np.log(data.L), np.ones(20), OBJECTIVES["mse-log"])
    J = problem.jacobian(problem.coordinates({k: np.array([v]) for k, v in fitted.params.items()}))[0]
    variance = np.linalg.inv(J @ J.T) * fitted.objective["value"] / 15 * 15 / 13
    for name in ("alpha", "beta"):  # their coordinates are logarithms
        at = problem.names.index(name)
        ratio = np.log(fitted.samples[name]).std() / np.sqrt(variance[at, at])
        assert abs(ratio - 1) < 0.07, ratio


@pytest.mark.slow
def test_many_points_are_searched_by_sample_and_drawn_by_newton_steps_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    large = grid(0.003, size=71)  # 5,041 points
    quick = fit(large, options=FitOptions(bootstrap=400))
    monkeypatch.setattr("analysis.uncertainty.resampling.bootstrap.MAX_REFITTED", 10**9)
    monkeypatch.setattr("analysis.solver.search.MAX_SAMPLE", 10**9)
    slow = fit(large, options=FitOptions(bootstrap=100))
    for name in TRUTH:
        assert quick.params[name] == pytest.approx(slow.params[name], rel=1e-8)
        assert quick.samples[name].std() == pytest.approx(slow.samples[name].std(), rel=0.3)
    assert quick.verdict == slow.verdict == ("converged",)

"""Fits recover what is true, say how sure they are, and refuse what cannot be known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analysis import laws
from analysis.data.points import Points
from analysis.errors import DataError, FitError
from analysis.fitting.fit import fit
from analysis.laws.loss import chinchilla
from analysis.solver.objective import OBJECTIVES
from analysis.solver.problem import Problem
from tests.support.commands import PUBLISHED

DATA = PUBLISHED
published = pytest.mark.skipif(not DATA.is_dir(), reason="published sets are not here (../shared/data)")
TRUTH = {"E": 1.2, "A": 60.0, "B": 120.0, "alpha": 0.32, "beta": 0.36}


def points(N: np.ndarray, D: np.ndarray, L: np.ndarray, budgets: np.ndarray | None = None) -> Points:
    return Points(N, D, 6 * N * D, L, [f"run {i}" for i in range(len(N))], budgets=budgets)


def grid(noise: float = 0.0, seed: int = 0, size: int = 5, **changed: float) -> Points:
    """Sizes × tokens, with relative noise."""
    N, D = (x.ravel() for x in np.meshgrid(np.geomspace(1e5, 3e6, size), np.geomspace(1e6, 1e8, size)))
    L = chinchilla.chinchilla(N, D, **{**TRUTH, **changed})
    return points(N, D, L * np.exp(noise * np.random.default_rng(seed).normal(size=len(N))))


def sweep(noise: float = 0.0, seed: int = 0, budgets: int = 4, sizes: int = 5, off: float = 0.0) -> Points:
    """An isoFLOP sweep, `off` nats of N off the optimum."""
    C = np.repeat(np.geomspace(1e12, 3e13, budgets), sizes)
    a, _, ln_g = laws.chinchilla_optimum(TRUTH, 6.0)
    N = np.exp(ln_g + off) * (C / 6) ** a * np.tile(np.exp(np.linspace(-1.1, 1.1, sizes)), budgets)
    L = chinchilla.chinchilla(N, C / 6 / N, **TRUTH)
    return points(N, C / 6 / N, L * np.exp(noise * np.random.default_rng(seed).normal(size=len(N))), C)


@pytest.mark.parametrize("ratio", [1 / 3, 0.5, 1, 2, 3])
@pytest.mark.parametrize("objective", ["huber-log", "mse-log", "mse", "lse"])
def test_noiseless_surfaces_give_their_exponents_back(ratio: float, objective: str) -> None:
    true = {"alpha": 0.3 * ratio**0.5, "beta": 0.3 / ratio**0.5}
    found = fit(grid(**true), objective=objective, bootstrap=100)
    for name, value in true.items():
        assert abs(found.params[name] / value - 1) < 1e-8
    assert found.verdict == ("converged",)
    assert found.optimum is not None and abs(found.optimum.a - 1 / (1 + ratio)) < 1e-8


def test_a_law_that_declares_nothing_but_its_linear_part_fits_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    one = grid(0.003)
    declared = fit(one, bootstrap=100)
    bare = replace(laws.LAWS["chinchilla"], powers={}, constants=())
    monkeypatch.setitem(laws.LAWS, "chinchilla", bare)
    plain = fit(one, bootstrap=100)
    monkeypatch.setitem(
        laws.LAWS,
        "chinchilla",
        replace(bare, linear=(), starts={**bare.starts, "E": (1.0, 2.0), "A": (50.0,), "B": (100.0,)}),
    )
    searched = fit(one, bootstrap=100)
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
    given = {letter: x if letter == law.inputs[0] else nothing for letter in "NDC"}
    L = law.function(x, **true)
    found = fit(Points(**given, L=L, names=[f"{i}" for i in range(len(x))]), name, bootstrap=100)
    for p in true:
        assert abs(found.params[p] / true[p] - 1) < 1e-7
    assert np.allclose(found.predict(**{law.inputs[0]: x}), L, rtol=1e-10)


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
    true = {**TRUTH, **{one: TRUTH[other] for one, other in tie.items()}}
    found = fit(grid(**true), fix=fix, tie=tie, bootstrap=100)
    for name, value in true.items():
        assert abs(found.params[name] / value - 1) < 1e-8
    assert found.to_json()["held"] == found.held == {**fix, **tie} and list(found.params) == list(TRUTH)
    assert found.verdict == ("converged",)
    assert np.allclose(found.predict(N=found.points.N, D=found.points.D), found.points.L, rtol=1e-9)


def test_the_jacobian_is_the_derivative() -> None:
    some = grid(0.01)
    for law in ("chinchilla", "kaplan-n", "power-c"):
        form = laws.LAWS[law]
        problem = Problem(
            form, tuple(getattr(some, x) for x in form.inputs), np.log(some.L), np.ones(25), OBJECTIVES["huber-log"]
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
            with_it, without = (law.function(*[x for _ in law.inputs], **{**alone, name: v}) for v in (2.0, 0.0))
            assert np.allclose(with_it - without, 2.0)
        for name, (letter, exponent) in law.powers.items():
            rest = {p: 0.0 if p in law.linear else 0.3 for p in law.parameters}
            inputs = [x if i == letter else np.ones(7) for i in law.inputs]
            assert np.allclose(law.function(*inputs, **{**rest, name: 2.0, exponent: 0.4}), 2 * x**-0.4)


def test_same_points_same_numbers() -> None:
    first, second = (fit(grid(0.003), bootstrap=100).to_json() for _ in range(2))
    assert first == second


def test_units_of_the_inputs_change_the_scales_alone() -> None:
    one = grid(0.003)
    here, there = fit(one, bootstrap=100), fit(points(one.N / 1e6, one.D / 1e9, one.L), bootstrap=100)
    for name in ("E", "alpha", "beta"):
        assert there.params[name] == pytest.approx(here.params[name], rel=1e-7)
    assert there.params["A"] == pytest.approx(here.params["A"] * 1e6 ** -here.params["alpha"], rel=1e-6)


def test_the_optimum_is_where_the_law_is_least() -> None:
    found = fit(grid(0.003), bootstrap=200)
    assert found.optimum is not None
    at = found.optimum.at(1e16)
    N = at["N"] * np.exp(np.linspace(-1, 1, 2001))
    L = found.predict(N=N, D=1e16 / 6 / N)
    assert abs(np.log(N[L.argmin()] / at["N"])) < 1e-3 and at["L"] == pytest.approx(L.min(), rel=1e-9)
    assert at["N"] * at["D"] * 6 == pytest.approx(1e16)
    assert at["intervals"]["N"][0] < at["N"] < at["intervals"]["N"][1]
    assert at["verdict"] and "extrapolates" in at["verdict"][0]
    assert found.optimum.at(1e13)["verdict"] == []


def test_an_interval_of_a_prediction_holds_the_prediction() -> None:
    found = fit(sweep(0.003), bootstrap=300)
    low, high = found.predict_interval(N=found.points.N, D=found.points.D)
    inside = found.predict(N=found.points.N, D=found.points.D)
    assert np.all((low < inside) & (inside < high)) and low.shape == (20,)


@pytest.mark.parametrize(
    ("what", "law", "said"),
    [
        (grid().where(np.arange(3)), "chinchilla", "5 parameters and there are 3 points"),
        (points(grid().N, grid().D, grid().L * (grid().N / 1e5) ** 0.3), "chinchilla", "does not fall with N"),
        (points(grid().N, np.full(25, 1e7), grid().L), "chinchilla", "same D"),
        (sweep(budgets=1, sizes=8), "chinchilla", "one budget"),
        (sweep(budgets=1, sizes=8), "chinchilla-2", "too-few-budgets"),
        (sweep(sizes=2), "chinchilla-2", "three model sizes"),
        (points(sweep().N, sweep().D, 5 - sweep().L, sweep().budgets), "chinchilla-2", "concave"),
        (points(sweep().N, sweep().D, 5 - sweep().L, sweep().budgets), "chinchilla-1", "smallest or the largest"),
        (points(grid().N, np.full(25, 1e7), grid().N ** 0.1), "kaplan-n", "does not fall with N"),
    ],
)
def test_a_fit_that_cannot_be_done_says_why(what: Points, law: str, said: str) -> None:
    with pytest.raises(FitError, match=said) as error:
        fit(what, law, bootstrap=100)
    assert "\n" not in str(error.value)


def test_a_law_that_has_n_refuses_a_loss_that_does_not_fall_with_it() -> None:
    one = grid()
    rising = Points(one.N, one.D, one.C, one.L * (one.N / 1e5) ** 0.3, one.names, more={"U": one.D / 4})
    for law in ("data-constrained", "kaplan-nd"):
        with pytest.raises(FitError, match=f"{law}: the loss does not fall with N"):
            fit(rising, law, bootstrap=100)


def test_an_input_need_not_vary_where_what_speaks_of_it_is_held() -> None:
    N, S = (x.ravel() for x in np.meshgrid(np.geomspace(1e7, 1e9, 5), np.geomspace(1e3, 1e5, 5)))
    true = {"Nc": 6.5e13, "Sc": 2.1e3, "alphaN": 0.077, "alphaS": 0.76, "B_star": 2.1e8, "alphaB": 0.21}
    runs = {"N": N, "S": S, "B": np.full(25, 5e5)}
    runs["L"] = laws.LAWS["kaplan-nsb"].function(*runs.values(), **true)
    with pytest.raises(FitError, match="same B"):
        fit(runs, "kaplan-nsb", bootstrap=100)
    held = {name: true[name] for name in ("B_star", "alphaB")}
    found = fit(runs, "kaplan-nsb", bootstrap=100, fix=held)
    assert found.params == pytest.approx(true, rel=1e-7)


def test_what_cannot_be_chosen_is_refused_not_left_unheard() -> None:
    for choice in ({"kind": "cases"}, {"intervals": "profile"}, {"fix": {"a": 0.5}}):
        with pytest.raises(DataError, match="chinchilla-2"):
            fit(sweep(0.003), "chinchilla-2", bootstrap=100, **choice)
    with pytest.raises(DataError, match="'gamma' is not a parameter"):
        fit(grid(), bootstrap=100, fix={"gamma": 0.5})


def test_doubts_are_named() -> None:
    one = grid(0.003)
    bent = one.L.copy()
    bent[7] *= 1.3
    twice = np.r_[np.arange(25), 3]

    def codes(what: Points) -> str:
        return " ".join(fit(what, bootstrap=200).verdict)

    assert codes(one) == "converged"
    assert "outliers: run 7 (" in codes(points(one.N, one.D, bent))
    assert "duplicates: " in codes(points(one.N[twice], one.D[twice], one.L[twice]))
    assert "at-bound: E" in codes(points(one.N, one.D, one.L - 1.5))
    assert "too-few-points: 8 points for 5" in codes(one.where(np.arange(0, 24, 3)))


def test_draws_spread_as_the_theory_of_least_squares_says() -> None:
    """Var = (JᵀJ)⁻¹·RSS/(n − p), times free/(free − 2) for Student's t; uncorrected residuals give 87% of it."""
    some, law = sweep(0.001), laws.LAWS["chinchilla"]
    found = fit(some, objective="mse-log", bootstrap=4000)
    problem = Problem(law, (some.N, some.D), np.log(some.L), np.ones(20), OBJECTIVES["mse-log"])
    J = problem.jacobian(problem.coordinates({k: np.array([v]) for k, v in found.params.items()}))[0]
    variance = np.linalg.inv(J @ J.T) * found.objective["value"] / 15 * 15 / 13
    for name in ("alpha", "beta"):  # their coordinates are logarithms
        at = problem.names.index(name)
        ratio = np.log(found.draws[name]).std() / np.sqrt(variance[at, at])
        assert abs(ratio - 1) < 0.07, ratio


def test_many_points_are_searched_by_sample_and_drawn_by_newton_steps_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    many = grid(0.003, size=71)  # 5,041 points
    quick = fit(many, bootstrap=400)
    monkeypatch.setattr("analysis.uncertainty.bootstrap.LINEAR", 10**9)
    monkeypatch.setattr("analysis.solver.search.SAMPLE", 10**9)
    slow = fit(many, bootstrap=100)
    for name in TRUTH:
        assert quick.params[name] == pytest.approx(slow.params[name], rel=1e-8)
        assert quick.draws[name].std() == pytest.approx(slow.draws[name].std(), rel=0.3)
    assert quick.verdict == slow.verdict == ("converged",)

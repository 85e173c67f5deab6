"""Objectives, weights and what is held: each does what it is named for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analysis import laws
from analysis.data.points import Points
from analysis.errors import DataError, FitError
from analysis.fitting.fit import fit
from analysis.fitting.options import FitOptions
from analysis.laws import Law
from analysis.solver.minimise import gradient, minimise
from analysis.solver.objective import OBJECTIVES, make_objective
from analysis.solver.problem import Problem
from analysis.uncertainty import seed_noise
from tests.support.fits import TRUTH, grid, points

R = np.linspace(-0.02, 0.02, 4001)


@pytest.mark.parametrize("name", list(OBJECTIVES))
@pytest.mark.parametrize("tau", [0.5, 0.1])
def test_the_slope_is_the_derivative_of_what_is_summed(name: str, tau: float) -> None:
    objective_kind = make_objective(name, undertuned=tau)
    step = 1e-9
    numeric = (objective_kind.rho(R + step) - objective_kind.rho(R - step)) / (2 * step)
    assert np.allclose(objective_kind.psi(R), numeric, atol=1e-6)
    assert np.all(objective_kind.curvature(R, 1.0) > 0) and objective_kind.rho(np.zeros(1))[0] == 0


@pytest.mark.parametrize("name", list(OBJECTIVES))
def test_a_link_is_undone_and_its_derivative_is_its_own(name: str) -> None:
    objective_kind, x = OBJECTIVES[name], np.geomspace(0.01, 50, 20)
    assert np.allclose(objective_kind.inverse(objective_kind.transform(x)), x)
    assert np.allclose(
        objective_kind.link_derivative(x),
        (objective_kind.transform(x * (1 + 1e-7)) - objective_kind.transform(x * (1 - 1e-7))) / (2e-7 * x),
        rtol=1e-6,
    )


def test_the_objective_is_a_sum() -> None:
    once, twice = grid(0.003), grid(0.003)
    both = points(np.r_[once.N, twice.N], np.r_[once.D, twice.D], np.r_[once.L, twice.L])
    fitted, two = fit(once, options=FitOptions(bootstrap=100)), fit(both, options=FitOptions(bootstrap=100))
    assert two.objective["value"] == pytest.approx(2 * fitted.objective["value"], rel=1e-9)
    r = fitted.residuals()
    huber = np.where(np.abs(r) <= 1e-3, r**2 / 2, 1e-3 * (np.abs(r) - 5e-4))
    assert fitted.objective == {"name": "huber-log", "value": pytest.approx(huber.sum(), rel=1e-9), "delta": 1e-3}


@pytest.mark.parametrize(
    "objective",
    [
        "huber-log",
        "mse-log",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("mse", "huber", "mse-log1p", "lad")),
    ],
)
def test_undertuned_runs_pull_less_the_less_they_count(objective: str) -> None:
    """A third of the runs is worse than it need be, by up to 6%: the law of the others is what comes back."""
    data, rng = grid(0.001, size=8), np.random.default_rng(1)
    bad = rng.random(64) < 1 / 3
    worse = points(data.N, data.D, data.L * np.where(bad, 1 + rng.uniform(0.01, 0.06, 64), 1.0))
    values = [
        fit(worse, options=FitOptions(objective=objective, undertuned=tau, bootstrap=100)) for tau in (0.5, 0.1, 0.02)
    ]
    above = [float(np.mean(data.predict(N=data.points.N, D=data.points.D) / grid(size=8).L - 1)) for data in values]
    assert above[0] > above[1] > above[2] and abs(above[2]) < 0.005
    assert values[1].objective["undertuned"] == 0.1 and "undertuned" not in values[0].objective


def test_runs_above_and_below_count_as_tau_says() -> None:
    objective_kind = make_objective("mse", undertuned=0.1)
    assert objective_kind.rho(np.array([-1.0]))[0] / objective_kind.rho(np.array([1.0]))[0] == pytest.approx(0.1 / 0.9)
    with pytest.raises(DataError, match="and at most"):
        FitOptions(undertuned=0.9)


@pytest.mark.parametrize(("name", "having"), [("mse", False), ("lad", False), ("huber-log", True), ("huber", True)])
def test_a_delta_is_for_objectives_that_have_one(name: str, having: bool) -> None:
    if having:
        assert make_objective(name, 0.01).delta == 0.01
    else:
        with pytest.raises(DataError, match=f"objective {name} has no delta"):
            make_objective(name, 0.01)


def seeded(spread: np.ndarray, seeds: int = 6) -> Points:
    """The grid, each setting `seeds` times, with a noise for each of its five sizes."""
    data = grid()
    at = np.repeat(np.arange(25), seeds)
    at_size = spread[np.searchsorted(np.unique(data.N), data.N)][at]
    sampled = data.L[at] * np.exp(at_size * np.random.default_rng(3).normal(size=len(at)))
    return points(data.N[at], data.D[at], sampled)


def test_seeds_tell_how_noisy_a_size_is() -> None:
    spread = 0.02 * np.array([1.0, 0.5, 0.25, 0.125, 0.0625])
    data = seeded(spread)
    fitted = fit(data, options=FitOptions(objective="mse-log", weights="seeds", bootstrap=100))
    weights = fitted.points.weights
    assert weights is not None and fitted.objective["weights"] == "seeds" and weights.mean() == pytest.approx(1.0)
    by_size = np.array([weights[data.N == N][0] for N in np.unique(data.N)])
    assert np.allclose(np.log(by_size / by_size[0]), np.log((spread[0] / spread) ** 2), atol=0.7)
    even = fit(data, options=FitOptions(objective="mse-log", weights="even", bootstrap=100))
    assert abs(fitted.params["alpha"] - TRUTH["alpha"]) < abs(even.params["alpha"] - TRUTH["alpha"])


def test_seeds_that_are_as_noisy_everywhere_weigh_alike() -> None:
    weights = fit(seeded(np.full(5, 0.01)), options=FitOptions(weights="seeds", bootstrap=100)).points.weights
    assert weights is not None and np.ptp(weights) < 0.2


def test_a_trend_of_noise_is_followed_where_it_is_clear_alone() -> None:
    x, free, mask = np.log(np.geomspace(1e5, 1e9, 5)), np.full(5, 10.0), np.full(5, True)
    chance = np.exp([0.2, -0.1, 0.1, -0.2, 0.3])
    assert np.all(seed_noise._trend(x, chance, free, mask) == 1)
    steep = seed_noise._trend(x, chance * np.exp(-0.5 * x), free, mask)
    assert np.allclose(np.diff(np.log(steep)) / np.diff(x), -0.5, atol=0.05)


def test_a_size_without_seeds_takes_what_the_others_say() -> None:
    data = seeded(np.full(5, 0.01))
    first = np.arange(len(data)) % 6 == 0  # one run a setting at the largest size
    fitted = fit(data.select((data.N < 2e6) | first), options=FitOptions(weights="seeds", bootstrap=100))
    assert fitted.points.weights is not None and np.isfinite(fitted.points.weights).all()


def test_weights_by_seeds_need_seeds() -> None:
    with pytest.raises(FitError, match="no two of the 25 runs have the same N, D"):
        fit(grid(0.01), options=FitOptions(weights="seeds", bootstrap=100))
    with pytest.raises(DataError, match="must be one of column, seeds, even"):
        fit(grid(0.01), options=FitOptions(weights="seed", bootstrap=100))


def line(x: np.ndarray, *, slope: float, rise: float) -> np.ndarray:
    return rise + slope * x


def test_linear_parameters_may_have_any_sign_where_bounds_say_so() -> None:
    x = np.linspace(-2, 3, 30)
    free = (-np.inf, np.inf)
    form = Law(
        line,
        "a straight line",
        {},
        linear=("slope", "rise"),
        bounds={"slope": free, "rise": free},
        constants=("rise",),
        output="y",
        objective="mse",
        signed=("x", "y"),
    )
    subset = {"x": x, "y": -1.5 * x - 0.25}
    fitted = fit(subset, form, FitOptions(bootstrap=100))
    assert fitted.params["slope"] == pytest.approx(-1.5, rel=1e-9)
    assert fitted.params["rise"] == pytest.approx(-0.25, rel=1e-9)
    bound = fit(subset, replace(form, bounds={"rise": free}), FitOptions(bootstrap=100))
    assert bound.params["slope"] == 0 and any(
        verdict.startswith("parameter-at-bound: slope") for verdict in bound.verdict
    )


def test_an_output_that_has_no_logarithm_is_named() -> None:
    data = grid()
    low = data.L.copy()
    low[4] = -0.5
    with pytest.raises(FitError, match="greater than 0, or choose mse or huber"):
        fit(points(data.N, data.D, low), options=FitOptions(bootstrap=100))


@pytest.mark.parametrize("objective", list(OBJECTIVES))
def test_what_is_found_is_stationary(objective: str) -> None:
    data = grid(0.003)
    problem = Problem(
        laws.LAWS["chinchilla"],
        (data.N, data.D),
        OBJECTIVES[objective].transform(data.L),
        np.ones(25),
        make_objective(objective),
    )
    u, _ = minimise(problem, problem.coordinates({name: np.array([value]) for name, value in TRUTH.items()}))
    scale = np.abs(problem.jacobian(u)[0]) @ np.abs(problem.objective.psi(problem.residual(u)))[0]
    assert np.all(np.abs(gradient(problem, u)[0]) < 1e-3 * scale)

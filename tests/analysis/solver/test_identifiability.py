"""Where the points do not determine the parameters, intervals contain all that fits equally well."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.fitting.fit import fit
from analysis.fitting.options import FitOptions
from analysis.fitting.parametric import make_problem
from analysis.fitting.result import Fit
from analysis.laws.loss.chinchilla import CHINCHILLA, chinchilla
from analysis.solver.identifiability import equal_optima, undetermined_directions, undetermined_names
from analysis.solver.objective import make_objective
from analysis.solver.problem import Problem
from analysis.studies.simulations.law_prior import KINDS, Sweep, draw_sweep
from analysis.uncertainty.diagnostics import check_design
from analysis.uncertainty.profile import Axis, profile_axes

OPTIONS = FitOptions(bootstrap=200, checks=False)


def fitted_sweep(kind: str, seed: int, runs: int = 12) -> tuple[Sweep, Fit, Problem, np.ndarray]:
    """A simulated sweep, the fit of Chinchilla's law, and its problem and coordinates."""
    sweep = draw_sweep(KINDS[kind], np.random.default_rng(seed), runs)
    result = fit(sweep.points, "chinchilla", OPTIONS)
    problem = make_problem(result.points, CHINCHILLA, make_objective(CHINCHILLA.objective))
    return sweep, result, problem, problem.coordinates({k: np.array([v]) for k, v in result.params.items()})[0]


@pytest.fixture(scope="module")
def two_tokens() -> list[tuple[Sweep, Fit, Problem, np.ndarray]]:
    return [fitted_sweep("two token counts", seed) for seed in range(2)]


def test_optima_that_fit_equally_well_span_what_two_token_counts_leave_open(two_tokens) -> None:
    for sweep, result, problem, u_P in two_tokens:
        params = problem.params(equal_optima(problem, u_P))
        output = chinchilla(sweep.points.N[:, None], sweep.points.D[:, None], **params)
        noise = float(np.std(np.log(sweep.points.L / output[:, 0])))
        assert np.abs(np.log(output / output[:, :1])).max() < 0.1 * noise
        assert np.ptp(np.log(params["alpha"])) < 1e-2  # six sizes determine it
        assert params["E"].min() < 0.5 and params["E"].max() > sweep.truth["E"]
        assert params["beta"].min() < sweep.truth["beta"] < params["beta"].max()
        assert params["E"][0] == pytest.approx(result.params["E"])


def test_the_verdict_names_the_parameters_that_are_not_determined(two_tokens) -> None:
    _, result, problem, u_P = two_tokens[0]
    assert undetermined_names(problem, u_P) == ("E", "B", "beta")
    (first, *_) = check_design(problem, u_P, result.points)
    assert first.startswith("unidentifiable: these points do not determine E, B, beta separately (condition number ")


def test_bootstrap_intervals_contain_the_truth_where_refits_from_one_optimum_do_not_move(two_tokens) -> None:
    for sweep, result, _, _ in two_tokens:
        for name in ("E", "alpha", "beta"):
            low, high = result.intervals[name]
            assert low < sweep.truth[name] < high, name
        for t, loss in enumerate(sweep.losses):
            low, high = result.at(N=sweep.targets["N"][t], D=sweep.targets["D"][t])["interval"]
            assert low < loss < high


@pytest.mark.slow
def test_profiles_start_at_the_ends_of_what_fits_equally_well(two_tokens) -> None:
    axes = {"E": Axis(lambda p: p["E"], False), "beta": Axis(lambda p: p["beta"], True)}
    sweep, result, problem, u_P = two_tokens[0]
    profiles = profile_axes(problem, u_P, 0.95, axes)
    for name, curve in profiles.items():
        assert curve.interval[0] < sweep.truth[name] < curve.interval[1], name
    assert profiles["E"].interval[1] < float(result.points.L.max())


def test_points_that_determine_the_parameters_have_one_optimum() -> None:
    _, _, problem, u_P = fitted_sweep("independent", 1)
    assert not len(undetermined_directions(problem, u_P)) and not undetermined_names(problem, u_P)
    assert np.array_equal(equal_optima(problem, u_P), u_P[None])


def test_simulated_designs_determine_the_law_except_those_of_two_token_counts() -> None:
    rng = np.random.default_rng(0)
    for name, kind in KINDS.items():
        for runs in (24,) if kind.repeats_sizes or kind.seeds > 1 else (9, 12, 24):
            if runs % 2 and kind.two_tokens:
                continue
            for _ in range(10):
                sweep = draw_sweep(kind, rng, runs)
                problem = make_problem(sweep.points, CHINCHILLA, make_objective("mse-log"))
                u_P = problem.coordinates({k: np.array([v]) for k, v in sweep.truth.items()})[0]
                assert bool(len(undetermined_directions(problem, u_P))) == kind.two_tokens, name

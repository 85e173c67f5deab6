"""The posterior density: laws and their derivatives by JAX, priors, noise, and the checks of the chains."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis import laws
from analysis.fitting.parametric import make_problem
from analysis.solver.objective import make_objective
from analysis.solver.problem import Problem
from analysis.uncertainty.posterior.posterior import DataSet, Posterior, _arrays, check_posterior
from analysis.uncertainty.posterior.priors import (
    DOF_RATE,
    DOF_SHAPE,
    EFFECT_SCALE,
    NOISE_LOG_STD,
    NOISE_MEDIAN,
    draw_points,
    draw_prior,
    prior_std,
    weak_prior,
)
from tests.support.fits import TRUTH, grid
from tests.support.laws.law_tables import TRUTHS, law_table

UNTRACEABLE = ("m4", "multi-power", "tissue", "kaplan-nsb")  # loops until convergence, or inputs of known values

jax = pytest.importorskip("jax")
density = pytest.importorskip("analysis.uncertainty.posterior.density")
nuts = pytest.importorskip("analysis.uncertainty.posterior.nuts")


def stack(value: Any) -> Any:
    return tuple(x[None] for x in value) if isinstance(value, tuple) else value[None]


def problem_of(name: str) -> Problem:
    law, table = laws.LAWS[name], law_table(name)
    columns = [table[letter].to_numpy() for letter in law.inputs]
    if law.labels:
        columns[-1] = pd.factorize(columns[-1])[0] + 1.0
    objective = make_objective(law.objective)
    y = objective.transform(table[law.output].to_numpy())
    inputs = tuple(np.asarray(x, np.float64) for x in columns)
    return Problem(law, inputs, y, np.ones(len(y)), objective)


def derivatives_by_jax(name: str) -> tuple[Any, Problem, np.ndarray, np.ndarray, np.ndarray]:
    problem = problem_of(name)
    model = density.make_model(problem)
    u = problem.coordinates({key: np.array([value]) for key, value in TRUTHS[name].items()})[0]
    data = {"inputs": problem.inputs, "weights": problem.weights, "y": problem.y}
    with jax.enable_x64(True):

        def residual(u: Any) -> Any:
            return density.link_of_output(model, data, u) - problem.y

        value, by_jax = jax.jit(lambda u: (residual(u), jax.jacrev(residual)(u)))(u)
        return model, problem, u, np.asarray(value), np.asarray(by_jax)


def check_law(name: str) -> None:
    model, problem, u, value, by_jax = derivatives_by_jax(name)
    assert value == pytest.approx(problem.residual(u[None])[0], abs=1e-9)
    scale = np.abs(by_jax).max(0)
    assert by_jax / scale == pytest.approx(problem.jacobian(u[None])[0].T / scale, abs=2e-6)
    assert (model.solver is not None) == (name in UNTRACEABLE)


def test_output_and_derivatives_of_a_law_by_jax_are_those_of_the_solver() -> None:
    """Traced by JAX, and for a law with a loop until convergence, by the solver."""
    check_law("chinchilla")
    check_law("m4")


@pytest.mark.slow
@pytest.mark.parametrize("name", list(TRUTHS))
def test_output_and_derivatives_of_each_law_by_jax_are_those_of_the_solver(name: str) -> None:
    check_law(name)


@pytest.mark.parametrize(("objective", "groups"), [("huber-log", 0), ("mse", 0), ("huber-log", 5)])
def test_density_is_that_of_the_documented_priors_and_noise(objective: str, groups: int) -> None:
    """Ratio of densities at two places, with effects of groups, weights, and rows without weight."""
    points = grid(0.01)
    problem = make_problem(points, laws.LAWS["chinchilla"], make_objective(objective))
    problem = problem.with_data(problem.y, np.linspace(0.5, 1.5, len(points)))
    labels, prior = np.arange(len(points)) % 5, weak_prior(problem)
    model = density.make_model(problem, groups)
    optimum = problem.coordinates({name: np.array([value]) for name, value in TRUTH.items()})[0]
    arrays = _arrays(groups, DataSet(problem, [optimum], labels, prior), 2)
    starts = {name: value.copy()[None] for name, value in arrays.pop("starts").items()}
    arrays.pop("elsewhere")
    for value in starts.values():
        value[0, 1] *= 1.02
    z = density.unconstrained_starts(model, starts)[0]
    back = density.constrained_values(model, z[None, :, None])
    assert all(back[name][0, :, 0] == pytest.approx(value[0], rel=1e-12) for name, value in starts.items())

    def jacobian(z_K: np.ndarray) -> float:
        """Logarithm of the determinant of the derivatives of the constrained coordinates, by central differences."""
        steps = z_K + 1e-6 * np.concatenate([np.eye(len(z_K)), -np.eye(len(z_K))])
        values = density.constrained_values(model, steps[None, :, None])
        matrix = np.stack([values[name][0, :, 0] for name in starts])
        return float(np.linalg.slogdet((matrix[:, : len(z_K)] - matrix[:, len(z_K) :]) / 2e-6)[1])

    def expected(r: int) -> float:
        value = {name: x[0, r] for name, x in starts.items()}
        u, unit = np.array([value[name] for name in problem.names]), prior.noise_unit
        total = stats.norm(prior.location, prior.scale).logpdf(u).sum()
        total += stats.lognorm(NOISE_LOG_STD, scale=NOISE_MEDIAN * unit).logpdf(value["noise.sigma"])
        mean = problem.objective.transform(problem.model(u[None])[0])
        spread = value["noise.sigma"] / np.sqrt(problem.weights)
        if groups:
            total += stats.halfnorm(scale=EFFECT_SCALE * unit).logpdf(value["noise.tau"])
            covariance = np.diag(spread**2) + value["noise.tau"] ** 2 * (labels == labels[:, None])
            noise = stats.multivariate_normal(mean, covariance).logpdf(problem.y)
        elif "noise.nu" in value:
            total += stats.gamma(DOF_SHAPE, scale=1 / DOF_RATE).logpdf(value["noise.nu"])
            noise = stats.t(1 + value["noise.nu"], mean, spread).logpdf(problem.y).sum()
        else:
            noise = stats.norm(mean, spread).logpdf(problem.y).sum()
        return float(total + noise + jacobian(z[r]))

    with jax.enable_x64(True):
        padded = nuts._padded({name: stack(value) for name, value in arrays.items()})
        data = {name: tuple(x[0] for x in v) if name == "inputs" else v[0] for name, v in padded.items()}
        assert len(data["y"]) % nuts.PADDING == 0 and len(data["y"]) > len(points)
        values = np.asarray(jax.jit(jax.vmap(lambda z: density.log_density(model, z, data)))(z))
    assert values[1] - values[0] == pytest.approx(expected(1) - expected(0), abs=1e-6)
    assert ("noise.nu" in starts) == (objective == "huber-log" and not groups)


def test_draws_from_the_prior_have_its_quantiles_and_noise() -> None:
    problem = make_problem(grid(), laws.LAWS["chinchilla"], make_objective("huber-log"))
    prior, rng = weak_prior(problem), np.random.default_rng(0)
    draw = draw_prior(problem, prior, 20_000, rng)
    alpha = np.exp(draw.u[:, problem.names.index("alpha")])
    assert np.quantile(alpha, (0.025, 0.975)) == pytest.approx((0.05, 1.2), rel=0.06)
    assert np.median(draw.sigma) == pytest.approx(NOISE_MEDIAN, rel=0.05)
    assert draw.u.std(0) == pytest.approx(prior_std(problem, prior), rel=0.03)
    labels = np.arange(len(problem.y)) % 5
    noise = draw_points(problem, draw, rng, labels) - problem.objective.transform(problem.model(draw.u))
    share = np.mean((noise**2).mean(-1) < draw.sigma**2 + draw.tau**2)  # smaller noise than on average, as often as not
    assert 0.3 < share < 0.7


def posterior(**changed: Any) -> tuple[Problem, Posterior]:
    problem = make_problem(grid(0.01), laws.LAWS["chinchilla"], make_objective("huber-log"))
    u = 1e-2 * np.random.default_rng(0).standard_normal((1000, 5))
    healthy = Posterior(u, u[:, 0], np.ones(1000), {"E": 1.001}, {"E": 1500.0}, 0.0, (4, 500), weak_prior(problem), 0)
    return problem, Posterior(**{**vars(healthy), **changed})


def test_each_failure_of_the_chains_has_a_verdict() -> None:
    u = 2.0 * np.random.default_rng(0).standard_normal((1000, 5))
    cases = {
        (): {},
        ("unmixed-chains",): {"r_hat": {"E": 1.001, "A": 1.2}},
        ("unmixed-chains", "divergent-transitions"): {"effective": {"E": 40.0}, "divergent": 0.05},
        ("prior-dominated",): {"u": u},
    }
    for codes, changed in cases.items():
        assert tuple(line.partition(":")[0] for line in check_posterior(*posterior(**changed))) == codes
    assert "R-hat nan" in check_posterior(*posterior(r_hat={"E": float("nan")}))[0]

"""A Bayesian fit: its intervals are the posterior's, for parameters, optimum, prediction and new run."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t as student

from analysis.errors import DataError
from analysis.fitting.fit import fit
from analysis.fitting.options import FitOptions
from tests.support.fits import isoflop_sweep

X, NOISE = np.geomspace(1e5, 1e8, 20), 0.02
LINE = {"x": X, "L": 30.0 * X**-0.3 * np.exp(NOISE * np.random.default_rng(0).standard_normal(20))}


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [("undertuned", 0.2, "--undertuned"), ("resampling", "binomial", "--resampling binomial")],
)
def test_options_without_a_likelihood_are_refused(option: str, value: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        fit(LINE, "m1", FitOptions(intervals="posterior", bootstrap=100, **{option: value}))  # type: ignore[arg-type]


def test_a_posterior_is_only_for_parametric_laws() -> None:
    with pytest.raises(DataError, match="intervals: options do not apply"):
        fit(isoflop_sweep(0.01), "chinchilla-2", FitOptions(intervals="posterior"))


@pytest.mark.slow
def test_the_posterior_of_a_line_is_students_and_a_fit_is_repeated_exactly() -> None:
    """With a wide prior, least squares and 20 points; the prior of the noise shifts its scale by little."""
    options = FitOptions(objective="mse-log", bootstrap=2000, intervals="posterior")
    fitted = fit(LINE, "m1", options)
    design = np.stack([np.ones(20), np.log(X)], -1)
    row, variance = np.array([1.0, np.log(1e9)]), np.sum(fitted.residuals() ** 2) / 18
    leverage = row @ np.linalg.solve(design.T @ design, row)
    half = student.ppf(0.975, 18) * np.sqrt(variance * np.array([leverage, 1 + leverage]))
    prediction, value = fitted.at(x=1e9), np.log(fitted.predict(x=1e9))
    for name, expected in zip(("interval", "new_run_interval"), half, strict=True):
        assert np.log(prediction[name]) - value == pytest.approx([-expected, expected], rel=0.12)
    assert prediction["interval_method"] == fitted.to_json()["interval_method"] == "posterior"
    assert fitted.verdict == ("converged",) and "bootstrap" not in fitted.to_json()
    diagnostics = fitted.to_json()["posterior"]
    assert diagnostics["r_hat"] < 1.01 and diagnostics["effective_draws"] > 400 and diagnostics["divergent"] == 0
    assert diagnostics["noise"] == pytest.approx(np.sqrt(variance), rel=0.1)
    assert fit(LINE, "m1", options).intervals == fitted.intervals


@pytest.mark.slow
def test_runs_that_share_a_trunk_share_an_effect_which_a_new_run_has_too() -> None:
    """Six sizes with deviations of 1% that the branches of a trunk share, and 0.1% of each run."""
    rng, sizes = np.random.default_rng(0), np.geomspace(1e7, 1e9, 6)
    N, D = np.tile(sizes, 4), np.repeat(np.geomspace(1e9, 1e11, 4), 6)
    deviation = np.tile(0.01 * rng.standard_normal(6), 4) + 0.001 * rng.standard_normal(24)
    L = (1.8 + 450 / N**0.34 + 1800 / D**0.36) * np.exp(deviation)
    options = FitOptions(intervals="posterior", bootstrap=500, resampling="sizes", checks=False)
    grouped = fit({"N": N, "D": D, "L": L}, options=options)
    assert grouped.posterior is not None and grouped.posterior.groups == 6 and grouped.scatter is not None
    assert np.median(grouped.posterior.sigma) == pytest.approx(0.001, rel=0.5)
    assert 0.004 < np.std(grouped.scatter) < 0.03


@pytest.mark.slow
@pytest.mark.parametrize("fixed", [{"E": 1.2}, {}])
def test_optimum_and_new_run_come_from_the_draws(fixed: dict[str, float]) -> None:
    fitted = fit(isoflop_sweep(0.003), options=FitOptions(intervals="posterior", bootstrap=500, fix=fixed))
    assert fitted.optimum is not None
    entry = fitted.optimum.at(10 * fitted.optimum.largest)
    low, high = entry["new_run_intervals"]["L"]
    assert low < entry["intervals"]["L"][0] < entry["L"] < entry["intervals"]["L"][1] < high
    assert all(fitted.samples["E"] == 1.2) == bool(fixed)
    assert fitted.scatter is not None and len(fitted.scatter) == len(fitted.samples["alpha"]) == 500

"""The predictive distribution of a new run is a proper mixture, its scores agree with their definitions."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scoringrules

from analysis.studies.forecast.predictive import Component, Predictive, from_json, mixture


@pytest.fixture(scope="module")
def predictive() -> Predictive:
    rng = np.random.default_rng(0)
    first = Component("chinchilla", 0.7, np.log(2.0) + 0.004 * rng.standard_normal(300), 0.003, 20)
    second = Component("kaplan-nd", 0.3, np.log(2.05) + 0.002 * rng.standard_normal(300), 0.004, 9)
    return Predictive((first, second))


def test_quantiles_invert_the_distribution_function(predictive: Predictive) -> None:
    p = np.array([0.001, 0.025, 0.5, 0.9, 0.999])
    np.testing.assert_allclose(predictive.cdf(predictive.quantile(p)), p, rtol=1e-9)


def test_the_density_integrates_to_the_distribution_function(predictive: Predictive) -> None:
    losses = np.linspace(1.9, 2.2, 20_001)
    integral = np.trapezoid(predictive.density(losses), losses)
    assert integral == pytest.approx(float(np.diff(predictive.cdf(losses[[0, -1]]))[0]), rel=1e-6)


@pytest.mark.slow
def test_the_crps_is_that_of_a_large_ensemble(predictive: Predictive) -> None:
    ensemble = predictive.quantile((np.arange(500) + 0.5) / 500)
    for loss in (1.97, 2.01, 2.2):
        assert predictive.crps(loss) == pytest.approx(
            float(scoringrules.crps_ensemble(loss, ensemble, backend="numpy")), rel=0.01
        )


def test_the_log_score_is_lowest_at_the_mode(predictive: Predictive) -> None:
    losses = np.linspace(1.95, 2.1, 301)
    scores = [predictive.log_score(loss) for loss in losses]
    assert losses[np.argmin(scores)] == losses[np.argmax(predictive.density(losses))]


def test_a_larger_spread_widens_the_interval_and_keeps_the_mean() -> None:
    rng = np.random.default_rng(1)
    samples, residual = [np.log(2.0) + 0.01 * rng.standard_normal(400)], [(0.001 * rng.standard_normal(30), 5)]
    plain, wide = (mixture(["chinchilla"], samples, residual, [1.0], spread) for spread in (1.0, 3.0))
    widths = [np.diff(np.log(p.interval(0.95)))[0] for p in (plain, wide)]
    assert widths[1] / widths[0] == pytest.approx(3.0, rel=0.02)
    np.testing.assert_allclose(plain.components[0].locations.mean(), wide.components[0].locations.mean(), rtol=1e-12)


def test_json_keeps_the_distribution(predictive: Predictive) -> None:
    again = from_json(json.loads(json.dumps(predictive.to_json())))
    p = np.array([0.025, 0.5, 0.975])
    np.testing.assert_allclose(again.quantile(p), predictive.quantile(p), rtol=2e-7)

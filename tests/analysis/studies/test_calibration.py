"""Calibration over a prior of laws: the simulated sweeps, the comparison of methods, and ranks of the posterior."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analysis.fitting.fit import fit
from analysis.fitting.options import FitOptions
from analysis.laws.loss.chinchilla import chinchilla
from analysis.studies.simulations import calibration, posterior_ranks
from analysis.studies.simulations.calibration import (
    LAW_AT,
    NEW_RUN_AT,
    QUANTITIES,
    Answer,
    compare_methods,
    draw_sweeps,
)
from analysis.studies.simulations.law_prior import EXPONENT, IRREDUCIBLE, KINDS, MULTIPLES, NOISE
from analysis.studies.simulations.posterior_ranks import RANKS, uniformity
from analysis.uncertainty.posterior.posterior import DataSet, Posterior


def residuals(kind: str, count: int = 40) -> list[np.ndarray]:
    """Deviations of ln L of the runs of each sweep from its law."""
    sweeps = draw_sweeps(KINDS[kind], count, 0, 24)
    return [np.log(sweep.points.L / chinchilla(sweep.points.N, sweep.points.D, **sweep.truth)) for sweep in sweeps]


def test_each_sweep_has_a_law_a_design_and_noise_of_its_own_and_targets_on_the_optimum() -> None:
    sweeps = draw_sweeps(KINDS["independent"], 60, 0, 24)
    assert len({sweep.truth["alpha"] for sweep in sweeps}) == 60
    for sweep in sweeps:
        assert EXPONENT[0] < sweep.truth["beta"] < EXPONENT[1] and IRREDUCIBLE[0] < sweep.truth["E"] < IRREDUCIBLE[1]
        N, D = sweep.targets["N"], sweep.targets["D"]
        assert pytest.approx(np.array(MULTIPLES) * sweep.points.C.max() / 6) == N * D
        for shift in (0.9, 1.1):
            assert (chinchilla(shift * N, D / shift, **sweep.truth) > sweep.losses).all()
        assert sweep.losses == pytest.approx(chinchilla(N, D, **sweep.truth))
    assert {sweep.points.budgets is None for sweep in sweeps} == {True, False}
    scatter = np.array([r.std() for r in residuals("independent")])
    assert scatter.min() > 0.5 * NOISE[0] and scatter.max() < 2 * NOISE[1]


def test_kinds_of_noise_are_what_they_are_called() -> None:
    seeds = draw_sweeps(KINDS["two seeds of each run"], 1, 0, 24)[0].points
    assert len(seeds) == 24 and len(set(zip(seeds.N, seeds.D, strict=True))) == 12
    for kind, says_so in (("shared trunks", True), ("shared by a size, not known to the fit", False)):
        sweeps, common = draw_sweeps(KINDS[kind], 60, 0, 24), []
        for sweep, r in zip(sweeps, residuals(kind, 60), strict=True):
            by_size = np.array([r[sweep.points.N == N].mean() for N in np.unique(sweep.points.N)])
            common.append(by_size.var() / r.var())
            assert (sweep.points.shared_prefix is not None) == says_so
        assert 0.4 < np.mean(common) < 0.75  # 1/2 + 1/8 of the variance is that of the means of four runs
    small, large = [], []
    for sweep, r in zip(
        draw_sweeps(KINDS["larger for small runs"], 60, 0, 24), residuals("larger for small runs", 60), strict=True
    ):
        order = np.argsort(sweep.points.C)
        small.append(r[order[:6]].std())
        large.append(r[order[-6:]].std())
    assert 1.5 < np.mean(small) / np.mean(large) < 6
    excess = [np.mean((r / r.std()) ** 4) for r in residuals("heavy tails")]
    assert np.mean(excess) > 1.3 * np.mean([np.mean((r / r.std()) ** 4) for r in residuals("independent")])


@pytest.mark.parametrize("method", ["bootstrap", pytest.param("profile", marks=pytest.mark.slow)])
def test_compared_intervals_are_those_of_a_fit(method: str) -> None:
    (sweep,) = draw_sweeps(KINDS["independent"], 1, 3, 24)
    (answer,) = compare_methods([sweep], [method])[method]
    options = FitOptions(calibration.BOOTSTRAP, seed=0, intervals=method, checks=False)
    fitted = fit(sweep.points, "chinchilla", options)
    assert fitted.optimum is not None
    inputs = {letter: float(x[1]) for letter, x in sweep.targets.items()}
    prediction = fitted.at(**inputs)
    expected = {
        "E": fitted.intervals["E"], "a": fitted.optimum.intervals["a"],
        LAW_AT[1]: prediction["interval"], NEW_RUN_AT[1]: prediction["new_run_interval"],
    }  # fmt: skip
    true = calibration.true_values(sweep)
    assert set(answer.inside) == set(answer.width) == set(QUANTITIES) == set(true)
    for name, (low, high) in expected.items():
        width = (high - low) / (true[name] if "×" in name else 1)
        assert answer.width[name] == pytest.approx(width, rel=0.02 if name == "a" else 1e-3), name
        assert answer.inside[name] == (low <= true[name] <= high)
    assert np.isnan(answer.pit).all() == (method == "profile")


def test_coverage_is_a_share_with_its_error() -> None:
    answers = [Answer({"E": i < 18}, {"E": float(i)}, np.zeros(3)) for i in range(20)]
    result = calibration.coverage(answers, "E")
    assert (result.share, result.width, result.sweeps) == (0.9, 9.5, 20)
    assert result.error == pytest.approx(2 * np.sqrt(0.9 * 0.1 / 20))


@pytest.mark.slow
def test_forecasts_of_simulated_sweeps_are_scored() -> None:
    answers = calibration.score_forecasts(draw_sweeps(KINDS["independent"], 2, 0, 24))
    assert len(answers) == 2 and all(set(answer.inside) == set(NEW_RUN_AT) for answer in answers)
    assert all((answer.pit > 0).all() and (answer.pit < 1).all() for answer in answers)
    assert all(answer.width[NEW_RUN_AT[0]] < answer.width[NEW_RUN_AT[2]] for answer in answers)


def test_ranks_that_are_not_uniform_are_found() -> None:
    rng = np.random.default_rng(0)
    uniform = rng.integers(0, RANKS + 1, 200)
    narrow = np.clip(np.round((RANKS / 2) * (1 + 1.6 * rng.uniform(-1, 1, 200))), 0, RANKS).astype(int)
    shifted = np.round(RANKS * rng.uniform(size=200) ** 2.5).astype(int)
    assert uniformity(uniform).chi_squared_p > 0.01 and uniformity(uniform).kolmogorov_p > 0.01
    assert uniformity(narrow).chi_squared_p < 1e-6 and uniformity(narrow).extremes > 0.2
    assert uniformity(shifted).kolmogorov_p < 1e-6 and uniformity(shifted).mean < 0.45


@pytest.mark.long
def test_simulation_based_calibration_accepts_the_posterior_and_rejects_one_that_is_too_narrow() -> None:
    """Forty data sets with Student's t; the wrong sampler moves the draws three quarters of the way to their median."""
    pytest.importorskip("numpyro")
    sampled: list[Posterior] = []

    def right(sets: list[DataSet], count: int) -> list[Posterior]:
        sampled.extend(calibration.sample_each(sets, count))
        return sampled

    def narrow(sets: list[DataSet], count: int) -> list[Posterior]:
        return [replace(posterior, u=(posterior.u + 3 * np.median(posterior.u, 0)) / 4) for posterior in sampled]

    for sampler, accepted in ((right, True), (narrow, False)):
        study = posterior_ranks.rank_study(40, 0, sampler=sampler)
        smallest = min(min(test.chi_squared_p, test.kolmogorov_p) for test in study.tests().values())
        assert (smallest > 1e-4) == accepted
    assert np.mean(study.r_hat < 1.05) > 0.7 and study.divergent.mean() < 0.02

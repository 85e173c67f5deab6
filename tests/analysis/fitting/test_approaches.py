"""Approaches 1 and 2 (Hoffmann 2022): envelopes and parabolas find what is true and say where they cannot."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import spatial

from analysis import laws
from analysis.data.points import Points, TrainingCurve
from analysis.errors import DataError, FitError
from analysis.fitting.fit import fit
from analysis.fitting.hoffmann.envelope import loss_envelope
from analysis.fitting.hoffmann.isoflop import fit_isoflop
from analysis.fitting.options import FitOptions
from analysis.fitting.selection import efficient_frontier
from analysis.laws.loss import chinchilla
from tests.support.fits import TRUTH, grid, isoflop_sweep, points


def test_minima_off_their_grid_are_left_out_and_named() -> None:
    fitted = fit_isoflop(isoflop_sweep(off_cost=1.6))  # minima lie 1.6 nats below the middle of grids that reach 1.1
    assert fitted.params is None and not any(budget_fit.inside for budget_fit in fitted.budgets)
    assert sum(verdict.startswith("edge-minimum: ") for verdict in fitted.verdict) == len(fitted.budgets) == 4
    with pytest.raises(FitError, match="edge-minimum"):
        fit(isoflop_sweep(off_cost=1.6), "chinchilla-2", FitOptions(bootstrap=100))


def test_parabolas_find_the_minima_of_a_symmetric_sweep() -> None:
    fitted = fit_isoflop(isoflop_sweep())
    a, _, ln_g = laws.chinchilla_optimum(TRUTH, 6.0)
    assert fitted.params is not None and fitted.verdict == ("converged",)
    assert fitted.params["a"][0] == pytest.approx(a, abs=0.01)
    for budget_fit in fitted.budgets:
        # Off by the third derivative that a parabola does not have: a known bias where α ≠ β.
        assert budget_fit.N_opt == pytest.approx(np.exp(ln_g) * (budget_fit.budget / 6) ** a, rel=0.1)
        assert budget_fit.predict(budget_fit.N_opt or 0.0) == pytest.approx(budget_fit.L_opt) and budget_fit.sound


def test_a_sample_whose_factor_underflows_to_zero_widens_the_band_without_a_warning() -> None:
    fitted = fit_isoflop(isoflop_sweep(), FitOptions(bootstrap=100))
    assert fitted.params is not None
    factors = fitted.params["G_N"].copy()
    factors[1:6] = 0.0
    value, low, high = replace(fitted, params={**fitted.params, "G_N": factors}).path(1e20)
    expected, expected_low, _ = fitted.path(1e20)
    assert value == expected and low < expected_low and np.isfinite(high)


def test_budgets_are_those_planned_and_else_near_in_flops() -> None:
    planned = isoflop_sweep()
    jittered = points(planned.N, planned.D * np.exp(np.random.default_rng(0).uniform(-0.03, 0.03, 20)), planned.L)
    assert (
        [b.count for b in fit_isoflop(planned).budgets]
        == [b.count for b in fit_isoflop(jittered).budgets]
        == [5, 5, 5, 5]
    )


def test_the_frontier_falls() -> None:
    data = grid(0.01)
    efficient = efficient_frontier(data.C, data.L)
    assert np.all(np.diff(data.C[efficient]) > 0) and np.all(np.diff(data.L[efficient]) < 0)
    fitted = fit(data, "power-c", FitOptions(bootstrap=100))
    assert len(fitted.points) == len(efficient) and "25 runs" in fitted.notes[0]


def test_approach_one_reads_the_envelope_of_curves() -> None:
    data, share = isoflop_sweep(budgets=4, sizes=5), np.geomspace(0.05, 1, 200)
    sizes = np.geomspace(1e4, 1e8, 30)
    curves = tuple(
        TrainingCurve(f"{N}", N, D, 6 * N * D, chinchilla.chinchilla(N, D, **TRUTH), True)
        for N in sizes
        for D in [6 * N * share]
    )
    with_curves = Points(data.N, data.D, data.C, data.L, data.names, budgets=data.budgets, curves=curves)
    fitted = fit(with_curves, "chinchilla-1", FitOptions(bootstrap=200))
    a = laws.chinchilla_optimum(TRUTH, 6.0)[0]
    assert abs(fitted.params["a"] - a) < 0.05 and "envelope of 30 held-out" in fitted.notes[0]
    assert fitted.intervals["a"][0] < a < fitted.intervals["a"][1]
    assert "lowest loss of each budget" in fit(isoflop_sweep(), "chinchilla-1", FitOptions(bootstrap=100)).notes[0]


def curves_on_surface(sizes: int, noise: float = 0.0, seed: int = 0, start: float = 0.05) -> Points:
    """Held-out learning curves up to six times the optimal tokens of each size."""
    rng, curves = np.random.default_rng(seed), []
    a, _, ln_g = laws.chinchilla_optimum(TRUTH, 6.0)
    for N in np.geomspace(1e4, 1e7, sizes):
        D = np.geomspace(start, 1, 30) * 6 * (N / np.exp(ln_g)) ** (1 / a) / N
        L = chinchilla.chinchilla(N, D, **TRUTH) * np.exp(noise * rng.standard_normal(30))
        curves.append(TrainingCurve(f"{N}", N, D, 6 * N * D, L, True))
    ends = np.array([[curve.N, curve.D[-1], curve.L[-1]] for curve in curves]).T
    return replace(points(*ends), curves=tuple(curves))


def test_the_hull_is_the_lower_convex_hull_of_all_losses_and_its_line_least_squares_of_the_vertices() -> None:
    data = curves_on_surface(12, noise=0.003)
    assert data.curves is not None
    C, L, D = (np.concatenate([getattr(curve, letter) for curve in data.curves]) for letter in "CLD")
    N = np.repeat([curve.N for curve in data.curves], 30)
    plane = np.log(np.stack([C, L], -1))
    hull = spatial.ConvexHull(plane)
    lower = np.unique(hull.simplices[hull.equations[:, 1] < 0])
    lower = lower[C[lower] <= C[np.argmin(L)]]
    fitted = fit(data, "chinchilla-1", FitOptions(bootstrap=100, frontier="hull"))
    for letter, values, scale in (("a", N, "G_N"), ("b", D, "G_D")):
        slope, intercept = np.polyfit(np.log(C[lower]), np.log(values[lower]), 1)
        assert fitted.params[letter] == pytest.approx(slope, rel=1e-9)
        assert np.log(fitted.params[scale]) == pytest.approx(intercept, rel=1e-9)
    assert f"{len(lower)} vertices" in fitted.notes[0]


def test_the_interval_of_the_hull_holds_the_truth_which_its_ends_tilt_away_from() -> None:
    a = laws.chinchilla_optimum(TRUTH, 6.0)[0]
    fitted = fit(curves_on_surface(12), "chinchilla-1", FitOptions(bootstrap=200, frontier="hull"))
    low, high = fitted.intervals["a"]
    assert fitted.params["a"] < a - 0.015 and low <= fitted.params["a"] and low < a < high
    inner = float(fitted.notes[0].rpartition(" ")[2])
    assert inner == pytest.approx(a, abs=0.01)


def test_options_of_another_approach_are_refused() -> None:
    for law, options in (("chinchilla-2", {"frontier": "hull"}), ("chinchilla", {"minimum": "akima"})):
        with pytest.raises(DataError, match=f"{next(iter(options))}: options do not apply to {law}"):
            fit(isoflop_sweep(), law, FitOptions(bootstrap=100, **options))


def test_approach_one_sees_through_the_noise_of_single_batches() -> None:
    """Training losses of one batch each: unsmoothed, the envelope is that of the luckiest batches, far too low."""
    data, rng = isoflop_sweep(), np.random.default_rng(0)
    a, _, ln_g = laws.chinchilla_optimum(TRUTH, 6.0)

    def above_truth(noise: float) -> np.ndarray:
        curves = []
        for N in np.geomspace(2e4, 2e6, 9):
            best = (N / np.exp(ln_g)) ** (1 / a) / N  # tokens at which this size is the best
            D = np.arange(1, 3001) / 3000 * 4 * best
            L = chinchilla.chinchilla(N, D, **TRUTH) + noise * rng.normal(size=len(D))
            curves.append(TrainingCurve(f"{N}", N, D, 6 * N * D, L, False))
        result = loss_envelope(replace(data, curves=tuple(curves)))
        return result.L - chinchilla.chinchilla(result.N, result.D, **TRUTH)

    assert abs(above_truth(0.0).mean()) < 0.02 and abs(above_truth(0.15).mean()) < 0.02


@pytest.mark.parametrize(("noise", "open_"), [(0.0, False), (0.05, True)])
def test_an_exponent_that_may_have_either_sign_is_doubted(noise: float, open_: bool) -> None:
    fitted = fit(isoflop_sweep(noise, seed=1), "chinchilla-2", FitOptions(bootstrap=400))
    low, high = fitted.intervals["a"]
    assert (low <= 0 or high >= 1) == open_
    assert any(verdict.startswith("unidentifiable: the interval of a") for verdict in fitted.verdict) == open_


@pytest.mark.long
def test_intervals_of_parabolas_cover() -> None:
    """20 runs, 0.3% noise, 300 sweeps; nominal 95%, two standard errors are 2.5%; approach 2's are somewhat wide.

    Held against its own value without noise: bias where α ≠ β is not what an interval is for. Approach 3: test_doubt.
    """
    true_n = float(fit_isoflop(isoflop_sweep()).path(3e14)[0])
    covered = 0
    for seed in range(300):
        optimum = fit(isoflop_sweep(0.003, seed), "chinchilla-2", FitOptions(bootstrap=300, seed=seed)).optimum
        assert optimum is not None
        low, high = optimum.at(3e14)["intervals"]["N"]
        covered += low <= true_n <= high
    assert 0.92 <= covered / 300 <= 0.985

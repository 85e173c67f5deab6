"""Approaches 1 and 2 (Hoffmann 2022): envelopes and parabolas find what is true and say where they cannot."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analysis import laws
from analysis.data.points import Curve, Points
from analysis.errors import FitError
from analysis.fitting.approaches import lowest
from analysis.fitting.fit import fit
from analysis.fitting.isoflop import isoflop
from analysis.fitting.selection import frontier
from analysis.laws.loss import chinchilla
from tests.analysis.fitting.test_fit import TRUTH, grid, points, sweep


def test_minima_off_their_grid_are_left_out_and_named() -> None:
    found = isoflop(sweep(off=1.6))  # minima lie 1.6 nats below the middle of grids that reach 1.1
    assert found.params is None and not any(one.inside for one in found.budgets)
    assert sum(said.startswith("edge-minimum: ") for said in found.verdict) == len(found.budgets) == 4
    with pytest.raises(FitError, match="edge-minimum"):
        fit(sweep(off=1.6), "chinchilla-2", bootstrap=100)


def test_parabolas_find_the_minima_of_a_symmetric_sweep() -> None:
    found = isoflop(sweep())
    a, _, ln_g = laws.chinchilla_optimum(TRUTH, 6.0)
    assert found.params is not None and found.verdict == ("converged",)
    assert found.params["a"][0] == pytest.approx(a, abs=0.01)
    for one in found.budgets:
        # Off by the third derivative that a parabola does not have: a known bias where α ≠ β.
        assert one.N_opt == pytest.approx(np.exp(ln_g) * (one.budget / 6) ** a, rel=0.1)
        assert one.predict(one.N_opt or 0.0) == pytest.approx(one.L_opt) and one.sound


def test_budgets_are_those_planned_and_else_near_in_flops() -> None:
    planned = sweep()
    jittered = points(planned.N, planned.D * np.exp(np.random.default_rng(0).uniform(-0.03, 0.03, 20)), planned.L)
    assert [b.count for b in isoflop(planned).budgets] == [b.count for b in isoflop(jittered).budgets] == [5, 5, 5, 5]


def test_the_frontier_falls() -> None:
    one = grid(0.01)
    kept = frontier(one.C, one.L)
    assert np.all(np.diff(one.C[kept]) > 0) and np.all(np.diff(one.L[kept]) < 0)
    found = fit(one, "power-c", bootstrap=100)
    assert len(found.points) == len(kept) and "25 runs" in found.notes[0]


def test_approach_one_reads_the_envelope_of_curves() -> None:
    one, share = sweep(budgets=4, sizes=5), np.geomspace(0.05, 1, 200)
    sizes = np.geomspace(1e4, 1e8, 30)
    curves = tuple(
        Curve(f"{N}", N, D, 6 * N * D, chinchilla.chinchilla(N, D, **TRUTH), True)
        for N in sizes
        for D in [6 * N * share]
    )
    with_curves = Points(one.N, one.D, one.C, one.L, one.names, budgets=one.budgets, curves=curves)
    found = fit(with_curves, "chinchilla-1", bootstrap=200)
    a = laws.chinchilla_optimum(TRUTH, 6.0)[0]
    assert abs(found.params["a"] - a) < 0.05 and "envelope of 30 held-out" in found.notes[0]
    assert found.intervals["a"][0] < a < found.intervals["a"][1]
    assert "lowest loss of each budget" in fit(sweep(), "chinchilla-1", bootstrap=100).notes[0]


def test_approach_one_sees_through_the_noise_of_single_batches() -> None:
    """Training losses of one batch each: unsmoothed, the envelope is that of the luckiest batches, far too low."""
    one, rng = sweep(), np.random.default_rng(0)
    a, _, ln_g = laws.chinchilla_optimum(TRUTH, 6.0)

    def above_truth(noise: float) -> np.ndarray:
        curves = []
        for N in np.geomspace(2e4, 2e6, 9):
            best = (N / np.exp(ln_g)) ** (1 / a) / N  # tokens at which this size is the best
            D = np.arange(1, 3001) / 3000 * 4 * best
            L = chinchilla.chinchilla(N, D, **TRUTH) + noise * rng.normal(size=len(D))
            curves.append(Curve(f"{N}", N, D, 6 * N * D, L, False))
        found = lowest(replace(one, curves=tuple(curves)))
        return found.L - chinchilla.chinchilla(found.N, found.D, **TRUTH)

    assert abs(above_truth(0.0).mean()) < 0.02 and abs(above_truth(0.15).mean()) < 0.02


@pytest.mark.parametrize(("noise", "open_"), [(0.0, False), (0.05, True)])
def test_an_exponent_that_may_have_either_sign_is_doubted(noise: float, open_: bool) -> None:
    found = fit(sweep(noise, seed=1), "chinchilla-2", bootstrap=400)
    low, high = found.intervals["a"]
    assert (low <= 0 or high >= 1) == open_
    assert any(said.startswith("unidentifiable: the interval of a") for said in found.verdict) == open_


@pytest.mark.long
def test_intervals_of_parabolas_cover() -> None:
    """20 runs, 0.3% noise, 300 sweeps; nominal 95%, two standard errors are 2.5%; approach 2's are somewhat wide.

    Held against its own value without noise: bias where α ≠ β is not what an interval is for. Approach 3: test_doubt.
    """
    true_n = float(isoflop(sweep()).path(3e14)[0])
    held = 0
    for seed in range(300):
        optimum = fit(sweep(0.003, seed), "chinchilla-2", bootstrap=300, seed=seed).optimum
        assert optimum is not None
        low, high = optimum.at(3e14)["intervals"]["N"]
        held += low <= true_n <= high
    assert 0.92 <= held / 300 <= 0.985

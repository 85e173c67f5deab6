"""Which runs to add: what a design must respect, and that the interval it promises is the one that comes."""

import csv
import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analysis.data.points import Points
from analysis.errors import DataError
from analysis.fitting.fit import fit
from analysis.fitting.options import FitOptions
from analysis.planning import optimal_design
from analysis.planning.next_runs import Target, advise, candidate_weights, design_runs, make_candidates
from analysis.planning.options import DesignOptions
from analysis.studies.options import DesignSavingsOptions
from analysis.studies.simulations import design_savings
from analysis.studies.simulations.coverage import HOFFMANN, simulate_sweep
from tests.support.commands import call_command

TARGET = Target(C=3e23)


def noisy(seed: int, noise: float = 0.003, below: float = 1e21) -> Points:
    """The cheaper three of the four budgets of an isoFLOP grid on Hoffmann's surface."""
    clean = simulate_sweep("chinchilla", HOFFMANN, "isoflop", 20)
    clean = clean.select(below > clean.C)
    L = clean.L * np.exp(noise * np.random.default_rng(seed).standard_normal(len(clean)))
    return Points(clean.N, clean.D, clean.C, L, clean.names, budgets=clean.budgets)


@pytest.fixture(scope="module")
def fitted():
    return fit(noisy(0), options=FitOptions(bootstrap=200))


def random_candidates(K: int) -> optimal_design.Candidates:
    random = np.random.default_rng(3)
    J, have = random.standard_normal((4, 3, K)), 0.1 * np.tile(np.eye(3), (4, 1, 1))
    C = np.exp(random.standard_normal(K))
    return optimal_design.Candidates(C, C, C, J * np.sqrt(C), have, random.standard_normal((4, 3)))


def test_what_one_more_run_tells_is_what_the_whole_design_tells_with_it() -> None:
    candidates = random_candidates(12)
    lines = candidates.log_variance_with_each([2, 5])
    assert lines == pytest.approx([candidates.log_variance([2, 5, k]) for k in range(12)], rel=1e-10)


@pytest.mark.parametrize("budget", [1.5, 2.5, 4.0, 6.0])
def test_the_design_is_as_good_as_the_best_of_all(budget: float) -> None:
    candidates = random_candidates(12)
    every = [list(c) for r in range(1, 5) for c in itertools.combinations(range(12), r)]
    best = min(candidates.log_variance(entry) for entry in every if candidates.C[entry].sum() <= budget)
    chosen = optimal_design.choose_runs(candidates, budget, 4)
    assert candidates.C[chosen].sum() <= budget and len(chosen) == len(set(chosen)) <= 4
    assert candidates.log_variance(chosen) == pytest.approx(best, abs=1e-3)


def test_gradients_are_those_of_the_law(fitted) -> None:
    candidates = make_candidates(fitted, Target(N=1e10, D=1e12), 1e21)
    k = len(candidates) // 2  # a run at (N, D) has the gradient of the target at (N, D)
    at = make_candidates(fitted, Target(N=float(candidates.N[k]), D=float(candidates.D[k])), 1e21)
    assert at.g == pytest.approx(candidates.J[:, :, k], rel=1e-5, abs=1e-9)


def test_a_run_is_taken_to_be_as_noisy_as_those_of_its_size(fitted) -> None:
    points = replace(fitted.points, weights=fitted.points.N**0.5)
    sizes = np.array([points.N.min(), 5e8, points.N.max(), 1e12])
    weights = candidate_weights(replace(fitted, points=points), sizes)
    have, new = weights[: len(points)], weights[len(points) :]
    assert have.mean() == pytest.approx(1) and new[[0, 2, 3]] == pytest.approx([have.min(), have.max(), have.max()])
    assert new[1] / new[0] == pytest.approx((5e8 / points.N.min()) ** 0.5)


def test_no_run_is_beyond_what_was_allowed(fitted) -> None:
    sizes = (1e8, 3e8, 1e9, 3e9)
    advice = advise(
        fitted, TARGET, 1e22, DesignOptions(max_runs=6, largest=2e21, sizes=sizes, ratios=(5, 100), worth=0)
    )
    assert 1 <= len(advice.runs) <= 6 and sum(run["C"] for run in advice.runs) <= 1e22 * (1 + 1e-9)
    for run in advice.runs:
        assert run["N"] in sizes and run["C"] <= 2e21 and 5 <= run["tokens_per_parameter"] <= 100
        assert run["D"] >= fitted.points.D.min() * 0.999
        assert run["C"] == pytest.approx(6 * run["N"] * run["D"])


def test_runs_of_a_fit_in_doubt_are_near_the_existing_ones(fitted) -> None:
    doubtful, points = replace(fitted, verdict=("unidentifiable: E is at a bound",)), fitted.points
    free, near = (advise(each, TARGET, 1e23, DesignOptions(max_runs=5, worth=0)) for each in (fitted, doubtful))
    assert max(run["C"] for run in free.runs) > 4 * points.C.max() and not free.restriction
    ratio = points.D / points.N
    for run in near.runs:
        assert run["N"] <= 2 * points.N.max() and run["D"] <= 2 * points.D.max() and run["C"] <= 4 * points.C.max()
        assert ratio.min() * 0.999 <= run["tokens_per_parameter"] <= ratio.max() * 1.001
    assert near.runs and near.restriction.startswith(
        "the fit is in doubt (unidentifiable): only runs near the existing"
    )
    assert near.to_json()["restriction"] == near.restriction and "restriction" not in free.to_json()
    with pytest.raises(DataError, match=r"the fit is in doubt .* no run of at most .* has 5e.05 to 9e.05 tokens"):
        advise(doubtful, TARGET, 1e23, DesignOptions(ratios=(5e5, 9e5)))


def test_more_budget_never_promises_less(fitted) -> None:
    advice = advise(fitted, TARGET, 1e22)
    ratios = [ratio for _, ratio in advice.curve]
    assert ratios == sorted(ratios, reverse=True) and advice.ratio < 0.6
    low, high = advice.expected()
    assert advice.interval[0] < low < advice.value < high < advice.interval[1]


@pytest.mark.slow
def test_the_interval_that_comes_is_the_one_promised(fitted) -> None:
    N, D, promised = design_runs(fitted, TARGET, 1e22, DesignOptions(max_runs=10, largest=3e21, ratios=(1, 1000)))
    after, afterwards = [], []
    for seed in range(20):
        have = noisy(seed)
        L = sum([1.69, 406.4 * N**-0.34, 410.7 * D**-0.28])
        L = L * np.exp(0.003 * np.random.default_rng(seed + 100).standard_normal(len(N)))
        both = {"N": np.append(have.N, N), "D": np.append(have.D, D), "L": np.append(have.L, L)}
        for widths, source in ((after, have), (afterwards, both)):
            at = fit(source, options=FitOptions(bootstrap=200)).optimum.at(3e23)
            widths.append(np.log(at["intervals"]["L"][1] / at["intervals"]["L"][0]))
    assert np.median(afterwards) / np.median(after) == pytest.approx(promised, rel=0.35)


def test_where_a_doubling_brings_little_nothing_is_advised() -> None:
    large = simulate_sweep("chinchilla", HOFFMANN, "isoflop", 200)
    large = Points(
        large.N, large.D, large.C, large.L * np.exp(0.003 * np.sin(np.arange(len(large)) * 7.3)), large.names
    )
    advice = advise(fit(large, options=FitOptions(bootstrap=100)), TARGET, 3e19)
    assert advice.runs == () and advice.reason.startswith("no runs are recommended")
    assert advice.expected() == pytest.approx(advice.interval)


@pytest.mark.parametrize(
    "options", [{}, {"C": 1e24, "N": 1e9}, {"N": 1e9}, {"C": -1.0}, {"N": 1e9, "D": 1e9, "quantity": "N"}]
)
def test_a_target_that_is_none_is_refused(options) -> None:
    with pytest.raises(DataError, match=r"target|quantity"):
        Target(**options)


def test_the_command_says_the_runs(tmp_path: Path) -> None:
    source, points = tmp_path / "runs.csv", noisy(0)
    with source.open("w") as file:
        csv.writer(file).writerows([("N", "D", "L"), *zip(points.N, points.D, points.L, strict=True)])
    words = ("analysis", "next", source, "--target", "C=3e23", "--budget", "5e21", "--bootstrap", "200")
    done = call_command(*words, "--json", "-", "--quantity", "N", "--figure", tmp_path / "next.svg")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["runs"] and result["flops"] <= 5e21 and result["target"] == {"C": 3e23, "quantity": "N"}
    assert (tmp_path / "next.svg").stat().st_size > 5000
    shown = call_command(*words)
    assert shown.returncode == 0 and "runs," in shown.stdout and "FLOPs" in shown.stdout
    for more, says in (
        (("--ratio", "640"), "must be a range such as 5:640"),
        (("--ratio", "5e9:6e9"), "raise the budget or widen the ratio"),
        (("--law", "kaplan-n"), "no optimum at a C"),
        (("--law", "kaplan-c"), "must be a law of the loss in N and D"),
        (("--worth", "1"), "worth 1"),
    ):
        bad = call_command(*words, *more)
        assert bad.returncode == 2 and says in bad.stderr and bad.stderr.count("\n") == 1, bad.stderr


@pytest.mark.slow
def test_a_design_is_held_to_its_share_and_its_promise() -> None:
    result = design_savings.design_savings("chinchilla", DesignSavingsOptions(draws=3, bootstrap=100, shares=(0.5,)))
    (half,) = result.designs
    assert half.failed == 0 and half.runs <= 40 and half.share == 0.5
    assert result.grid.runs == 20 and result.flops == pytest.approx(
        simulate_sweep("chinchilla", HOFFMANN, "isoflop", 20).C.sum()
    )
    assert 0.5 < result.width_to_expected < 2 and half.width < 1.5 * result.grid.width
    assert result.sufficient_share in (0.5, np.inf)


@pytest.mark.long
@pytest.mark.parametrize("truth", design_savings.TRUTHS)
def test_half_of_the_grids_compute_is_enough(truth: str) -> None:
    result = design_savings.design_savings(truth, DesignSavingsOptions(shares=(0.5,)))
    (half,) = result.designs
    assert result.sufficient_share <= 0.5 and half.failed == 0
    assert half.width <= result.grid.width and half.rmse <= result.grid.rmse
    assert half.coverage >= 0.85

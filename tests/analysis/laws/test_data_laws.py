"""Data give back what made the points, and what their authors found in theirs."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from analysis import laws
from analysis.data.options import ReadOptions
from analysis.data.points import Points
from analysis.errors import DataError, FitError
from analysis.fitting.fit import fit
from analysis.fitting.options import FitOptions
from analysis.laws.loss import chinchilla
from analysis.laws.loss.data_constrained import unique_parameters
from analysis.studies.published.procedures import (
    MUENNIGHOFF_FIXED,
    gadre,
    gadre_five,
    gadre_loss_fit,
    gadre_six,
    muennighoff_fit,
)
from tests.support.commands import PUBLISHED

DATA = PUBLISHED
published = pytest.mark.skipif(not DATA.is_dir(), reason="published sets are not here (../shared/data)")
MUENNIGHOFF = DATA / "muennighoff2023"


def repeated(**true: float) -> dict[str, np.ndarray]:
    """Sizes × epochs × unique tokens, where both repetitions and parameters beyond the data matter."""
    N, R, U = (x.ravel() for x in np.meshgrid(np.geomspace(1e7, 1e10, 5), [1.0, 4.0, 16.0, 64.0], [1e8, 1e9, 1e10]))
    return {"N": N, "D": R * U, "U": U, "L": laws.LAWS["data-constrained"].function(N, R * U, U, **true)}


@pytest.mark.parametrize(
    "true",
    [
        {"E": 1.5, "a": 140.0, "b": 190.0, "eta": 0.12},
        {"E": 0.7, "a": 3e4, "b": 9e3, "eta": 0.25},
        {"E": 2.5, "a": 5.0, "b": 40.0, "eta": 0.06},
    ],
)
def test_over_training_comes_back(true: dict[str, float]) -> None:
    C, M = (x.ravel() for x in np.meshgrid(np.geomspace(1e16, 1e21, 5), [5.0, 20.0, 80.0, 320.0]))
    fitted = fit(
        {"C": C, "M": M, "L": laws.LAWS["over-training"].function(C, M, **true)},
        "over-training",
        FitOptions(bootstrap=100),
    )
    for name, value in true.items():
        assert abs(fitted.params[name] / value - 1) < 1e-7
    assert fitted.verdict == ("converged",)


def test_over_training_is_chinchilla_with_both_exponents_twice_eta() -> None:
    N, D = np.geomspace(1e7, 1e10, 5), np.geomspace(1e9, 1e11, 5)
    p = {"E": 1.5, "a": 140.0, "b": 190.0, "eta": 0.12}
    same = {"E": 1.5, "A": 140.0 * 6**-0.12, "B": 190.0 * 6**-0.12, "alpha": 0.24, "beta": 0.24}
    assert np.allclose(laws.LAWS["over-training"].function(6 * N * D, D / N, **p), chinchilla.chinchilla(N, D, **same))
    own_values, published_values = laws.LAWS["over-training"].optimum, laws.chinchilla_optimum
    assert own_values is not None
    assert np.allclose(own_values(p, 6.0), published_values(same, 6.0))


def test_over_training_takes_tokens_a_parameter_from_sizes_and_tokens() -> None:
    N, D = (x.ravel() for x in np.meshgrid(np.geomspace(1e7, 1e9, 4), np.geomspace(1e9, 1e11, 4)))
    true = {"E": 1.5, "a": 140.0, "b": 190.0, "eta": 0.12}
    L = laws.LAWS["over-training"].function(6 * N * D, D / N, **true)
    fitted = fit({"params": N, "tokens": D, "loss": L}, "over-training", FitOptions(bootstrap=100))
    assert fitted.params["eta"] == pytest.approx(0.12, rel=1e-7)


@pytest.mark.parametrize(
    "true",
    [
        {"E": 1.87, "A": 520.0, "B": 1488.0, "alpha": 0.35, "beta": 0.35, "RD_star": 15.4, "RN_star": 5.3},
        *(
            pytest.param(true, marks=pytest.mark.slow)
            for true in (
                {"E": 1.2, "A": 60.0, "B": 120.0, "alpha": 0.28, "beta": 0.33, "RD_star": 4.0, "RN_star": 12.0},
                {"E": 0.6, "A": 900.0, "B": 400.0, "alpha": 0.4, "beta": 0.3, "RD_star": 40.0, "RN_star": 2.0},
            )
        ),
    ],
)
def test_data_constrained_comes_back(true: dict[str, float]) -> None:
    fitted = fit(repeated(**true), "data-constrained", FitOptions(bootstrap=100))
    for name, value in true.items():
        assert abs(fitted.params[name] / value - 1) < 1e-7


def test_unrepeated_data_are_chinchillas() -> None:
    N, D = np.geomspace(1e6, 1e9, 5), np.full(5, 1e12)
    p = {"E": 1.87, "A": 520.0, "B": 1488.0, "alpha": 0.35, "beta": 0.37}
    assert (unique_parameters(D, A=520.0, B=1488.0, alpha=0.35, beta=0.37) > N).all()
    once = laws.LAWS["data-constrained"].function(N, D, D, **p, RD_star=15.0, RN_star=5.0)
    assert np.allclose(once, chinchilla.chinchilla(N, D, **p), rtol=1e-14)
    more = laws.LAWS["data-constrained"].function(N, D, 2 * D, **p, RD_star=15.0, RN_star=5.0)
    assert np.array_equal(more, once)  # tokens that were not seen are worth nothing


def test_the_size_that_unique_tokens_feed_is_chinchillas_optimum() -> None:
    p = {"A": 520.0, "B": 1488.0, "alpha": 0.35, "beta": 0.37}
    a, b, ln_g = laws.chinchilla_optimum(p, 6.0)
    U = 1e10
    budget = (U * np.exp(ln_g)) ** (1 / b)  # C/6 at which U tokens are optimal
    assert unique_parameters(U, **p) == pytest.approx(np.exp(ln_g) * budget**a, rel=1e-12)


def test_repetitions_are_worth_less_and_never_more_than_the_limit() -> None:
    p = {"E": 1.87, "A": 520.0, "B": 1488.0, "alpha": 0.35, "beta": 0.35, "RD_star": 15.0, "RN_star": 5.0}
    law, U = laws.LAWS["data-constrained"].function, 1e9
    epochs = np.array([1.0, 2.0, 8.0, 64.0, 1e4, 1e6])
    L = law(np.full(6, 1e8), epochs * U, U, **p)
    assert (np.diff(L) <= 0).all()
    whole = chinchilla.chinchilla(1e8, 16 * U, **{k: p[k] for k in ("E", "A", "B", "alpha", "beta")})  # 1 + R_D* epochs
    assert L[-1] >= whole - 1e-12


def test_geometric_decay_is_a_sum_over_repetitions_and_exponential_decay_its_limit() -> None:
    p = {"E": 1.87, "A": 520.0, "B": 1488.0, "alpha": 0.35, "beta": 0.35, "RD_star": 4.0, "RN_star": 1e12}
    geometric, U = laws.LAWS["data-constrained-geometric"].function, 1e9
    ratio = 4 / 5  # R*/(1 + R*)
    for epochs in (1, 2, 5, 9):
        worth = U * sum(ratio**r for r in range(epochs))
        expected = chinchilla.chinchilla(1e7, worth, **{k: p[k] for k in ("E", "A", "B", "alpha", "beta")})
        assert geometric(1e7, epochs * U, U, **p) == pytest.approx(expected, rel=1e-9)
    slow = {**p, "RD_star": 1e4, "RN_star": 1e4}
    exponential = laws.LAWS["data-constrained-exponential"].function
    assert laws.LAWS["data-constrained-exponential"] is laws.LAWS["data-constrained"]
    assert geometric(1e8, 50 * U, U, **slow) == pytest.approx(exponential(1e8, 50 * U, U, **slow), rel=1e-5)


def test_a_law_with_no_end_to_its_repetitions_is_as_exact_as_any() -> None:
    """1 − e^(−x) in place of expm1 loses all digits here, and has minima of its own there."""
    p = {"E": 1.87, "A": 520.0, "B": 1488.0, "alpha": 0.35, "beta": 0.35}
    law = laws.LAWS["data-constrained"].function
    near, far = (law(1e9, 1e10, 1e9, **p, RD_star=x, RN_star=x) for x in (1e12, 1e17))
    assert near == pytest.approx(chinchilla.chinchilla(1e9, 1e10, **p), rel=1e-9)
    assert far == pytest.approx(near, rel=1e-11)


@published
@pytest.mark.parametrize(
    ("dataset", "loss", "error"),
    [
        ("c4_original", (1.50826, 141.28, 189.52, 0.12124), (0.8497, 2.0789, 0.7561)),
        ("rpj", (1.83665, 212.24, 366.69, 0.13643), (0.8570, 2.2065, 0.7146)),
    ],
)
def test_gadre_2024(dataset: str, loss: tuple[float, ...], error: tuple[float, ...]) -> None:
    """By their procedure: least squares on the loss of five runs; error on those and the 1.4B run.

    Our own objective, Huber on ln L, has E lower (1.457 for 1.508, 1.799 for 1.837): it passes four of the five runs
    exactly and calls the fifth an outlier, where least squares shares the misfit. One run more than parameters says
    nothing of which is right, and the verdict says so of both.
    """
    runs = gadre(DATA, dataset)
    published_values = gadre_loss_fit(gadre_five(runs), "mse")
    assert list(published_values.params.values()) == pytest.approx(loss, rel=1e-4)
    assert any(line.startswith("too-few-points: 5 points for 4 parameters") for line in published_values.verdict)
    own_values = gadre_loss_fit(gadre_five(runs), "huber-log")
    assert own_values.params["E"] == pytest.approx(loss[0], abs=0.06) and own_values.params["E"] < loss[0]
    low, high = published_values.intervals["E"]
    assert low < own_values.params["E"] < high

    six = gadre_six(runs)
    tasks = fit({"L": six["loss_c4_val"], "Err": six["err_avg_subset"]}, "error", FitOptions(bootstrap=100))
    assert tasks.objective["name"] == "mse"
    assert list(tasks.params.values()) == pytest.approx(error, rel=1e-4)


@published
@pytest.mark.parametrize(
    ("dataset", "error"), [("c4_original", (0.7589, 1.2885, 0.9722)), ("rpj", (0.7608, 1.3229, 0.8907))]
)
def test_gadre_2024_on_all_tasks(dataset: str, error: tuple[float, ...]) -> None:
    runs = gadre(DATA, dataset)
    six = gadre_six(runs)
    fitted = fit({"L": six["loss_c4_val"], "Err": six["err_avg"]}, "error", FitOptions(bootstrap=100))
    assert list(fitted.params.values()) == pytest.approx(error, rel=1e-4)


@published
def test_gadre_2024_predicts_the_large_runs() -> None:
    """Relative errors of loss and of error on RedPajama, in percent, as their notebook prints them."""
    runs = gadre(DATA, "rpj")
    loss = gadre_loss_fit(gadre_five(runs), "mse")
    six = gadre_six(runs)
    tasks = fit({"L": six["loss_c4_val"], "Err": six["err_avg_subset"]}, "error", FitOptions(bootstrap=100))
    for model, M, message in (("open_lm_1b", 640, (0.7103, 3.6365)), ("open_lm_7b", 20, (0.7320, 0.0464))):
        run = runs[(runs["model"] == model) & (runs["token_multiplier"] == M)].iloc[0]
        L = loss.predict(C=run["flops_6nd"], M=M)
        off_cost = abs(L / run["loss_c4_val"] - 1), abs(tasks.predict(L=L) / run["err_avg_subset"] - 1)
        assert [100 * x for x in off_cost] == pytest.approx(message, abs=1e-4)


@pytest.mark.slow
@published
def test_muennighoff_2023_is_one_of_several_minima() -> None:
    """From their start, their minimum; from ours, one that is lower, and the verdict names theirs among the others.

    The published (15.39, 5.31) is where L-BFGS stopped beside the minimum at (15.3718, 5.3151). Along one ridge,
    more worth of repeated tokens against less of spare parameters, there are minima of nearly the same height; the
    points do not choose, and both intervals are wide. (With 1 − e^(−R/R*) for expm1 there is one more and lower near
    R_N* = 1e17: rounding.)
    """
    published_values = muennighoff_fit(DATA, fix=MUENNIGHOFF_FIXED, start={"RD_star": 15.0, "RN_star": 5.0})
    assert published_values.params["RD_star"] == pytest.approx(15.3718, rel=1e-5)
    assert published_values.params["RN_star"] == pytest.approx(5.3151, rel=1e-5)
    own_values = muennighoff_fit(DATA, fix=MUENNIGHOFF_FIXED)
    assert own_values.objective["value"] < published_values.objective["value"] < own_values.objective["value"] * 1.002
    assert own_values.params["RD_star"] == pytest.approx(95.365, rel=1e-3)
    assert own_values.params["RN_star"] == pytest.approx(1.7059, rel=1e-3)
    other = next(verdict for verdict in own_values.verdict if verdict.startswith("local-minima"))
    assert "RD_star = 15.37, RN_star = 5.315" in other and "RD_star = 46.99, RN_star = 2.33" in other
    low, high = own_values.intervals["RD_star"]
    assert low < 15.387756 < high


@pytest.mark.slow
@published
def test_geometric_decay_describes_muennighoffs_runs_as_well() -> None:
    """With the surface held, the sum of a geometric series of repetitions leaves about the same objective."""
    runs = pd.read_csv(MUENNIGHOFF / "runs_c4_182.csv").rename(columns={"unique_tokens": "U"})
    start = {"RD_star": 15.0, "RN_star": 5.0}
    values = {}
    for law in ("data-constrained-exponential", "data-constrained-geometric"):
        result = fit(runs, law, FitOptions(bootstrap=100, fix=MUENNIGHOFF_FIXED, start=start))
        values[law] = result.objective["value"]
        assert 5 < result.params["RD_star"] < 200  # along a ridge of minima
    assert values["data-constrained-geometric"] == pytest.approx(values["data-constrained-exponential"], rel=0.05)


@published
def test_muennighoff_2023_objective_and_r2() -> None:
    runs = pd.read_csv(MUENNIGHOFF / "runs_c4_182.csv").rename(columns={"unique_tokens": "U"})
    N, D, U, L = (runs[c].to_numpy(float) for c in ("params", "tokens", "U", "val_loss"))
    at = laws.LAWS["data-constrained"].function(N, D, U, **MUENNIGHOFF_FIXED, RD_star=15.387756, RN_star=5.309743)
    r = np.abs(np.log(at) - np.log(L))
    assert np.sum(np.where(r < 1e-3, r * r / 2, 1e-3 * (r - 5e-4))) == pytest.approx(0.0158259366, rel=1e-6)
    for predicted, r2 in ((at, 0.772205), (chinchilla.chinchilla(N, D, **MUENNIGHOFF_FIXED), 0.445168)):
        assert 1 - np.sum((predicted - L) ** 2) / np.sum((L - L.mean()) ** 2) == pytest.approx(r2, abs=1e-6)


@published
def test_muennighoff_2023_tied_fit_of_few_epochs() -> None:
    """Their α = β, on runs of at most 2.5 epochs. Our own default has them free, and a lower objective."""
    source = MUENNIGHOFF / "runs_c4_all_incl_seeds.csv"
    tied = fit(
        source, "chinchilla", FitOptions(tie={"beta": "alpha"}, bootstrap=100), reading=ReadOptions(where="epochs<=2.5")
    )
    values = [math.log(tied.params[k]) for k in "ABE"] + [tied.params["alpha"]]
    assert len(tied.points) == 62
    assert values == pytest.approx([6.45395, 8.02425, 0.640036, 0.359609], rel=2e-6)
    assert tied.objective["value"] == pytest.approx(0.00121893868, rel=1e-8)
    free = fit(source, "chinchilla", FitOptions(bootstrap=100), reading=ReadOptions(where="epochs<=2.5"))
    assert free.objective["value"] < tied.objective["value"]


def test_a_start_is_searched_from_and_checked() -> None:
    true = {"E": 1.5, "a": 140.0, "b": 190.0, "eta": 0.12}
    C, M = (x.ravel() for x in np.meshgrid(np.geomspace(1e16, 1e21, 4), [5.0, 20.0, 80.0]))
    arrays = {"C": C, "M": M, "L": laws.LAWS["over-training"].function(C, M, **true)}
    fitted = fit(arrays, "over-training", FitOptions(bootstrap=100, start={"eta": (0.1, 0.3)}))
    assert fitted.starts["tried"] == 2 and fitted.params["eta"] == pytest.approx(0.12, rel=1e-7)
    for start, message in (
        ({"E": 1.0}, "'E' is linear and needs no start"),
        ({"zeta": 1.0}, "'zeta' is not a parameter"),
        ({"eta": 9.0}, "outside of its bounds"),
    ):
        with pytest.raises((FitError, DataError), match=message):
            fit(arrays, "over-training", FitOptions(bootstrap=100, start=start))


def valley(x: np.ndarray, *, p: np.ndarray) -> np.ndarray:
    """Two minima in p, one a little higher."""
    return 2 + 0.1 * np.cos(p) + 0.01 * p + 0.0 * x


def test_minima_that_noise_does_not_tell_apart_are_named() -> None:
    law = laws.Law(valley, "test", {"p": (1.0, 3.0, 5.0, 9.0)}, bounds={"p": (0.1, 12.0)}, objective="mse")
    x = np.linspace(1, 2, 40)
    rng = np.random.default_rng(0)
    nothing = np.full(40, np.nan)
    L = 1.9 + 0.3 * rng.standard_normal(40)
    points = Points(nothing, nothing, nothing, L, [f"{i}" for i in range(40)], extra={"x": x})
    verdict = [line for line in fit(points, law, FitOptions(bootstrap=100)).verdict if line.startswith("local-minima")]
    assert len(verdict) == 1 and "p = " in verdict[0]
    exact = Points(nothing, nothing, nothing, valley(x, p=np.pi - np.arcsin(0.1)), points.names, extra={"x": x})
    assert not [line for line in fit(exact, law, FitOptions(bootstrap=100)).verdict if line.startswith("local-minima")]


def test_exponents_near_zero_do_not_overflow() -> None:
    """U_N is then far below any N; warnings are errors in tests."""
    params = {"E": 0.0, "A": 0.24, "B": 105.0, "alpha": 1e-3, "beta": 0.577, "RD_star": 1e4, "RN_star": 0.03}
    for name in ("data-constrained", "data-constrained-geometric"):
        assert np.isfinite(laws.LAWS[name].function(np.array([1e8]), np.array([1.6e9]), np.array([1.6e9]), **params))

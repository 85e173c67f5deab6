"""What follows from a law: optima where the law is least, costs as the definitions have them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import laws
from analysis.data.options import ReadOptions
from analysis.data.points import Points
from analysis.errors import FitError
from analysis.figures import plot
from analysis.fitting.fit import fit
from analysis.fitting.options import FitOptions
from analysis.fitting.result import Fit
from analysis.laws import Law
from analysis.laws.loss import chinchilla
from analysis.planning.compute_optimal import cheapest_training, off_optimum, optimal_training, wasted_compute
from tests.support.commands import PUBLISHED, call_command
from tests.support.fits import HOFFMANN, surface_points

published = pytest.mark.skipif(not PUBLISHED.is_dir(), reason="published sets are not here (../shared/data)")


@pytest.fixture(scope="module")
def exact() -> Fit:
    return fit(surface_points(), options=FitOptions(bootstrap=100))


@pytest.fixture(scope="module")
def noisy() -> Fit:
    return fit(surface_points(0.003), options=FitOptions(bootstrap=300))


def searched(fitted: Fit) -> Fit:
    """The same fit with a law that does not say where its optimum is."""
    form = fitted.form
    assert form is not None
    from dataclasses import replace

    return replace(fitted, form=replace(form, optimum=None))


def test_the_search_finds_the_optimum_that_the_closed_form_gives(noisy: Fit) -> None:
    budgets = [1e20, 1e24, 1e27]
    first, other = optimal_training(noisy, budgets), optimal_training(searched(noisy), budgets)
    np.testing.assert_allclose(other.N.rows, first.N.rows, rtol=1e-5)
    assert first.L is not None and other.L is not None
    np.testing.assert_allclose(other.L.rows, first.L.rows, rtol=1e-10)
    np.testing.assert_allclose(other.exponent.value, first.exponent.value, rtol=1e-2)
    a = noisy.params["beta"] / (noisy.params["alpha"] + noisy.params["beta"])
    np.testing.assert_allclose(first.exponent.value, a, rtol=1e-6)


def test_the_frontier_says_what_the_fit_says(noisy: Fit) -> None:
    assert noisy.optimum is not None
    first, second = optimal_training(noisy, 1e24).to_json()[0], noisy.optimum.at(1e24)
    for name in ("N", "D", "L", "tokens_per_parameter"):
        assert first[name] == pytest.approx(second[name])
        assert first["intervals"][name] == pytest.approx(second["intervals"][name])
        low, high = first["intervals"][name]
        assert low < first[name] < high
    assert first["tokens_per_parameter"] == pytest.approx(first["D"] / first["N"])
    assert "tokens_per_parameter" in noisy.to_json()["optimum"]["at"][0]


def test_a_loss_is_reached_at_the_budget_whose_best_loss_it_is(noisy: Fit) -> None:
    path = optimal_training(noisy, 1e24)
    assert path.L is not None
    back = cheapest_training(noisy, float(path.L.value[0]))
    assert back.C.value[0] == pytest.approx(1e24, rel=1e-9)
    assert back.N.value[0] == pytest.approx(path.N.value[0], rel=1e-9)
    low, high = back.C.interval()
    assert low < 1e24 < high


def test_inference_is_served_by_smaller_models_trained_for_longer(exact: Fit) -> None:
    """Sardana 2024, figure 1: of 13B quality with 2T tokens served, 7B on more data saves 1.7e22 FLOPs, 17%."""
    a, _, ln_g = laws.chinchilla_optimum(HOFFMANN, 6.0)
    C = 6 * float((13e9 / np.exp(ln_g)) ** (1 / a))
    target = float(chinchilla.chinchilla(13e9, C / 6 / 13e9, **HOFFMANN))
    fitted = cheapest_training(exact, target, inference_tokens=2e12)
    before = C + 2 * 13e9 * 2e12
    assert fitted.N.value[0] == pytest.approx(7e9, rel=0.02)
    assert before - fitted.total.value[0] == pytest.approx(1.7e22, rel=0.02)
    assert 1 - fitted.total.value[0] / before == pytest.approx(0.17, abs=0.005)
    N, D = fitted.N.value[0], fitted.D.value[0]
    assert pytest.approx(fitted.total.value[0], rel=1e-6) == 6 * N * D + 2 * N * 2e12
    for other in (0.98 * N, 1.02 * N):  # any other size takes more to the same loss
        rest = target - HOFFMANN["E"] - HOFFMANN["A"] * other ** -HOFFMANN["alpha"]
        needed = (HOFFMANN["B"] / rest) ** (1 / HOFFMANN["beta"])
        assert 6 * other * needed + 2 * other * 2e12 > fitted.total.value[0]


def test_a_total_to_spend_is_spent_to_the_least_loss(exact: Fit) -> None:
    fitted = optimal_training(exact, 1e24, inference_tokens=2e12)
    N = fitted.N.value[0] * np.exp(np.linspace(-0.5, 0.5, 1001))
    L = chinchilla.chinchilla(N, (1e24 - 2 * N * 2e12) / (6 * N), **HOFFMANN)
    assert fitted.L is not None and fitted.L.value[0] <= L.min() * (1 + 1e-12)
    assert abs(np.log(N[L.argmin()] / fitted.N.value[0])) < 2e-3
    assert cheapest_training(exact, float(L.min()), inference_tokens=2e12).total.value[0] == pytest.approx(
        1e24, rel=1e-6
    )


@pytest.mark.parametrize("factor", [0.25, 0.5, 2.0, 4.0])
def test_off_the_optimum_costs_what_the_definition_says(exact: Fit, factor: float) -> None:
    (off_cost,) = off_optimum(exact, 1e24, factor)
    a, _, ln_g = laws.chinchilla_optimum(HOFFMANN, 6.0)
    best = np.exp(ln_g) * (1e24 / 6) ** a
    N, minimum = factor * best, chinchilla.chinchilla(best, 1e24 / 6 / best, **HOFFMANN)
    D = (HOFFMANN["B"] / (minimum - HOFFMANN["E"] - HOFFMANN["A"] * N ** -HOFFMANN["alpha"])) ** (1 / HOFFMANN["beta"])
    assert off_cost.more_compute.value[0] == pytest.approx(6 * N * D / 1e24 - 1, rel=1e-6)
    assert off_cost.more_loss.value[0] == pytest.approx(
        chinchilla.chinchilla(N, 1e24 / 6 / N, **HOFFMANN) - minimum, rel=1e-9
    )


def test_at_the_optimum_nothing_is_lost(noisy: Fit) -> None:
    (at,) = off_optimum(noisy, 1e24, 1)
    assert np.abs(at.more_compute.rows).max() < 1e-12 and np.abs(at.more_loss.rows).max() == 0
    best = optimal_training(noisy, 1e24)
    lost = wasted_compute(noisy, best.N.value[0], best.D.value[0])
    assert abs(lost.share.value[0]) < 1e-9
    assert lost.share.rows.min() > -1e-9  # no draw gets the same loss for less than its optimum


def test_a_size_far_too_small_never_gets_there(exact: Fit) -> None:
    (off_cost,) = off_optimum(exact, 1e24, 0.01)
    assert np.isinf(off_cost.more_compute.value[0]) and off_cost.more_compute.interval()[1] == np.inf


def test_a_loss_below_the_floor_is_refused_in_one_line(noisy: Fit) -> None:
    with pytest.raises(
        FitError, match=r"target loss 1\.5: cannot be reached: the law goes no lower than E = 1\.6"
    ) as error:
        cheapest_training(noisy, [2.0, 1.5])
    assert "\n" not in str(error.value)


def test_draws_that_cannot_reach_a_loss_leave_its_interval_open() -> None:
    fitted = fit(surface_points(0.02), options=FitOptions(bootstrap=300))
    high = fitted.intervals["E"][1]
    between = fitted.params["E"] + 0.2 * (high - fitted.params["E"])
    path = cheapest_training(fitted, between)
    assert np.isfinite(path.C.value[0]) and path.C.interval()[1] == np.inf
    assert any("cannot be reached in" in verdict for verdict in path.verdict[0])
    json.dumps(path.to_json()[0]["verdict"])


def test_extrapolation_is_said_with_how_far(exact: Fit) -> None:
    assert optimal_training(exact, 1e24).verdict[0] == ()
    (text,) = optimal_training(exact, 6e26).verdict[0]
    assert text.startswith("extrapolation: C is 100 times")


def test_an_approach_gives_sizes_alone() -> None:
    C = np.repeat(np.geomspace(1e19, 1e21, 4), 5)
    a, _, ln_g = laws.chinchilla_optimum(HOFFMANN, 6.0)
    N = np.exp(ln_g) * (C / 6) ** a * np.tile(np.exp(np.linspace(-1, 1, 5)), 4)
    data = Points(
        N, C / 6 / N, C, chinchilla.chinchilla(N, C / 6 / N, **HOFFMANN), [f"{i}" for i in range(20)], budgets=C
    )
    fitted = fit(data, "chinchilla-2", FitOptions(bootstrap=100))
    path = optimal_training(fitted, [1e20, 1e22])
    assert path.L is None and path.N.value[0] == pytest.approx(np.exp(ln_g) * (1e20 / 6) ** a, rel=0.05)
    with pytest.raises(FitError, match="not a loss: use chinchilla"):
        cheapest_training(fitted, 2.0)


def test_a_law_of_something_else_is_refused() -> None:
    x = np.geomspace(1e18, 1e24, 12)
    fitted = fit({"C": x, "L": 1.7 + 1e3 * x**-0.15}, "power-c", FitOptions(bootstrap=100))
    with pytest.raises(FitError, match="an optimum takes a law of N and D"):
        optimal_training(fitted, 1e24)


@published
def test_besiroglus_optimum_trains_about_twenty_tokens_a_parameter() -> None:
    """Besiroglu 2024, figure 5: the refit agrees with the 20 tokens a parameter that Hoffmann 2022 trained at."""
    source = PUBLISHED / "besiroglu2024_chinchilla" / "chinchilla_points_245.csv"
    fitted = fit(source, "chinchilla", FitOptions(bootstrap=400), ReadOptions(where="not excluded_in_paper"))
    ratio = optimal_training(fitted, 5.76e23).to_json()[0]
    low, high = ratio["intervals"]["tokens_per_parameter"]
    assert low < 20 < high
    lost = wasted_compute(fitted, 70e9, 1.4e12)
    assert lost.share.value[0] < 0.02


# In a notebook.


def test_a_fit_shows_as_a_table_and_as_text(noisy: Fit) -> None:
    shown = noisy._repr_html_()
    for name, value in noisy.params.items():
        assert f">{name}<" in shown and f"{value:.3g}"[:3] in shown
    assert "verdict" in repr(noisy) and "36 points" in repr(noisy) and "<" not in repr(noisy).replace("<=", "")


def test_a_quantity_prints_with_the_interval_of_each_query(noisy: Fit) -> None:
    loss = optimal_training(noisy, [1e22, 1e23]).L
    assert loss is not None
    low, high = loss.interval(1)
    assert str(loss).startswith("2.13") and str(loss).endswith(f", {loss.value[1]:.4f} [{low:.4f}, {high:.4f}]")


def test_what_a_source_is_called_cannot_write_html() -> None:
    from dataclasses import replace

    fitted = fit(surface_points(), options=FitOptions(bootstrap=100))
    named = replace(fitted, points=replace(fitted.points, source="<script>x</script>"))
    assert "<script>" not in named._repr_html_()


@pytest.mark.parametrize("name", ["law", "parity", "contours"])
def test_a_fit_draws_itself_without_pyplot(noisy: Fit, name: str) -> None:
    figure = plot(noisy, name)
    assert figure.axes and "matplotlib.pyplot" not in sys.modules


def test_a_law_of_ones_own_draws_too(tmp_path: Path) -> None:
    def bent(x: np.ndarray, *, a: float, b: float) -> np.ndarray:
        return a + b * x

    law = Law(bent, "mine", {"a": (0.0,), "b": (0.1,)}, bounds={"a": (-10, 10), "b": (-10, 10)}, output="y",
              objective="mse", signed=("x", "y"))  # fmt: skip
    x = np.linspace(-3, 3, 20)
    fitted = fit({"x": x, "y": 1 - 2 * x + 0.01 * np.sin(9 * x)}, law, FitOptions(bootstrap=100))
    assert fitted.params["b"] == pytest.approx(-2, abs=0.02)
    assert len(plot(fitted).axes) == 2


# The commands.


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("follow") / "runs.csv"
    pd.DataFrame(surface_points(0.003)).to_csv(path, index=False)
    return path


def test_optimum_answers_all_that_was_asked(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "optimum.json"
    arguments = ("--budget", "1e21,1e24", "--target-loss", "2.0", "--factors", "0.5", "--run", "N=7e9,D=2e12")
    ran = call_command("analysis", "optimum", table, *arguments, "--bootstrap", "100", "--json", out)
    assert ran.returncode == 0, ran.stderr
    result = json.loads(out.read_text())
    assert [round(np.log10(budget_fit["C"])) for budget_fit in result["budgets"]] == [21, 24]
    assert result["targets"][0]["target_loss"] == 2.0 and result["targets"][0]["L"] == pytest.approx(2.0)
    assert len(result["off"]) == 3 and result["run"]["N"] == 7e9
    for text in ("tokens per parameter", "2, the target", "more compute for the same loss", "could have been saved"):
        assert text in ran.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--budget", "x"], 2, "--budget x: must be numbers"),
        (["--run", "N=1e9"], 2, "must be N=...,D=..."),
        (["--inference-tokens", "-1"], 2, "inference-tokens -1.0: must be 0 or more"),
        (["--target-loss", "1.2"], 1, "cannot be reached"),
        (["--law", "kaplan-n"], 1, "an optimum takes a law of N and D"),
    ],
)
def test_what_cannot_be_asked_gets_one_line(table: Path, arguments: list[str], status: int, message: str) -> None:
    ran = call_command("analysis", "optimum", table, "--bootstrap", "100", *arguments)
    assert ran.returncode == status, ran.stderr
    assert ran.stderr.count("\n") == 1 and message in ran.stderr


def test_every_law_is_listed_with_its_form() -> None:
    result = {entry["name"]: entry for entry in json.loads(call_command("analysis", "laws", "--json").stdout)}
    assert set(result) == set(laws.NAMES)
    assert result["chinchilla"]["parameters"] == ["E", "A", "B", "alpha", "beta"]
    assert all(entry["source"] and entry["form"] for entry in result.values())

"""Forecasts of runs beyond the points of known laws."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analysis import laws
from analysis.data.points import Points
from analysis.errors import DataError, FitError
from analysis.fitting.options import FitOptions
from analysis.laws.loss import chinchilla
from analysis.studies.forecast.calibration import budget_splits, calibrate
from analysis.studies.forecast.forecast import forecast_run, hash_points
from analysis.studies.forecast.options import ForecastOptions
from analysis.studies.forecast.result import Forecast, describe
from tests.support import fits

QUICK = FitOptions(bootstrap=100)


def table(points: Points) -> dict[str, object]:
    return {"N": points.N, "D": points.D, "C": points.C, "L": points.L, "budget": points.budgets}


@pytest.fixture(scope="module")
def points() -> Points:
    return fits.isoflop_sweep(noise=0.003, budgets=6)


@pytest.fixture(scope="module")
def forecast(points: Points) -> Forecast:
    return forecast_run(table(points), ForecastOptions(target={"C": 9e14}), QUICK)


def test_the_interval_has_the_loss_of_the_true_law(forecast: Forecast) -> None:
    truth = float(chinchilla.chinchilla(forecast.target.N, forecast.target.D, **fits.TRUTH))
    low, high = forecast.interval
    assert low < truth < high
    assert forecast.quantiles["0.5"] == pytest.approx(truth, rel=0.01)
    assert forecast.reach["C"] == pytest.approx(30.0)


def test_laws_are_weighted_by_their_backtests(forecast: Forecast) -> None:
    errors = {law.law: law.rms_error for law in forecast.laws}
    weights = {law.law: law.weight for law in forecast.laws}
    assert sum(weights.values()) == pytest.approx(1.0)
    assert min(errors, key=errors.__getitem__) == max(weights, key=weights.__getitem__) == forecast.main
    assert errors["kaplan-nd"] > 3 * errors["chinchilla"]  # the points have an irreducible loss


def test_effects_name_each_budget_and_both_ends_of_the_irreducible_loss(forecast: Forecast, points: Points) -> None:
    kinds = [effect.kind for effect in forecast.effects]
    assert points.budgets is not None
    assert kinds.count("budget") == len(np.unique(points.budgets))
    low, high = (effect.loss for effect in forecast.effects if effect.kind == "irreducible loss")
    assert low < forecast.quantiles["0.5"] < high


@pytest.mark.slow
def test_a_larger_distance_gives_a_wider_interval(points: Points) -> None:
    widths = []
    for C in (6e13, 3e15):
        low, high = forecast_run(table(points), ForecastOptions(target={"C": C}, law=("chinchilla",)), QUICK).interval
        widths.append(np.log(high / low))
    assert widths[1] > 1.3 * widths[0]


def test_backtests_extrapolate_from_at_least_three_budgets(points: Points) -> None:
    splits = budget_splits(points, 5)
    assert [len(np.unique(points.C[below].round(-10))) for below, _ in splits] == [3, 4, 5]
    assert all(points.C[below].max() < points.C[above].min() for below, above in splits)


def test_laws_that_miss_their_backtests_get_a_larger_spread(points: Points) -> None:
    bent = replace(points, L=points.L + 0.06 * np.log(points.C / points.C.min()) ** 2 / 10)  # levels off: no such law
    forms = [laws.find("chinchilla")]
    calibrated = [calibrate(p, ["chinchilla"], forms, QUICK).spread for p in (points, bent)]
    assert calibrated[0] < 1.6 < calibrated[1]


def test_the_hash_of_the_points_changes_with_a_loss(points: Points) -> None:
    changed = replace(points, L=points.L + np.eye(len(points))[3] * 1e-12)
    assert hash_points(points) != hash_points(changed)
    assert hash_points(points) == hash_points(replace(points, source="elsewhere"))


def test_the_text_states_interval_distance_and_laws(forecast: Forecast) -> None:
    text = describe(forecast)
    assert "95% interval of a new run" in text
    assert "C 30" in text
    assert all(law.law in text for law in forecast.laws)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "no run to forecast"),
        ({"target": {"C": 1e15}, "law": ("error",)}, "must be a loss of N, D, C"),
        ({"target": {"C": 1e15}, "law": ("chinchilla-2",)}, "predicts exponents"),
        ({"target": {"C": 1e15}, "law": ("power-n",)}, "have no compute-optimal"),
        ({"target_run": "absent.json"}, "absent.json"),
    ],
)
def test_a_target_or_law_that_cannot_be_used_is_an_error(points: Points, options: dict, message: str) -> None:
    with pytest.raises((DataError, FitError), match=message):
        forecast_run(table(points), ForecastOptions(**options), QUICK)


def test_a_config_file_that_is_no_run_is_an_error(points: Points, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"model": {}}')
    with pytest.raises(DataError, match="--target-run"):
        forecast_run(table(points), ForecastOptions(target_run=str(path)), QUICK)


def test_a_size_that_the_points_do_not_determine_is_one_line(points: Points) -> None:
    flat = table(points) | {"L": 3.0 - 1e-4 * np.log(points.D)}  # sizes do not matter
    with pytest.raises(FitError, match=r"optimum of chinchilla is N = .*: give N=\.\.,D=\.\. or --target-run"):
        forecast_run(flat, ForecastOptions(target={"C": 9e14}, law=("chinchilla",)), QUICK)

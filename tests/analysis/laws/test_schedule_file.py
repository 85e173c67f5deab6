"""Losses at few steps with a table of the whole schedule give the law back; without it they do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import laws
from analysis.data.load import load
from analysis.data.options import ReadOptions
from analysis.errors import DataError
from analysis.fitting.fit import fit
from analysis.fitting.options import FitOptions
from analysis.laws.curve.schedule_terms import Schedules

TISSUE = {"L0": 2.5, "A": 0.6, "alpha": 0.5, "C": 0.5, "lam": 0.995}
FAST = FitOptions(bootstrap=100)
STEPS = np.arange(1.0, 6001.0)
RATES = {
    "cosine": 1e-3 * (0.55 + 0.45 * np.cos(np.pi * STEPS / 6000)),
    "drop": np.where(STEPS < 2900, 1e-3, 2e-4),
    "wsd": 1e-3 * np.minimum(1.0, (6001 - STEPS) / 1200),
}


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, pd.DataFrame]:
    """Files of 12 losses of each of three curves and of all steps of their schedules, and the losses with rates."""
    folder = tmp_path_factory.mktemp("schedules")
    names = np.repeat(list(RATES), len(STEPS))
    schedule = pd.DataFrame({"step": np.tile(STEPS, 3), "lr": np.concatenate(list(RATES.values())), "run": names})
    codes = np.repeat([1.0, 2.0, 3.0], len(STEPS))
    rows = np.concatenate([k * 6000 + np.linspace(250, 5999, 12).astype(int) for k in range(3)])
    known = {float(k): (STEPS, rates) for k, rates in enumerate(RATES.values(), 1)}
    law = laws.curve.schedules.with_schedules(laws.LAWS["tissue"], Schedules(known))
    sparse = schedule.iloc[rows].assign(loss=0.0)
    sparse["loss"] = np.ravel(law.function(sparse["step"].to_numpy(), sparse["lr"].to_numpy(), codes[rows], **TISSUE))
    schedule.to_csv(folder / "schedule.csv", index=False)
    sparse.drop(columns="lr").to_csv(folder / "losses.csv", index=False)
    return folder / "losses.csv", folder / "schedule.csv", sparse


def test_sparse_losses_with_their_schedule_give_the_law_back(tables: tuple[Path, Path, pd.DataFrame]) -> None:
    losses, schedule, sparse = tables
    result = fit(losses, "tissue", FAST, ReadOptions(schedule=str(schedule)))
    assert result.params == pytest.approx(TISSUE, rel=1e-2)
    assert np.abs(result.residuals()).max() < 1e-4
    without = fit(sparse.rename(columns={"run": "curve"}), "tissue", FAST)
    assert abs(without.params["C"] / TISSUE["C"] - 1) > 0.03  # lines between 12 rows are not the schedule
    assert "learning rates of 3 curves" in result.points.notes[-1]


def test_another_curve_is_predicted_by_its_own_rows(tables: tuple[Path, Path, pd.DataFrame]) -> None:
    losses, schedule, _ = tables
    result = fit(losses, "tissue", FAST, ReadOptions(schedule=str(schedule)))
    constant = {"step": STEPS[99::100], "lr": np.full(60, 5e-4), "curve": np.ones(60)}
    expected = np.ravel(laws.LAWS["tissue"].function(*constant.values(), **TISSUE))
    assert result.predict(**constant) == pytest.approx(expected, rel=1e-3)


def test_the_simplified_schedule_keeps_rates_and_jumps() -> None:
    schedules = Schedules({float(k): (STEPS, rates) for k, rates in enumerate(RATES.values())})
    simple = schedules.simplified()
    for curve, (steps, rates) in schedules.curves.items():
        assert len(simple.curves[curve][0]) < 200
        assert np.abs(simple.rates(curve, steps) - rates).max() <= 1.1e-4 * rates.max()


def test_errors_name_the_curve_or_the_step(tables: tuple[Path, Path, pd.DataFrame], tmp_path: Path) -> None:
    losses, schedule, _ = tables
    law, frame = laws.LAWS["tissue"], pd.read_csv(schedule)
    short, two = tmp_path / "short.csv", tmp_path / "two.csv"
    frame[frame["step"] < 3000].to_csv(short, index=False)
    frame[frame["run"] != "wsd"].to_csv(two, index=False)
    with pytest.raises(DataError, match="step 6000 of curve cosine is after the last step of its schedule, 2999"):
        load(losses, law, ReadOptions(schedule=str(short)))
    with pytest.raises(DataError, match="curve 'wsd' has no schedule: there are schedules of cosine, drop"):
        load(losses, law, ReadOptions(schedule=str(two)))
    with pytest.raises(DataError, match="applies only to laws of schedules"):
        load(losses, laws.LAWS["chinchilla"], ReadOptions(schedule=str(schedule)))

"""The compute multiplier: it finds the one that was put in, and its interval holds it as often as it says."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.__main__ import main
from analysis.data.options import ReadOptions
from analysis.errors import DataError, FitError
from analysis.studies.multiplier import compute_multipliers
from analysis.studies.options import MultiplierOptions

BUDGETS = (1e17, 3e17, 1e18, 3e18)


def grid(path: Path, truth: float, noise: float, seed: int = 0, kinds: tuple[str, str] = ("a", "b")) -> Path:
    """An isoFLOP grid of two kinds: b does with C what a does with `truth` times C."""
    rng = np.random.default_rng(seed)
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["N", "D", "C", "L", "budget", "kind"])
        for kind, times in zip(kinds, (1.0, truth), strict=True):
            for C in BUDGETS:
                best = 0.1 * (C / 6) ** 0.51
                for N in best * np.array([0.25, 0.5, 1.0, 2.0, 4.0]):
                    worth = C * times
                    low = 1.7 + 1.1e3 * worth**-0.17
                    L = low + 0.03 * np.log(N / best) ** 2 + noise * rng.standard_normal()
                    out.writerow([N, C / (6 * N), C, L, C, kind])
    return path


@pytest.mark.parametrize("truth", [0.4, 1.0, 1.25, 3.0])
def test_the_multiplier_that_was_put_in_comes_out(truth: float, tmp_path: Path) -> None:
    (multiplier,) = compute_multipliers(grid(tmp_path / "g.csv", truth, 0.0), "kind")
    assert (multiplier.group, multiplier.reference) == ("b", "a")
    assert multiplier.value == pytest.approx(truth, rel=0.01)
    (back,) = compute_multipliers(grid(tmp_path / "g.csv", truth, 0.0), "kind", MultiplierOptions(reference="b"))
    assert back.value == pytest.approx(1 / truth, rel=0.01)


@pytest.mark.parametrize(
    ("grids", "bootstrap", "least"),
    [pytest.param(20, 100, 16, marks=pytest.mark.slow), pytest.param(100, 300, 88, marks=pytest.mark.long)],
)
def test_its_interval_covers_as_often_as_it_says(tmp_path: Path, grids: int, bootstrap: int, least: int) -> None:
    options = MultiplierOptions(bootstrap=bootstrap)
    values = [
        compute_multipliers(grid(tmp_path / "g.csv", 1.3, 0.01, seed), "kind", options)[0] for seed in range(grids)
    ]
    covered = sum(entry.interval[0] <= 1.3 <= entry.interval[1] for entry in values)
    assert least <= covered and (grids < 100 or covered <= 99)
    logarithms = np.log([entry.value for entry in values])
    assert abs(np.median(logarithms) - np.log(1.3)) < 0.04
    widths = np.log([entry.interval[1] / entry.interval[0] for entry in values])
    assert 2.5 < np.median(widths) / logarithms.std() < 5.5  # 3.9 of a normal distribution


def test_what_cannot_be_compared_says_why(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="kind is a in all runs"):
        compute_multipliers(grid(tmp_path / "g.csv", 1.0, 0.0, kinds=("a", "a")), "kind")
    with pytest.raises(DataError, match=r"g\.csv: reference c: must be one of the values of kind, a, b"):
        compute_multipliers(grid(tmp_path / "g.csv", 1.0, 0.0), "kind", MultiplierOptions(reference="c"))
    with pytest.raises(DataError, match=r"g\.csv: a: .*a multiplier needs 2"):
        compute_multipliers(grid(tmp_path / "g.csv", 1.0, 0.0), "kind", reading=ReadOptions(where="C<2e17"))
    for where, reason in (
        ("C<<2", "'C << 2' is not supported"),
        ("nowhere>1", "no column 'nowhere'"),
        ("C+1", "is a number"),
    ):
        with pytest.raises(DataError, match=rf"g\.csv: where '{re.escape(where)}': .*{reason}"):
            compute_multipliers(grid(tmp_path / "g.csv", 1.0, 0.0), "kind", reading=ReadOptions(where=where))


def test_a_budget_without_a_minimum_is_left_out_and_named(tmp_path: Path) -> None:
    path = grid(tmp_path / "g.csv", 1.3, 0.0)
    with path.open() as file:
        rows = list(csv.DictReader(file))
    for row in rows[:5]:  # the first budget of a, turned over
        row["L"] = str(8.0 - float(row["L"]))
    with path.open("w", newline="") as file:
        out = csv.DictWriter(file, rows[0])
        out.writeheader()
        out.writerows(rows)
    (multiplier,) = compute_multipliers(path, "kind")
    assert any("losses at C = 1e+17 have no minimum in N" in line for line in multiplier.verdict)
    assert multiplier.budgets == 7 and multiplier.value == pytest.approx(1.3, rel=0.03)


def test_curves_without_a_loss_in_common_are_doubted(tmp_path: Path) -> None:
    (multiplier,) = compute_multipliers(grid(tmp_path / "g.csv", 1e3, 0.0), "kind")
    assert any("end of the search range" in line or "do not overlap" in line for line in multiplier.verdict)


def test_the_command_writes_what_it_says(tmp_path: Path, capsys) -> None:
    path = grid(tmp_path / "g.csv", 2.0, 0.001)
    assert main(["multiplier", str(path), "--by", "kind", "--json", "-"]) == 0
    (first,) = json.loads(capsys.readouterr().out)["multipliers"]
    assert first["interval"][0] < first["value"] < first["interval"][1] and first["verdict"] == ["converged"]
    assert main(["multiplier", str(path), "--by", "kind"]) == 0
    assert "kind = b: 2 times the compute efficiency of a" in capsys.readouterr().out
    assert main(["multiplier", str(path), "--by", "kin"]) == 2


def test_noise_as_large_as_the_losses_raises_no_numerical_warning(tmp_path: Path) -> None:
    """Warnings are errors in tests: bootstrap minima below 0 have no logarithm and are left out."""
    rng = np.random.default_rng(0)
    C = np.repeat(np.geomspace(1e12, 3e13, 4), 10)
    N = C**0.5 * np.tile(np.repeat(np.exp(np.linspace(-1, 1, 5)), 2), 4)
    loss = 2 * (1 + 0.3 * np.tile(np.repeat(np.linspace(-1, 1, 5), 2), 4) ** 2) * np.exp(0.6 * rng.standard_normal(40))
    frame = pd.DataFrame({"N": N, "D": C / 6 / N, "C": C, "loss": loss, "kind": np.tile(["a", "b"], 20)})
    frame.to_csv(tmp_path / "runs.csv", index=False)
    try:
        compute_multipliers(tmp_path / "runs.csv", "kind", MultiplierOptions(bootstrap=100))
    except FitError as error:
        assert "budgets" in str(error) or "positive" in str(error)

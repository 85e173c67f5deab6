"""Power of a fit: the level of the test without an effect, near one with a large one; further runs where it is low."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analysis.__main__ import main
from analysis.data.points import Points
from analysis.errors import FitError
from analysis.fitting.fit import fit
from analysis.fitting.options import FitOptions
from analysis.fitting.result import Fit
from analysis.studies.simulations.coverage import HOFFMANN, simulate_sweep
from analysis.studies.simulations.power import ENOUGH, LEVEL, Distinction, extension_runs, power_statement
from analysis.studies.simulations.power_alternatives import generalised_chinchilla

QUICK = FitOptions(bootstrap=100, checks=False)
EQUAL = HOFFMANN | {"alpha": 0.3, "beta": 0.3, "A": 300.0, "B": 300.0}


def with_noise(points: Points, noise: float, seed: int = 0) -> Points:
    errors = np.random.default_rng(seed).standard_normal(len(points))
    return replace(points, L=points.L * np.exp(noise * errors))


def fitted(truth: dict[str, float], noise: float, runs: int = 20) -> Fit:
    return fit(with_noise(simulate_sweep("chinchilla", truth, "isoflop", runs), noise), "chinchilla", QUICK)


def rows(fitted_law: Fit, draws: int = 40, *, extend: bool = False) -> dict[str, Distinction]:
    return {row.name: row for row in power_statement(fitted_law, draws, extend=extend).distinctions}


def test_precise_runs_could_tell_every_alternative_and_noisy_ones_could_not() -> None:
    precise, noisy = rows(fitted(HOFFMANN, 1e-4)), rows(fitted(HOFFMANN, 0.03))
    assert [*precise] == ["no E", "equal exponents", "generalised Chinchilla", "broken power law"]
    assert all(row.power > 0.95 and row.is_enough for row in precise.values())
    assert noisy["broken power law"].power < ENOUGH and noisy["generalised Chinchilla"].power < ENOUGH
    assert precise["no E"].p_value < 0.05 and precise["equal exponents"].p_value < 0.05
    assert precise["generalised Chinchilla"].p_value > 0.01  # the law is true


@pytest.mark.slow
def test_without_an_effect_the_power_is_the_level_of_the_test() -> None:
    result = fit(simulate_sweep("chinchilla", EQUAL, "isoflop", 28), "chinchilla", QUICK)
    exact = replace(result, points=with_noise(result.points, 0.005))  # the estimates are exactly α = β
    power = rows(exact, 200)["equal exponents"]
    assert abs(power.power - LEVEL) < 3 * np.sqrt(2 * LEVEL * (1 - LEVEL) / 200)
    assert power.error == pytest.approx(2 * np.sqrt(power.power * (1 - power.power) / 200))


def test_runs_of_a_generalised_law_reject_the_fitted_one() -> None:
    clean = simulate_sweep("chinchilla", HOFFMANN, "isoflop", 28)
    truth = HOFFMANN | {"A": 406.4 ** (1 / 0.6), "B": 410.7 ** (1 / 0.6), "alpha": 0.34 / 0.6, "beta": 0.28 / 0.6}
    bent = replace(clean, L=generalised_chinchilla(clean.N, clean.D, **truth, k=0.6))
    row = rows(fit(with_noise(bent, 2e-4), "chinchilla", QUICK), 40)["generalised Chinchilla"]
    assert row.p_value < 0.03


@pytest.mark.slow
def test_where_the_runs_do_not_suffice_the_next_ones_are_given_with_a_command(tmp_path: Path) -> None:
    result = fitted(HOFFMANN, 0.01, 20)
    weak = {name: row for name, row in rows(result, extend=True).items() if not row.is_enough}
    assert weak
    for row in weak.values():
        if row.extension is not None:
            assert row.extension_power is not None and row.extension_power >= ENOUGH
            C = row.extension * result.points.C.max()
            assert row.command.startswith("python -m analysis next") and f"--target C={C:.3g} " in row.command
    N, D = extension_runs(result, 10.0)
    np.testing.assert_allclose(result.points.compute_cost.flops(N, D), 10 * result.points.C.max())


@pytest.mark.slow
def test_constraints_of_the_fit_leave_out_the_alternatives_that_they_decide() -> None:
    points = with_noise(simulate_sweep("chinchilla", HOFFMANN, "isoflop", 28), 0.002)
    tied = fit(points, "chinchilla", replace(QUICK, tie={"beta": "alpha"}))
    fixed = fit(points, "chinchilla", replace(QUICK, fix={"E": 1.69}))
    assert "equal exponents" not in rows(tied, 40) and "no E" not in rows(fixed, 40)


def test_the_command_prints_it_and_writes_it_and_refuses_what_it_cannot_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    points = with_noise(simulate_sweep("chinchilla", HOFFMANN, "isoflop", 20), 1e-4)
    source, out = tmp_path / "runs.csv", tmp_path / "fit.json"
    lines = [f"{N},{D},{L},{i % 2}" for i, (N, D, L) in enumerate(zip(points.N, points.D, points.L, strict=True))]
    source.write_text("\n".join(["N,D,loss,kind", *lines]))
    assert main(["fit", str(source), "--bootstrap", "100", "--power", "--json", str(out)]) == 0
    data = json.loads(out.read_text())["power"]
    assert {row["name"] for row in data["alternatives"]} >= {"no E", "broken power law"} and data["draws"] == 200
    assert "main" not in capsys.readouterr().err
    assert main(["fit", str(source), "--power", "--by", "kind"]) == 2
    assert main(["fit", str(source), "--law", "power-n", "--power"]) == 1
    assert "a power statement is made for the law chinchilla" in capsys.readouterr().err
    with pytest.raises(FitError, match="40 or more"):
        power_statement(fitted(HOFFMANN, 0.01), 10)

"""Bounds of parameters are kept, are part of the result, and are a warning where a parameter is at one."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from analysis import laws
from analysis.errors import DataError
from analysis.fitting.fit import fit
from analysis.fitting.options import FitOptions
from tests.support.commands import call_command
from tests.support.fits import TRUTH, grid

DATA = grid(0.003)
FREE = fit(DATA, options=FitOptions(bootstrap=100))


def bounded(**bounds: tuple[float, float]) -> FitOptions:
    return FitOptions(bootstrap=100, bounds=bounds)


@pytest.mark.parametrize("name", ["E", "A", "alpha", "lnB"])
def test_a_bound_below_the_best_value_is_where_the_parameter_ends(name: str) -> None:
    """It is as if the parameter had been fixed there, and no sample of the bootstrap is beyond."""
    parameter = name.removeprefix("ln")
    high = 0.9 * FREE.params[parameter]
    ends = (-math.inf, math.log(high) if name != parameter else high)
    result = fit(DATA, options=bounded(**{name: ends}))
    assert result.params[parameter] == pytest.approx(high, rel=1e-6)
    assert any(line.startswith("parameter-at-bound") and f"{parameter} = " in line for line in result.verdict)
    assert result.samples[parameter].max() <= high * (1 + 1e-9)
    fixed = fit(DATA, options=FitOptions(bootstrap=100, fix={parameter: high}))
    assert result.objective["value"] == pytest.approx(fixed.objective["value"], rel=1e-6)


def test_bounds_that_hold_anyway_change_nothing() -> None:
    result = fit(DATA, options=bounded(E=(0.5, math.inf), lnA=(0.0, math.inf), alpha=(0.0, 1.0)))
    assert result.params == pytest.approx(FREE.params, rel=1e-5)
    assert result.verdict == FREE.verdict == ("converged",)
    assert result.bounds == {"E": (0.5, math.inf), "A": (1.0, math.inf), "alpha": (1e-3, 1.0)}


def test_an_exponent_can_be_allowed_to_be_larger_than_by_default() -> None:
    assert laws.bounds.with_bounds(laws.LAWS["chinchilla"], {"alpha": (0.0, 8.0)}).bound("alpha") == (1e-3, 8.0)


def test_the_command_takes_bounds_and_says_them(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    rows = np.stack([DATA.N, DATA.D, DATA.L], -1)
    np.savetxt(path, rows, delimiter=",", header="N,D,L", comments="")
    line = ("analysis", "fit", path, "--bootstrap", "100", "--bounds", f"alpha=0..{0.9 * TRUTH['alpha']},E=0.1..")
    data = json.loads(call_command(*line, "--json", "-").stdout)
    assert data["bounds"] == {"alpha": [1e-3, pytest.approx(0.288)], "E": [0.1, None]}
    assert "bounds 0.001 to 0.288" in call_command(*line).stdout


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({"gamma": (0.0, 1.0)}, "'gamma': must be a free parameter, one of E, A, B, alpha, beta"),
        ({"alpha": (-1.0, 0.0)}, "no value is above 0.001 and below 0"),
    ],
)
def test_bounds_that_cannot_be_are_refused(bounds: dict[str, tuple[float, float]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        fit(DATA, options=FitOptions(bootstrap=100, bounds=bounds))

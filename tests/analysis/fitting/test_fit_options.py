"""Options of a fit: the flags derive from them, and values that are not allowed are refused when they are made."""

from __future__ import annotations

import argparse
from typing import Any

import pytest

from analysis.errors import DataError
from analysis.fitting.options import FitOptions
from scaling.config.options import add_options, format_options, read_options


def test_flags_give_the_options_back() -> None:
    options = FitOptions(
        objective="mse", delta=0.01, undertuned=0.2, bootstrap=200, level=0.9, resampling="cases", fix={"E": 1.69},
        tie={"beta": "alpha"}, extrapolation_ratio=3.0,
    )  # fmt: skip
    parser = argparse.ArgumentParser()
    add_options(parser, FitOptions)
    assert read_options(FitOptions, parser.parse_args(format_options(options))) == options
    assert read_options(FitOptions, parser.parse_args([])) == FitOptions() and format_options(FitOptions()) == []


def test_changed_names_what_is_not_the_default() -> None:
    assert FitOptions().changed() == ()
    assert set(FitOptions(weights="seeds", seed=1).changed()) == {"weights", "seed"}


@pytest.mark.parametrize(
    "values",
    [
        {"objective": "l2"}, {"weights": "size"}, {"resampling": "jackknife"}, {"intervals": "normal"},
        {"weighting": "none"}, {"minimum": "cubic"}, {"delta": 0.0}, {"undertuned": 0.7}, {"bootstrap": 99},
        {"level": 1.0}, {"seed": -1}, {"extrapolation_ratio": 0.5},
    ],
)  # fmt: skip
def test_a_value_that_is_not_allowed_is_refused_by_name(values: dict[str, Any]) -> None:
    (name,) = values
    with pytest.raises(DataError, match=f"{name.replace('_', '-')} .*: must be "):
        FitOptions(**values)

"""What the field published of the Chinchilla form, by its own procedure and ours."""

from __future__ import annotations

import pytest

from analysis.data.load import load
from analysis.fitting.fit import fit
from analysis.fitting.options import FitOptions
from analysis.studies.published.procedures import chinchilla_240
from tests.support.commands import PUBLISHED
from tests.support.fits import needs_published


@needs_published
def test_besiroglu_huber() -> None:
    fitted = fit(chinchilla_240(PUBLISHED), options=FitOptions(bootstrap=400))
    expected = {"E": 1.817218, "A": 477.8259, "B": 2143.417, "alpha": 0.3473105, "beta": 0.3671724}
    for name, value in expected.items():
        assert fitted.params[name] == pytest.approx(value, rel=3e-7)
    assert fitted.objective["value"] <= 1.018274018e-3 * (1 + 1e-9)
    assert fitted.starts == {"tried": 36, "agreed": 36, "cells": 1296}
    assert fitted.samples["E"].std() == pytest.approx(0.026, rel=0.2)  # as published: 400 to 4,000 case bootstraps
    assert fitted.samples["alpha"].std() == pytest.approx(0.0155, rel=0.2)


@needs_published
def test_besiroglu_least_absolute_deviations() -> None:
    fitted = fit(chinchilla_240(PUBLISHED), options=FitOptions(objective="lad", bootstrap=100))
    expected = {"E": 1.816864, "A": 482.0057, "B": 2085.434, "alpha": 0.347813, "beta": 0.365854}
    for name, value in expected.items():
        assert fitted.params[name] == pytest.approx(value, rel=2e-6)


@needs_published
def test_least_squares_below_1e21() -> None:
    data = chinchilla_240(PUBLISHED)
    fitted = fit(data.select(data.C < 1e21), options=FitOptions(objective="mse", bootstrap=100))
    assert len(fitted.points) == 217
    assert fitted.params["alpha"] == pytest.approx(0.351058, rel=3e-6)
    assert fitted.params["beta"] == pytest.approx(0.458742, rel=3e-6)
    assert fitted.objective["value"] == pytest.approx(0.06241429, rel=1e-6)


@needs_published
def test_llama3_isoflops() -> None:
    data = load(PUBLISHED / "llama3_isoflop" / "isoflop_digitised.csv")
    equal = fit(data, "chinchilla-2", FitOptions(weighting="equal", bootstrap=100))  # the authors' procedure
    assert equal.params["b"] == pytest.approx(0.536779, abs=1e-6)
    assert equal.params["G_D"] == pytest.approx(0.29936, abs=1e-5)
    assert equal.optimum is not None and equal.optimum.at(3.8e25)["D"] == pytest.approx(16.102e12, rel=1e-4)
    # Ours weighs each minimum by its error: the parabola at 3e21 is nearly flat over its six points.
    default_fit = fit(data, "chinchilla-2")
    assert default_fit.intervals["b"][0] < 0.536779 < default_fit.intervals["b"][1]
    surface = fit(data, options=FitOptions(objective="mse", bootstrap=100))
    for name, value in {"E": 0.604670, "A": 59.141, "B": 155.114, "alpha": 0.310006, "beta": 0.313643}.items():
        assert surface.params[name] == pytest.approx(value, rel=1e-5)

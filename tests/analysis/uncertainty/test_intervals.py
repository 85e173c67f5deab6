"""Intervals of samples some of which are infinite or missing."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.uncertainty.intervals import corrected_interval, percentile_band, percentile_interval

SAMPLES = np.array([1.0, 2.0, 3.0, np.inf, np.inf, np.inf, np.nan])


def test_an_end_among_infinite_samples_is_infinite() -> None:
    assert percentile_interval(SAMPLES, 0.9) == (pytest.approx(1.25), np.inf)
    assert corrected_interval(np.r_[2.0, SAMPLES], 0.9) == (pytest.approx(1.25), np.inf)
    low, high = percentile_band(np.stack([SAMPLES, -SAMPLES], axis=1), 0.9)
    np.testing.assert_allclose(low, [1.25, -np.inf])
    np.testing.assert_allclose(high, [np.inf, -1.25])


def test_an_interval_of_no_samples_is_missing() -> None:
    assert np.isnan(percentile_interval(np.full(3, np.nan), 0.9)).all()

"""A law that can be checked against the truth: on text whose entropy rate is known, the fitted E must find it."""

from pathlib import Path

import pytest

from analysis.data.load import load
from analysis.fitting.fit import fit
from analysis.fitting.options import FitOptions
from scaling.store.record import Store
from tests.support.commands import command


@pytest.mark.long
def test_the_fitted_e_covers_the_entropy_rate(tmp_path: Path) -> None:
    done = command("sweeps", "launch", "markov", "--store", tmp_path, timeout=1500)
    assert done.returncode == 0, done.stderr
    [rate] = {record.about["corpus_facts"]["entropy_rate"] for record in Store(tmp_path).records()}
    points = load(tmp_path)
    for resampling in ("auto", "residuals"):
        law = fit(points, "chinchilla", FitOptions(resampling=resampling))
        low, high = law.intervals["E"]
        assert low <= rate <= high, f"E = {law.params['E']:.4f}, interval {low:.4f} to {high:.4f}, true {rate:.4f}"
    # "auto" resamples the five sizes, because runs share prefixes: a wide interval.
    assert high - low < 0.1, "an interval that says nothing covers everything"
    assert points.L.min() > rate, "and no run has it for the asking: the law extrapolates"

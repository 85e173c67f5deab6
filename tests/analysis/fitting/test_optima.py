"""Every law that has an optimum: it lies where the law is least at a budget, and its loss is the law's there."""

from __future__ import annotations

import numpy as np
import pytest

from analysis import laws
from analysis.fitting.fit import fit
from analysis.fitting.options import FitOptions

TRUTHS = {
    "chinchilla": {"E": 1.7, "A": 400.0, "B": 410.0, "alpha": 0.34, "beta": 0.28},
    "over-training": {"E": 1.5, "a": 140.0, "b": 190.0, "eta": 0.12},
    "kaplan-nd": {"Nc": 6.4e13, "Dc": 1.8e13, "alphaN": 0.076, "alphaD": 0.103},
}


def test_the_truths_here_are_of_all_laws_with_an_optimum() -> None:
    assert set(TRUTHS) == {name for name, law in laws.LAWS.items() if law.optimum is not None}


@pytest.mark.parametrize("name", TRUTHS)
def test_the_optimum_lies_where_the_law_is_least(name: str) -> None:
    N, D = (x.ravel() for x in np.meshgrid(np.geomspace(1e7, 1e9, 5), np.geomspace(1e8, 1e11, 5)))
    form = laws.LAWS[name]

    def inputs(N: np.ndarray, D: np.ndarray) -> dict[str, np.ndarray]:
        known = {"N": N, "D": D, "C": 6 * N * D, "M": D / N}
        return {letter: known[letter] for letter in form.inputs}

    L = form.function(*inputs(N, D).values(), **TRUTHS[name])
    fitted = fit({"N": N, "D": D, "L": L}, name, FitOptions(bootstrap=100))
    assert fitted.optimum is not None
    at = fitted.optimum.at(1e21)
    line = at["N"] * np.exp(np.linspace(-2, 2, 4001))
    along = fitted.predict(**inputs(line, 1e21 / 6 / line))
    assert abs(np.log(line[along.argmin()] / at["N"])) < 2e-3
    assert at["L"] == pytest.approx(along.min(), rel=1e-7)

"""What is left out of N and C looks like another exponent: Pearce 2024, and one set of runs counted in each way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import laws
from analysis.errors import DataError
from analysis.fitting.fit import fit
from analysis.fitting.options import FitOptions
from analysis.laws import Law
from analysis.laws.loss import chinchilla
from analysis.planning.compute_optimal import optimal_training
from analysis.studies.conventions import compare_conventions
from analysis.studies.options import ConventionsOptions
from tests.support.commands import call_command
from tests.support.fits import BESIROGLU, HOFFMANN, PEARCE, surface_points
from tests.support.known_store import build

OMEGA = 47491.0  # Pearce 2024, equation 12: N = N_ne + ω·N_ne^(1/3)


def without_embeddings(N: np.ndarray, D: np.ndarray, **p: float) -> np.ndarray:
    return chinchilla.chinchilla(N + OMEGA * N ** (1 / 3), D, **p)


def pearce(N: np.ndarray, alpha: float, beta: float) -> np.ndarray:
    """∂ ln N*/∂ ln C, both without embeddings, where the law holds of total parameters (Pearce 2024, equation 17)."""
    x = N ** (2 / 3)
    return 1 / (1 - (x + OMEGA / 9) / (x + OMEGA / 3) / beta + (alpha + 1) / beta * (x + OMEGA / 3) / (x + OMEGA))


@pytest.mark.parametrize(("params", "stated"), [(BESIROGLU, 0.78), (PEARCE, 0.74)])
def test_leaving_embeddings_out_gives_kaplans_exponent_at_his_scale(params: dict[str, float], stated: float) -> None:
    """Pearce 2024, section 3.3: 20 sizes from 768 to 1.5e9 without embeddings appear to follow C^0.78 (0.74)."""
    N, D = (x.ravel() for x in np.meshgrid(np.geomspace(10**2.9, 10**9.2, 20), np.geomspace(1e8, 1e13, 6)))

    def hidden(N: np.ndarray, D: np.ndarray, *, E: float, A: float, B: float, alpha: float, beta: float) -> np.ndarray:
        return without_embeddings(N, D, E=E, A=A, B=B, alpha=alpha, beta=beta)

    law = Law(hidden, "Pearce 2024", {"alpha": (0.2, 0.5), "beta": (0.2, 0.5)}, linear=("E", "A", "B"),
              bounds={"alpha": (1e-3, 5.0), "beta": (1e-3, 5.0)}, constants=("E",))  # fmt: skip
    fitted = fit({"N": N, "D": D, "L": without_embeddings(N, D, **params)}, law, FitOptions(bootstrap=100))
    assert fitted.params["alpha"] == pytest.approx(params["alpha"], rel=1e-6)
    C = np.geomspace(10**12.95, 10**20.7, 12)
    path = optimal_training(fitted, C)
    np.testing.assert_allclose(path.exponent.value, pearce(path.N.value, params["alpha"], params["beta"]), rtol=2e-2)
    apparent = np.polyfit(np.log(C), np.log(path.N.value), 1)[0]
    assert apparent == pytest.approx(stated, abs=0.02)
    assert apparent > params["beta"] / (params["alpha"] + params["beta"]) + 0.2


def small_scale() -> pd.DataFrame:
    """IsoFLOP runs of 6·N·D with all parameters, from Chinchilla's law, embeddings most of the small models."""
    a, _, ln_g = laws.chinchilla_optimum(BESIROGLU, 6.0)
    C = np.repeat(np.geomspace(1e16, 1e19, 6), 7)
    N = np.exp(ln_g) * (C / 6) ** a * np.tile(np.exp(np.linspace(-1, 1, 7)), 6)
    ne = np.array([np.interp(n, x + OMEGA * x ** (1 / 3), x) for x in [np.geomspace(1, 1e11, 100_000)] for n in N])
    L = chinchilla.chinchilla(N, C / 6 / N, **BESIROGLU)
    return pd.DataFrame({"params": N, "params_nonembedding": ne, "tokens": C / 6 / N, "budget": C, "loss": L})


def test_one_set_of_runs_gives_both_exponents() -> None:
    result = {
        (counting.N, counting.C): counting
        for counting in compare_conventions(small_scale(), fit_options=FitOptions(bootstrap=100))
    }
    assert set(result) == {(n, c) for n in ("total", "nonembedding") for c in ("6nd", "6nd-nonembedding")}
    truth = BESIROGLU["beta"] / (BESIROGLU["alpha"] + BESIROGLU["beta"])
    for law in ("a chinchilla", "a chinchilla-2"):
        assert result["total", "6nd"].exponents[law].value == pytest.approx(truth, abs=0.01)
        assert result["nonembedding", "6nd-nonembedding"].exponents[law].value > 0.62
    ratio = result["total", "6nd"].exponents
    assert ratio["a kaplan"].value == pytest.approx(ratio["alpha_C"].value / ratio["alpha_N"].value)
    assert result["total", "6nd"].s == pytest.approx(1) and result["nonembedding", "6nd"].s < 0.9


@pytest.mark.parametrize("s", [0.8, 1.25])
def test_approach_three_knows_that_compute_may_grow_otherwise_than_n(s: float) -> None:
    """Where C = c0·N^s·D, the least loss at each C, searched for, grows with the exponent that is told."""
    grid = surface_points()
    C = 6 * grid["N"] ** s * grid["D"] * 1e9 ** (1 - s)
    table = pd.DataFrame({**grid, "C": C})
    result = {
        (counting.N, counting.C): counting
        for counting in compare_conventions(table, ConventionsOptions(laws=("chinchilla",)), FitOptions(bootstrap=100))
    }
    a = result["total", "as given"].exponents["a chinchilla"]
    N = np.geomspace(1e6, 1e13, 20001)
    best = [N[chinchilla.chinchilla(N, c / (6 * N**s * 1e9 ** (1 - s)), **HOFFMANN).argmin()] for c in (1e21, 1e25)]
    assert a.value == pytest.approx(np.log(best[1] / best[0]) / np.log(1e4), abs=1e-3)
    assert np.exp(a.scale + a.value * np.log(1e21)) == pytest.approx(best[0], rel=2e-3)


def test_a_store_is_counted_eight_ways(tmp_path: Path) -> None:
    store = build(tmp_path / "store", rows=20).root
    result = compare_conventions(store, fit_options=FitOptions(bootstrap=100))
    assert len(result) == 8 and len({entry.name for entry in result}) == 8
    plain = fit(store, "chinchilla", FitOptions(bootstrap=100))
    assert plain.optimum is not None
    assert result[0].exponents["a chinchilla"].value == pytest.approx(plain.optimum.a, rel=1e-9)


def test_countings_that_cannot_be_compared_are_refused_in_one_line() -> None:
    with pytest.raises(DataError, match="must be one of chinchilla-2, chinchilla"):
        ConventionsOptions(laws=("kaplan-n",))
    x = np.geomspace(1e18, 1e24, 12)
    with pytest.raises(DataError, match="compared on N, D and C"):
        compare_conventions({"C": x, "L": 1.7 + 1e3 * x**-0.15})


def test_conventions_show_a_table_and_why(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    small_scale().to_csv(path, index=False)
    ran = call_command("analysis", "conventions", path, "--bootstrap", "100")
    assert ran.returncode == 0, ran.stderr
    assert "N counts" in ran.stdout and "Pearce 2024" in ran.stdout and "under 4 conventions" in ran.stdout
    ran = call_command("analysis", "conventions", path, "--flops", "6nd")
    assert ran.returncode == 2 and "unrecognized arguments: --flops" in ran.stderr

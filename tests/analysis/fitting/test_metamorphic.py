"""What must not change a fit: the order of rows, units, names of columns, the format of the file, halved duplicates.

Predictions are a function of the points that are fitted, so units, names and formats are compared by the points, for
every law; order and duplicates by predictions, for a few laws here and for all in the long tests.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis import laws
from analysis.__main__ import main
from analysis.data.columns.names import COLUMN_NAMES, LAW_COLUMN_NAMES
from analysis.data.load import load
from analysis.data.options import ReadOptions
from analysis.data.points import Points
from analysis.data.runs import read_runs
from analysis.figures.save import save_figure
from analysis.fitting.fit import fit
from analysis.fitting.options import FitOptions
from tests.support import known_store
from tests.support.fits import isoflop_sweep
from tests.support.laws.law_tables import TRUTHS, law_table, predictions

FAST = ("kaplan-c", "m2", "optimal-n", "kaplan-nd", "routing", "reward-bon")
UNITS = {  # unit of a column and how many of ours it is
    "N": ("millions", 1e6), "D": ("billions", 1e9), "U": ("B", 1e9), "C": ("pfdays", 8.64e19), "S": ("1e3", 1e3),
    "x": ("1e6", 1e6), "n": ("thousands", 1e3), "B": ("M", 1e6), "DF": ("1e6", 1e6), "DT": ("millions", 1e6),
    "Nopt": ("billions", 1e9), "Dopt": ("trillions", 1e12), "L": ("bits", float(np.log(2))),
}  # fmt: skip


def letters(name: str) -> list[str]:
    return [*laws.LAWS[name].inputs, laws.LAWS[name].output]


def same_points(first: Points, second: Points, name: str) -> bool:
    """Whether a law is fitted to the same numbers, to rounding."""
    return all(np.allclose(first[k], second[k], rtol=1e-12, atol=0) for k in letters(name)) and (
        (first.weights is None) == (second.weights is None)
    )


def in_other_units(frame: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, str]]:
    known = {letter: UNITS[letter] for letter in frame if letter in UNITS}
    return frame.assign(**{k: frame[k] / factor for k, (_, factor) in known.items()}), {
        letter: unit for letter, (unit, _) in known.items()
    }


NAMED = ("kaplan-nd", "multi-power")


def each_law(fast: tuple[str, ...]) -> list[Any]:
    """Every law as a parameter of a test; those that are not named here run with the long tests."""
    return [pytest.param(name, marks=() if name in fast else pytest.mark.long) for name in TRUTHS]


def usual_names(name: str, letter: str) -> list[str]:
    law = laws.LAWS[name]
    return (law.columns.get(letter) or COLUMN_NAMES.get(letter) or LAW_COLUMN_NAMES.get(letter, letter)).split()


@pytest.mark.parametrize("name", each_law(NAMED))
def test_usual_names_of_columns_leave_the_points_unchanged(name: str) -> None:
    """Every usual name of one column at a time, the others by letter."""
    frame, law = law_table(name).head(4), laws.LAWS[name]
    expected = load(frame, law)
    for letter in letters(name):
        names = usual_names(name, letter)
        for synonym in dict.fromkeys((*names, names[-1].upper(), names[-1].replace("_", " ").title())):
            if synonym not in frame or synonym == letter:
                assert same_points(expected, load(frame.rename(columns={letter: synonym}), law), name), (
                    letter,
                    synonym,
                )


WRITERS: dict[str, Callable[[pd.DataFrame, Path], Any]] = {
    "a.csv": lambda frame, path: frame.to_csv(path, index=False),
    "a.csv.gz": lambda frame, path: frame.to_csv(path, index=False),
    "b.csv": lambda frame, path: frame.to_csv(path, sep=";", decimal=","),
    "a.tsv": lambda frame, path: frame.to_csv(path, index=False, sep="\t"),
    "a.parquet": lambda frame, path: frame.to_parquet(path),
    "a.jsonl": lambda frame, path: path.write_text("\n".join(map(json.dumps, frame.to_dict("records")))),
    "a.json": lambda frame, path: path.write_text(json.dumps(frame.to_dict("records"))),
    "b.json": lambda frame, path: path.write_text(json.dumps(frame.to_dict("list"))),
    "c.json": lambda frame, path: path.write_text(json.dumps(frame.set_axis(frame.index.map(str)).to_dict("index"))),
}


@pytest.mark.parametrize("name", each_law(NAMED))
def test_units_and_formats_leave_the_points_unchanged(tmp_path: Path, name: str) -> None:
    frame, law = law_table(name).reset_index(drop=True), laws.LAWS[name]
    expected = load(frame, law)
    scaled, units = in_other_units(frame)
    assert same_points(expected, load(scaled, law, ReadOptions(units=units)), name)
    for file, write in WRITERS.items():
        write(frame, tmp_path / file)
        assert same_points(expected, load(tmp_path / file, law), name), file


def check_order_and_duplicates(name: str) -> None:
    frame = law_table(name)
    weights = np.random.default_rng(1).uniform(0.5, 2, len(frame))
    if "curve" not in frame:
        frame = frame.assign(weight=weights)
    expected = predictions(frame, name)
    assert np.allclose(predictions(frame.sample(frac=1, random_state=2), name), expected, rtol=1e-8, atol=0)
    scaled, units = in_other_units(frame)
    assert np.allclose(predictions(scaled, name, ReadOptions(units=units)), expected, rtol=1e-8, atol=0)
    if "curve" in frame:
        return
    twice = pd.concat([frame, frame]).assign(weight=np.tile(weights / 2, 2))
    for reading in (ReadOptions(), ReadOptions(replicates="all")):
        assert np.allclose(predictions(twice, name, reading), expected, rtol=1e-8, atol=0)


@pytest.mark.parametrize("name", each_law(FAST))
def test_order_units_and_halved_duplicates_leave_predictions_unchanged(name: str) -> None:
    check_order_and_duplicates(name)


@pytest.mark.parametrize("law", ["chinchilla-2", pytest.param("chinchilla-1", marks=pytest.mark.long)])
def test_order_units_and_duplicates_leave_the_optima_of_approaches_unchanged(law: str) -> None:
    points = isoflop_sweep(noise=1e-3)
    frame = pd.DataFrame({"N": points.N, "D": points.D, "C": points.C, "L": points.L, "budget": points.budgets})
    options, expected = FitOptions(bootstrap=100), {}
    scaled, units = in_other_units(frame)
    scaled["budget"] = scaled["budget"] / UNITS["C"][1]
    for source, reading in (
        (frame, ReadOptions()),
        (frame.sample(frac=1, random_state=2), ReadOptions()),
        (scaled, ReadOptions(units=units)),
        (pd.concat([frame, frame]).assign(weight=0.5), ReadOptions(replicates="all")),
    ):
        params = fit(source, law, options, reading).params
        expected = expected or params
        assert params == pytest.approx(expected, rel=1e-8)


@pytest.mark.long
def test_order_and_units_leave_a_two_step_fit_unchanged() -> None:
    surface = law_table("chinchilla")
    accuracy = 1 - 0.75 / (1 + np.exp(-4 * (surface["L"] - 2.6)))
    frame = surface.assign(Acc=accuracy * np.exp(1e-3 * np.random.default_rng(1).normal(size=len(surface))))
    scaled, units = in_other_units(frame)
    options = FitOptions(bootstrap=100)
    expected = fit(frame, "two-step", options).predict(N=frame["N"], D=frame["D"])
    for source, reading in (
        (frame.sample(frac=1, random_state=2), ReadOptions()),
        (scaled, ReadOptions(units={letter: units[letter] for letter in "ND"} | {"L": units["L"]})),
    ):
        changed = fit(source, "two-step", options, reading).predict(N=frame["N"], D=frame["D"])
        assert np.allclose(changed, expected, rtol=1e-8, atol=0)


def test_exports_of_a_store_hold_its_points(tmp_path: Path) -> None:
    store = known_store.build(tmp_path / "S", rows=8).root
    runs = read_runs(store)
    runs.to_parquet(tmp_path / "runs.parquet")
    runs.to_json(tmp_path / "runs.jsonl", orient="records", lines=True, double_precision=15)
    assert main(["table", str(store), "--csv", str(tmp_path / "runs.csv")]) == 0
    expected = load(store, laws.LAWS["chinchilla"])
    for file in ("runs.csv", "runs.parquet", "runs.jsonl"):
        points = load(tmp_path / file, laws.LAWS["chinchilla"])
        assert points.names == expected.names and same_points(points, expected, "chinchilla"), file
        assert points.budgets is not None and np.array_equal(points.budgets, expected.budgets), file


def test_the_json_of_a_fit_and_the_data_of_its_figure_hold_its_predictions(tmp_path: Path) -> None:
    frame = law_table("chinchilla")
    frame.to_csv(tmp_path / "runs.csv", index=False)
    options = FitOptions(bootstrap=100)
    fitted = fit(tmp_path / "runs.csv", "chinchilla", options)
    expected = fitted.predict(N=frame["N"], D=frame["D"])
    params = json.loads(json.dumps(fitted.to_json()))["params"]
    parameters = {name: params[name] for name in laws.LAWS["chinchilla"].parameters}
    written = laws.LAWS["chinchilla"].function(frame["N"].to_numpy(), frame["D"].to_numpy(), **parameters)
    assert np.allclose(written, expected, rtol=1e-12, atol=0)
    save_figure(tmp_path / "runs.csv", "parity", tmp_path / "parity.svg", options=options)
    data = pd.read_csv(tmp_path / "parity.data.csv")
    runs = data[data["series"].str.startswith("runs") & (data["panel"] == "a")].sort_values("x")
    measured = frame["L"].sort_values()
    assert np.allclose(runs["x"], measured, rtol=1e-12) and np.allclose(runs["y"], expected[measured.index], rtol=1e-8)

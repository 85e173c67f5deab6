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
from analysis.data.columns.names import COLUMN_NAMES, LAW_COLUMN_NAMES
from analysis.data.load import load
from analysis.data.options import ReadOptions
from analysis.data.points import Points
from analysis.fitting.fit import fit
from analysis.fitting.options import FitOptions
from tests.support.law_tables import TRUTHS, law_table, predictions

FAST = ("chinchilla", "kaplan-c", "error", "m2", "optimal-n", "kaplan-nd", "routing", "reward-bon")
SLOW = tuple(name for name in TRUTHS if name not in FAST)
UNITS = {  # unit of a column and how many of ours it is
    "N": ("millions", 1e6), "D": ("billions", 1e9), "U": ("B", 1e9), "C": ("pfdays", 8.64e19), "S": ("1e3", 1e3),
    "x": ("1e6", 1e6), "n": ("thousands", 1e3), "B": ("M", 1e6), "DF": ("1e6", 1e6), "DT": ("millions", 1e6),
    "Nopt": ("billions", 1e9), "Dopt": ("trillions", 1e12), "L": ("bits", float(np.log(2))),
}  # fmt: skip
NAMED_BY_LETTER = ("k", "d", "E", "G", "Err", "Acc", "R", "M", "lr", "step", "curve")


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


@pytest.mark.parametrize("name", TRUTHS)
def test_units_of_columns_leave_the_points_unchanged(name: str) -> None:
    frame = law_table(name)
    scaled, units = in_other_units(frame)
    law = laws.LAWS[name]
    assert same_points(load(frame, law), load(scaled, law, ReadOptions(units=units)), name)


def usual_names(name: str, letter: str) -> list[str]:
    law = laws.LAWS[name]
    return (law.columns.get(letter) or COLUMN_NAMES.get(letter) or LAW_COLUMN_NAMES.get(letter, letter)).split()


@pytest.mark.parametrize("name", TRUTHS)
def test_usual_names_of_columns_leave_the_points_unchanged(name: str) -> None:
    """Every usual name of one column at a time, the others by letter."""
    frame, law = law_table(name), laws.LAWS[name]
    expected = load(frame, law)
    for letter in letters(name):
        for synonym in usual_names(name, letter):
            for spelling in dict.fromkeys((synonym, synonym.upper() if len(synonym) > 2 else synonym)):
                renamed = frame.rename(columns={letter: spelling})
                if spelling in frame and spelling != letter:
                    continue
                assert same_points(expected, load(renamed, law), name), (letter, spelling)


WRITERS: dict[str, Callable[[pd.DataFrame, Path], Any]] = {
    "a.csv": lambda frame, path: frame.to_csv(path, index=False),
    "a.csv.gz": lambda frame, path: frame.to_csv(path, index=False),
    "b.csv": lambda frame, path: frame.to_csv(path, sep=";", decimal=","),
    "a.tsv": lambda frame, path: frame.to_csv(path, index=False, sep="\t"),
    "a.parquet": lambda frame, path: frame.to_parquet(path),
    "a.jsonl": lambda frame, path: path.write_text("\n".join(map(json.dumps, frame.to_dict("records")))),
    "a.json": lambda frame, path: path.write_text(json.dumps(frame.to_dict("records"))),
    "b.json": lambda frame, path: path.write_text(json.dumps(frame.to_dict("list"))),
    "c.json": lambda frame, path: path.write_text(json.dumps({str(i): row for i, row in frame.iterrows()}, default=dict)),
}  # fmt: skip


@pytest.mark.parametrize("file", WRITERS)
def test_each_format_holds_the_points_of_every_law(tmp_path: Path, file: str) -> None:
    for name in TRUTHS:
        frame = law_table(name).reset_index(drop=True)
        WRITERS[file](frame, tmp_path / file)
        law = laws.LAWS[name]
        assert same_points(load(frame, law), load(tmp_path / file, law), name), name


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


@pytest.mark.parametrize("name", FAST)
def test_order_units_and_halved_duplicates_leave_predictions_unchanged(name: str) -> None:
    check_order_and_duplicates(name)


@pytest.mark.long
@pytest.mark.parametrize("name", SLOW)
def test_order_units_and_halved_duplicates_leave_predictions_of_every_law_unchanged(name: str) -> None:
    check_order_and_duplicates(name)


def test_the_json_of_a_fit_holds_its_predictions(tmp_path: Path) -> None:
    frame = law_table("chinchilla")
    fitted = fit(frame, "chinchilla", FitOptions(bootstrap=100))
    params = json.loads(json.dumps(fitted.to_json()))["params"]
    written = laws.LAWS["chinchilla"].function(
        frame["N"].to_numpy(), frame["D"].to_numpy(), **{k: params[k] for k in ("E", "A", "B", "alpha", "beta")}
    )
    assert np.allclose(written, fitted.predict(N=frame["N"], D=frame["D"]), rtol=1e-12)

"""Sources: whatever the table on the desk, its points or one line that says why not."""

from __future__ import annotations

import gzip
import json
import math
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import laws
from analysis.data.load import load
from analysis.data.options import ReadOptions
from analysis.data.points import Points
from tests.support.tables import refusal, write_table

PARAMS, TOKENS, LOSSES = [1e8, 2e8, 4e8], [1e9, 3e9, 9e9], [3.5, 3.1, 2.8]


def same(points: Points) -> bool:
    """Whether these are the three runs that every format below holds."""
    return all(np.allclose(points[k], v, rtol=1e-12) for k, v in zip("NDL", (PARAMS, TOKENS, LOSSES), strict=True))


ROWS = list(zip(PARAMS, TOKENS, LOSSES, strict=True))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "Params (M),tokens_B,Val Loss\n" + "".join(f"{n / 1e6},{d / 1e9},{x}\n" for n, d, x in ROWS)),
        ("a.csv", "model.nParams,Tokens,val/loss\n" + "".join(f"{n / 1e6:g}M,{d / 1e9:g}B,{x}\n" for n, d, x in ROWS)),
        ("a.csv", "\ufeffN,D,L\r\n" + "".join(f'"{n:,.0f}",{d:.0f} tokens,{x}\r\n' for n, d, x in ROWS)),
        ("a.csv", "N;D;L\n" + "".join(f"{n:g};{d:g};{x}\n".replace(".", ",") for n, d, x in ROWS)),
        ("a.csv", "# by hand\n\nN,D,L\n" + "\n".join(f"{n},{d},{x}" for n, d, x in ROWS)),
        ("a.txt", "N D L\n" + "\n".join(f"{n}   {d}  {x}" for n, d, x in ROWS)),
        ("a.tsv", "N\tD\tperplexity\n" + "\n".join(f"{n}\t{d}\t{math.exp(x)!r}" for n, d, x in ROWS)),
        ("a.csv", "N,D,loss (bits)\n" + "\n".join(f"{n},{d},{x / math.log(2)!r}" for n, d, x in ROWS)),
        ("a.json", json.dumps({"columns": ["N", "D", "L"], "data": ROWS})),
        ("a.json", json.dumps({"N": PARAMS, "D": TOKENS, "L": LOSSES})),
    ],
)
def test_one_table_is_read_alike_however_it_is_written(tmp_path: Path, name: str, text: str) -> None:
    path = write_table(tmp_path, text, name)
    assert same(load(path))
    packed = tmp_path / f"{name}.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert same(load(packed))


def test_what_is_read_into_cells_and_names_is_said(tmp_path: Path) -> None:
    text = " ".join(load(write_table(tmp_path, "Params (M),tokens,loss\n100,1B,3\n200,2.5B,2.9\n")).notes)
    assert "N converted from millions" in text and "'1B' are read as 1e+09" in text
    assert "commas are read as decimal points" in " ".join(
        load(write_table(tmp_path, "N;D;L\n9;9;3,5\n8;9;3,6\n")).notes
    )


def test_a_unit_in_a_name_is_not_believed_of_sizes_that_no_run_has(tmp_path: Path) -> None:
    points = load(write_table(tmp_path, "Params (B),tokens,loss\n100000000,1e9,3\n200000000,2e9,2.9\n"))
    assert points.N.tolist() == [1e8, 2e8] and any("the unit billions in the name" in note for note in points.notes)


RUNS_TABLE = """Name,State,Created,Runtime,Sweep,config.model.n_params,tokens_seen,summary.val/loss,train/loss
calm-sea-1,finished,2024-01-01T00:00:00.000Z,3600,,100000000,1000000000,3.5,3.4
wild-hill-2,crashed,2024-01-01T00:00:00.000Z,12,,100000000,2000000,9.1,9
red-sun-3,finished,2024-01-01T00:00:00.000Z,7200,,200000000,3000000000,3.1,3
old-cat-4,running,2024-01-01T00:00:00.000Z,100,,400000000,,,
new-dog-5,finished,2024-01-01T00:00:00.000Z,9000,,400000000,9000000000,2.8,2.7
"""


def test_a_trackers_runs_table_gives_the_runs_that_finished(tmp_path: Path) -> None:
    points = load(write_table(tmp_path, RUNS_TABLE))
    assert same(points) and points.names == ["calm-sea-1", "red-sun-3", "new-dog-5"] and points.groups is None
    assert any("2 runs left out" in note and "1 crashed" in note and "1 running" in note for note in points.notes)
    assert "L taken from column summary.val/loss (not train/loss)" in points.notes


def test_nested_objects_are_unfolded_in_lines_and_in_cells(tmp_path: Path) -> None:
    runs = [
        {"name": f"run {i}", "state": "finished", "config": {"n_params": {"value": n, "desc": None}, "lr": 0.1},
         "summary": {"tokens": d, "val/loss": x, "_wandb": {"runtime": 7}}}
        for i, (n, d, x) in enumerate(ROWS)
    ]  # fmt: skip
    assert same(load(write_table(tmp_path, "".join(json.dumps(run) + "\n" for run in runs), "a.jsonl")))
    assert same(load(write_table(tmp_path, json.dumps({"runs": runs}), "a.json")))
    runs[0]["summary"]["accuracy"] = math.nan
    frame = pd.DataFrame([{**run, "config": str(run["config"]), "summary": str(run["summary"])} for run in runs])
    frame.to_csv(tmp_path / "project.csv")
    assert same(load(tmp_path / "project.csv"))


PLOT = """"Step","calm - val_loss","calm - val_loss__MIN","calm - val_loss__MAX","red - val_loss","red - _step"
"10","5.0","5.0","5.0","4.9","10"
"20","4.0","4.0","4.0","",""
"40","3.5","3.5","3.5","3.1","40"
"""


def test_a_line_plot_has_curves_and_no_sizes(tmp_path: Path) -> None:
    path = write_table(tmp_path, PLOT)
    assert "no column for N, D or C" in refusal(path) and "no column for N, D" in refusal(
        path, law=laws.find("chinchilla")
    )
    steps = laws.Law(lambda S, *, E: E + 0 * S, "", {"E": (1.0,)})
    points = load(path, law=steps)
    assert points["S"].tolist() == [10, 20, 40, 10, 40] and points.L.tolist() == [5, 4, 3.5, 4.9, 3.1]


@pytest.mark.parametrize(
    ("units", "cells", "expected"),
    [
        ({"N": "millions", "D": "B"}, (70, 1.4, 3), (7e7, 1.4e9, 3)),
        ({"N": "1e6"}, (70, 5, 3), (7e7, 5, 3)),
        ({"L": "bits"}, (1e6, 1e7, 3), (1e6, 1e7, 3 * math.log(2))),
        ({"L": "perplexity"}, (1e6, 1e7, 20), (1e6, 1e7, math.log(20))),
        ({"L": "dits"}, (1e6, 1e7, 1.5), (1e6, 1e7, 1.5 * math.log(10))),
    ],
)
def test_units_are_turned_into_ours(
    units: dict[str, str], cells: tuple[float, ...], expected: tuple[float, ...]
) -> None:
    points = load(dict(zip("NDL", ([x, x] for x in cells), strict=True)), options=ReadOptions(units=units))
    assert [points[k][0] for k in "NDL"] == pytest.approx(expected, rel=1e-12)


def test_flops_have_units_too_and_a_budget_has_those_of_c() -> None:
    points = load(
        {"N": [1e9, 2e9], "C": [1.0, 2.0], "budget": [1.0, 2.0], "L": [3.0, 2.9]},
        options=ReadOptions(units={"C": "pfdays"}),
    )
    assert points.C.tolist() == [8.64e19, 1.728e20] and points.budgets is not None
    assert points.budgets.tolist() == points.C.tolist()


@pytest.mark.parametrize(
    ("units", "message"),
    [({"N": "acres"}, "thousands, millions"), ({"L": "acres"}, "perplexity"), ({"Q": "1"}, "units Q")],
)
def test_an_unknown_unit_is_refused_with_those_there_are(units: dict[str, str], message: str) -> None:
    assert message in refusal({"N": [1.0], "D": [1.0], "L": [1.0]}, units=units)


@pytest.mark.parametrize(
    ("N", "L", "message"),
    [([0.07, 12.0], [3.0, 2.0], "use --units N=billions"), ([1e6, 1e7], [33.0, 21.0], "use --units L=perplexity")],
)
def test_sizes_that_look_like_another_unit_are_said(N: list[float], L: list[float], message: str) -> None:
    assert any(message in note for note in load({"N": N, "D": [1e9, 2e9], "L": L}).notes)


@pytest.mark.parametrize("cell", ["", "nan", "inf", "-1", "0", "n/a", "1,5", "1e400"])
def test_rows_with_bad_cells_are_left_out_by_name_where_asked(tmp_path: Path, cell: str) -> None:
    path = write_table(tmp_path, f'N,D,loss\n1e6,1e8,3\n1e6,2e8,"{cell}"\n1e7,2e8,2\n')
    assert "row 2 (line 3), column loss" in refusal(path) and "--drop-bad" in refusal(path)
    points = load(path, options=ReadOptions(drop_bad=True))
    assert points.L.tolist() == [3, 2]
    assert any("1 row left out: row 2 (line 3): loss = " in note for note in points.notes)


def test_rows_are_named_by_their_line_whatever_stands_between(tmp_path: Path) -> None:
    path = write_table(tmp_path, '# sweep\nN,D,note,L\n\n1e6,1e8,"two\nlines",3\n1e6,2e8,,x\n')
    assert "row 2 (line 6), column L: 'x'" in refusal(path)


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("", "a.csv", "is empty"),
        ("\n\n", "a.csv", "is empty"),
        ("N,D,L\n", "a.csv", "no rows"),
        ("N,D,loss,loss\n1,2,3,4\n", "a.csv", "two columns are called 'loss'"),
        ('N,D,L\n1,2,"3\n', "a.csv", "cannot be read"),
        ("N;D;L\n1.000;2;3,5\n", "a.csv", "'1.000'"),
        ("[1, 2", "a.json", "not JSON"),
        ("[1, 2]", "a.json", "list of objects"),
        ("3\n", "a.jsonl", "line 1: must be an object"),
        ("x", "a.xlsx", "must be .csv"),
        ("x", "a.csv.gz", "cannot be read"),
        ("x", "a.parquet", "cannot be read"),
    ],
)
def test_files_that_are_no_tables_are_refused_in_one_line(tmp_path: Path, text: str, name: str, message: str) -> None:
    assert message in refusal(write_table(tmp_path, text, name))


def test_text_that_is_not_utf8_says_which_byte(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("N,D,L,ñ\n1,2,3,4\n".encode("latin-1"))
    assert "byte 6 is not UTF-8" in refusal(path)
    path.write_bytes("N,D,L\n1e8,1e9,3.5\n2e8,3e9,3.1\n4e8,9e9,2.8\n".encode("utf-16"))
    assert same(load(path))


FRAME = pd.DataFrame({"N": PARAMS, "D": TOKENS, "L": LOSSES})


@pytest.mark.parametrize(
    "source",
    [
        FRAME.set_index(pd.Index([7, 7, -1])),
        FRAME.set_index(pd.date_range("2024", periods=3)),
        FRAME.astype({"N": "Int64", "D": "Float64"}),
        FRAME.astype({"N": int, "D": "category", "L": object}),
        FRAME.convert_dtypes(dtype_backend="pyarrow"),
        FRAME.to_dict("list"),
        FRAME.to_dict("records"),
        FRAME.to_records(),
        {"N": np.array(PARAMS), "D": tuple(TOKENS), "L": np.ma.masked_invalid(LOSSES)},
        {"N": [int(n) for n in PARAMS], "D": TOKENS, "L": pd.Series(LOSSES, index=[0, 1, 2])},
    ],
)
def test_arrays_and_frames_of_any_kind_are_points(source: object) -> None:
    assert same(load(source))


@pytest.mark.parametrize(
    "source",
    [
        {"N": [1.0, 2.0], "D": [1.0], "L": [1.0, 2.0]},
        {"N": 1.0, "D": 1.0, "L": 1.0},
        {"N": [[1.0], [2.0]], "D": [1.0, 2.0], "L": [1.0, 2.0]},
        {"N": np.ones((2, 2)), "D": [1.0, 2.0], "L": [1.0, 2.0]},
        {"N": [True, False], "D": [1.0, 2.0], "L": [1.0, 2.0]},
        {"N": [1.0, 2.0], "D": [1.0, 2.0], "L": [timedelta(1), timedelta(2)]},
        {"N": [1.0, 2.0], "D": [1.0, 2.0], "L": [1 + 2j, 2j]},
        {"N": [1.0, None], "D": [1.0, 2.0], "L": pd.array([1, None], "Int64")},
        {"N": [10**400, 1], "D": [1.0, 2.0], "L": [1.0, 2.0]},
        FRAME.rename(columns={"D": "N"}),
        {},
        [],
        [[1, 2], [3]],
        3,
        None,
    ],
)
def test_arrays_and_frames_that_are_none_are_refused(source: object) -> None:
    refusal(source)


def test_c_that_does_not_fit_the_other_rows_is_named() -> None:
    N, D = np.array([1e8, 2e8, 4e8, 8e8]), np.array([1e9, 3e9, 9e9, 9e9])
    text = load({"N": N, "D": D, "C": 6 * N * D * [1, 1, 1e-3, 1], "L": [3.5, 3.1, 2.8, 2.7]}).notes
    assert any("in most rows" in note and "row 3 (0.001)" in note for note in text)


def test_a_column_that_no_one_named_and_the_law_does_not_need_is_left_where_it_is_bad() -> None:
    table = {"N": PARAMS, "D": TOKENS, "C": ["?", "?", "?"], "L": LOSSES}
    points = load(table, law=laws.find("chinchilla"))
    assert any("C not used" in note for note in points.notes)
    assert np.allclose(points.C, 6 * points.N * points.D)
    assert "column C" in refusal(table, law=laws.find("chinchilla"), columns={"C": "C"})

"""Points: every guess is said, every bad cell named, and only runs that are done are counted."""

from __future__ import annotations

import dataclasses
import json
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.data.load import load
from analysis.data.options import ReadOptions
from analysis.data.points import Points
from analysis.errors import DataError
from scaling.config.run import run_id
from scaling.counting.counts import parameters, run_flops
from scaling.store.record import Store
from tests.support.commands import call_command, command, processor_seconds
from tests.support.records import add_record, config


@pytest.fixture
def store(tmp_path: Path) -> Store:
    new_store = Store(tmp_path / "store")
    for width, loss in ((32, 2.5), (64, 2.2), (128, 2.1)):
        add_record(new_store, config(width, 100, budget=1e12), loss=loss)
    add_record(new_store, config(256, 100), "running", None)
    add_record(new_store, config(512, 100), "diverged", 9.0)
    add_record(new_store, config(512, 200), "failed", None)
    return new_store


def csv(tmp_path: Path, text: str, name: str = "runs.csv") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_only_done_runs_count_and_the_others_are_counted_aloud(store: Store) -> None:
    points = load(store.root)
    assert sorted(points.L) == [2.1, 2.2, 2.5]
    assert any("3 runs left out" in n and "1 diverged" in n and "1 running" in n for n in points.notes)
    assert points.budgets is not None and set(points.budgets) == {1e12}


@pytest.mark.parametrize("params", ["total", "nonembedding"])
@pytest.mark.parametrize("flops", ["6nd", "6nd-nonembedding", "exact", "exact-full-attention"])
def test_counting_conventions_count_what_they_say(store: Store, params: str, flops: str) -> None:
    points = load(store.root, options=ReadOptions(flops=flops, params=params))
    at = points.names.index(run_id(config(64, 100, budget=1e12)))
    groups, parts = parameters(config(64, 1).model), run_flops(config(64, 100))
    bare = groups["total"] - groups["embedding"] - groups["head"]
    D = 8 * 128 * 100
    full = parts["attention_full_forward"] + parts["attention_full_backward"]
    causal = parts["attention_causal_forward"] + parts["attention_causal_backward"]
    expected = {
        "6nd": 6 * groups["total"] * D,
        "6nd-nonembedding": 6 * bare * D,
        "exact": parts["total"],
        "exact-full-attention": parts["total"] - causal + full,
    }
    assert points.N[at] == (groups["total"] if params == "total" else bare)
    assert points.C[at] == expected[flops]


def test_shared_trajectories_and_mixed_precision_are_said_aloud(store: Store) -> None:
    assert not any("shar" in note or "float" in note for note in load(store.root).notes)
    for record in list(store.records()):
        width = record.config.model.width
        about = {"shared_steps": 50 if width > 32 else 0, "precision": "float32" if width < 128 else "bfloat16"}
        store.write(dataclasses.replace(record, about=about))
    notes = " ".join(load(store.root).notes)
    assert "2 runs started from another run's checkpoint" in notes and "bfloat16 and in float32" in notes


def test_a_file_is_read_alike_in_every_format(tmp_path: Path) -> None:
    frame = pd.DataFrame({"params": [1e6, 2e6], "tokens": [1e8, 3e8], "val_loss": [3.0, 2.5]})
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_csv(tmp_path / "a.tsv", index=False, sep="\t")
    frame.to_parquet(tmp_path / "a.parquet")
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(r) + "\n" for r in frame.to_dict("records")))
    for kind in ("csv", "tsv", "parquet", "jsonl"):
        points = load(tmp_path / f"a.{kind}")
        assert points.N.tolist() == [1e6, 2e6] and points.L.tolist() == [3.0, 2.5]
        assert np.allclose(points.C, [6e14, 3.6e15], rtol=1e-15)
        assert "L taken from column val_loss" in points.notes and "C computed as 6·N·D" in points.notes


def test_tokens_follow_from_flops(tmp_path: Path) -> None:
    points = load(csv(tmp_path, "N,C,L\n1e6,6e14,3\n2e6,6e14,2.9\n"))
    assert points.D.tolist() == [1e8, 5e7] and "D computed as C / (6·N)" in points.notes


@pytest.mark.parametrize("cell", ["", "nan", "inf", "-1", "0", "abc"])
def test_a_bad_cell_is_named(tmp_path: Path, cell: str) -> None:
    path = csv(tmp_path, f"N,D,loss\n1e6,1e8,3\n1e6,2e8,{cell}\n")
    with pytest.raises(DataError) as error:
        load(path)
    message = str(error.value)
    assert (
        "runs.csv" in message
        and "row 2 (line 3)" in message
        and "column loss" in message
        and "greater than 0" in message
    )
    assert "\n" not in message


def test_duplicate_rows_are_named(tmp_path: Path) -> None:
    points = load(csv(tmp_path, "name,N,D,L\na,1,2,3\nb,1,2,3\nc,2,2,3\n"))
    assert len(points) == 3 and any("duplicate rows" in n and "b = a" in n for n in points.notes)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("C < 1e15 and N >= 1e6", [3.0]),
        ("kind == 'big' or not odd", [2.5, 2.0]),
        ("N in (1e6, 4e6)", [3.0, 2.0]),
        ("1e6 < N <= 4e6", [2.5, 2.0]),
        ("D / N > 140 and -N < 0", [2.5]),
        ('col("two words") > 1', [2.5, 2.0]),
        ("extra > 0", [2.0]),
        ("not (extra < 0)", [2.0]),  # a missing number is neither below 0 nor not
        ("not extra < 0 or N < 2e6", [3.0, 2.0]),
    ],
)
def test_where_keeps_what_it_says(tmp_path: Path, where: str, expected: list[float]) -> None:
    rows = "1e6,1e8,3,small,True,1,\n2e6,3e8,2.5,big,False,2,\n4e6,3e8,2,big,True,3,5\n"
    points = load(csv(tmp_path, "N,D,L,kind,odd,two words,extra\n" + rows), options=ReadOptions(where=where))
    assert points.L.tolist() == expected
    assert any(f"kept {len(expected)} of 3 rows matching {where}" in note for note in points.notes)


@pytest.mark.parametrize(
    "where",
    ["__import__('os')", "N.__class__", "N if N else D", "[x for x in N]", "N <", "N", "kind > 3", "nope > 1",
     "(lambda: 1)()", "N > 'a'", "f'{N}' == 'a'", "10**10**10 > N", "N[0] > 1", "N < 1e30 > 'a'", "not N"],
)  # fmt: skip
def test_where_refuses_all_else_in_one_line(tmp_path: Path, where: str) -> None:
    with pytest.raises(DataError) as error:
        load(csv(tmp_path, "N,D,L,kind\n1e6,1e8,3,small\n"), options=ReadOptions(where=where))
    assert "\n" not in str(error.value) and "where" in str(error.value)


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        ("N,D\n1,2\n", {}, "no column for L"),
        ("loss\n3\n", {}, "no column for N, D or C"),
        ("N,D,L\n", {}, "no rows"),
        ("N,D,L\n1,2,3\n", {"L": "nope"}, "no column 'nope'"),
        ("N,D,L\n1,2,3\n", {"Q": "L"}, "columns Q"),
    ],
)
def test_what_is_missing_is_said(tmp_path: Path, text: str, columns: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(csv(tmp_path, text), options=ReadOptions(columns=columns))


def test_sources_that_are_none(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path, csv(tmp_path, "x", "a.xlsx"), csv(tmp_path, "{", "a.jsonl")):
        with pytest.raises(DataError):
            load(path)


def test_where_of_points_keeps_order_and_every_array() -> None:
    first = np.arange(1.0, 5)
    points = Points(first, first, first, first, list("abcd"), budgets=first, groups=list("wxyz"), weights=first)
    half = points.select(first > 2)
    assert half.names == ["c", "d"] and half.groups == ["y", "z"] and half.budgets is not None
    assert half.budgets.tolist() == [3, 4] and len(half) == 2


def test_table_has_every_run_and_absent_is_empty(store: Store, tmp_path: Path) -> None:
    out = tmp_path / "table.csv"
    assert call_command("analysis", "table", store.root, "--csv", out).returncode == 0
    table = pd.read_csv(out, dtype=str, keep_default_na=False)
    assert set(table.columns) >= {"run_id", "sweep", "status", "N", "D", "C", "loss"}
    assert len(table) == 6
    assert table.C.astype(float).is_monotonic_increasing  # the order in which it is printed
    assert table.loc[table.status == "running", "loss"].tolist() == [""]
    points = load(out)  # a table of our own is a source too, and counts the same runs
    assert sorted(points.L) == [2.1, 2.2, 2.5] and np.allclose(sorted(points.C), sorted(load(store.root).C))


def test_table_of_an_empty_store(tmp_path: Path) -> None:
    run = call_command("analysis", "table", tmp_path, "--csv", "-")
    assert run.returncode == 0 and run.stdout.startswith("run_id,sweep,status,N,D,C,loss")


def test_help_is_quick() -> None:
    for words in ([], ["fit"], ["report"]):
        ask = partial(command, "analysis", *words, "--help")
        assert any(processor_seconds(lambda ask=ask: ask().check_returncode()) < 0.5 for _ in range(3))


def test_cells_beyond_the_header_are_named_and_empty_ones_are_none(tmp_path: Path) -> None:
    file = tmp_path / "runs.csv"
    file.write_text("N,D,L\n1e6,2e7,3.0,\n1e7,2e8,2.5,\n")  # a comma at the end of each line, as spreadsheets write
    assert load(file).L.tolist() == [3.0, 2.5]
    file.write_text("N,D,L\n1e6,2e7,3.0,3.1\n1e7,2e8,2.5\n")
    with pytest.raises(DataError, match=r"runs\.csv: line 2: 4 cells, but the header has 3 columns"):
        load(file)

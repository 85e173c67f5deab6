"""Damaged files of a store: left out, named once, listed in JSON and in the report, and never part of a number."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import analysis
from analysis.data.record_cache import StoreSnapshot
from analysis.evals.calibration import load_answers
from analysis.report import build
from scaling.store.record import Store
from tests.support import items_store, known_store
from tests.support.commands import call_command


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty finished runs, four of other states, and items of one task of two runs."""
    store, random = (
        known_store.build(tmp_path_factory.mktemp("original"), extras=True, rows=8),
        np.random.default_rng(0),
    )
    for record in [record for record in store.records() if record.status == "done"][:2]:
        path = store.items_dir(record.run_id) / f"choice.{record.config.steps}.parquet"
        items_store.write(path, items_store.choices(random, 0.5, 20))
    return store.root


@pytest.fixture
def store(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "store"))


def evaluated_run(store: Path) -> str:
    """The first run with items."""
    return sorted(path.parent.parent.name for path in store.glob("runs/*/items/*.parquet"))[0]


def fitted(store: Path) -> dict[str, Any]:
    """What `fit --json` writes, without the parts that name the damage."""
    answer = call_command("analysis", "fit", store, "--law", "power-c", "--bootstrap", 100, "--json", "-")
    assert answer.returncode == 0, answer.stderr
    return {key: value for key, value in json.loads(answer.stdout).items() if key not in ("damaged", "notes")}


def change(path: Path, *keys: str, value: Any) -> None:
    """Sets a member of a JSON file."""
    data = json.loads(path.read_text())
    part = data
    for key in keys[:-1]:
        part = part[key]
    part[keys[-1]] = value
    path.write_text(json.dumps(data))


@pytest.mark.parametrize(
    "damage", ["truncated", *(pytest.param(name, marks=pytest.mark.long) for name in
                              ("a folder", "final", "learning rate", "params", "copied"))]
)  # fmt: skip
def test_a_damaged_record_is_named_once_and_the_numbers_are_those_without_its_run(store: Path, damage: str) -> None:
    run = evaluated_run(store)
    record = store / "runs" / run / "record.json"
    match damage:
        case "truncated":
            record.write_bytes(record.read_bytes()[:400])
        case "a folder":
            record.unlink()
            record.mkdir()
        case "final":
            change(record, "final", value=None)
        case "learning rate":
            change(record, "config", "optimizer", "lr", value=0.5)
        case "params":
            change(record, "params", "total", value=7)
        case "copied":
            shutil.copytree(record.parent, store / "runs" / ("f" * 64))
    answer = call_command("analysis", "fit", store, "--law", "power-c", "--bootstrap", 100, "--json", "-")
    [line] = [line for line in answer.stderr.splitlines() if line.startswith("left out: ")]
    [damaged] = json.loads(answer.stdout)["damaged"]
    name = "f" * 64 if damage == "copied" else run
    assert answer.returncode == 0 and name in line and damaged["path"].endswith(f"runs/{name}/record.json")
    left = fitted(store)
    shutil.rmtree(store / "runs" / name)
    assert fitted(store) == left


def test_an_intact_store_says_nothing_of_damage(store: Path) -> None:
    answer = call_command("analysis", "fit", store, "--law", "power-c", "--bootstrap", 100, "--json", "-")
    assert "damaged" not in json.loads(answer.stdout) and "left out" not in answer.stderr


def test_the_table_and_the_curves_of_the_interface_list_what_they_left_out(store: Path) -> None:
    run = evaluated_run(store)
    before = analysis.table(store)
    (store / "runs" / run / "record.json").write_text("{")
    runs, steps = analysis.table(store), analysis.curves(store)
    assert len(runs) == len(before) - 1 and before.attrs["damaged"] == []
    [damaged] = runs.attrs["damaged"]
    assert damaged["path"].endswith(f"{run}/record.json") and "trains it again" in damaged["problem"]
    assert steps.attrs["damaged"] == runs.attrs["damaged"] and run not in set(steps["run_id"])
    assert any("1 damaged file left out" in note for note in analysis.load(store).notes)


def test_a_damaged_curve_leaves_out_that_curve_only(store: Path) -> None:
    run = evaluated_run(store)
    (store / "runs" / run / "curve.parquet").write_bytes(b"PAR1")
    steps = analysis.curves(store)
    assert run in set(analysis.table(store)["run_id"]) and run not in set(steps["run_id"])
    [damaged] = steps.attrs["damaged"]
    assert damaged["path"].endswith(f"{run}/curve.parquet")


def replace_column(path: Path, name: str, cells: pa.Array) -> None:
    """Replaces a column of an item file, or removes rows for an empty column."""
    table = pq.read_table(path)
    pq.write_table(table.set_column(table.column_names.index(name), name, cells), path)


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("metric_kind", pa.array(["other"] * 20)),
        ("choice_logp", pa.array([[None, 1.0, 2.0, 3.0]] * 20)),
        ("choice_logp", pa.array([[-1.0, -2.0]] * 20)),
        ("choice_tokens", pa.array([[0, 1, 1, 1]] * 20)),
        ("gold", pa.array([4] * 20)),
        ("gold", pa.array(["a"] * 20)),
        ("item", pa.array([0.5] * 20)),
    ],
)
def test_an_item_file_of_wrong_types_is_left_out_and_the_others_are_read(
    store: Path, name: str, cells: pa.Array, capsys: pytest.CaptureFixture[str]
) -> None:
    [path] = (store / "runs" / evaluated_run(store) / "items").glob("*.parquet")
    replace_column(path, name, cells)
    assert [answers.run for answers in load_answers(store)] != []
    answer = call_command("analysis", "calibration", store, "--bootstrap", 100, "--json", "-")
    data = json.loads(answer.stdout)
    assert (
        answer.returncode == 0
        and len(data["calibration"]) == 1
        and path.parent.parent.name != (data["calibration"][0]["run_id"])
    )
    [damaged] = data["damaged"]
    assert damaged["path"] == str(path) and (name in damaged["problem"] or "differ in length" in damaged["problem"])


def test_items_of_a_model_that_diverged_have_no_value(store: Path) -> None:
    [path] = (store / "runs" / evaluated_run(store) / "items").glob("*.parquet")
    cells = [[float("nan")] * 4, *pq.read_table(path)["choice_logp"].to_pylist()[1:]]
    replace_column(path, "choice_logp", pa.array(cells))
    assert sorted(answers.items for answers in load_answers(store)) == [19, 20]


def test_a_store_without_an_intact_record_is_refused_in_one_line(store: Path) -> None:
    for path in store.glob("runs/*/record.json"):
        path.write_text("null")
    answer = call_command("analysis", "fit", store)
    error = answer.stderr.splitlines()[-1]
    assert answer.returncode == 2 and error.startswith("error: ") and "all records are damaged (24)" in error


@pytest.mark.long
def test_the_report_has_a_section_on_what_it_left_out(store: Path, tmp_path: Path) -> None:
    run = evaluated_run(store)
    assert "Left out" not in build.write_report(store, tmp_path / "intact").read_text()
    (store / "runs" / run / "record.json").write_text("{")
    page = build.write_report(store, tmp_path / "damaged").read_text()
    assert "Left out" in page and f"runs/{run}/record.json" in page and run[:8] not in page.split("Left out")[0]


def test_output_to_a_device_leaves_the_device_in_place(store: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.json"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    answer = call_command("analysis", "fit", store, "--law", "power-c", "--bootstrap", 100, "--json", pipe)
    assert answer.returncode == 0 and pipe.is_fifo()
    assert json.loads(os.read(reader, 1 << 16))["law"] == "power-c"
    os.close(reader)


def test_an_output_that_cannot_be_written_is_one_line_with_its_path_and_keeps_the_file(
    store: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "out.json"
    folder.mkdir()
    (folder / "kept").write_text("kept")
    for arguments in (("fit", store, "--law", "power-c", "--bootstrap", 100, "--json"), ("table", store, "--csv")):
        answer = call_command("analysis", *arguments, folder)
        [line] = answer.stderr.splitlines()
        assert answer.returncode == 2 and line.startswith(f"error: {folder}: ") and "move this folder away" in line
    assert (folder / "kept").read_text() == "kept" and sorted(os.listdir(tmp_path)) == ["out.json", "store"]


def test_a_snapshot_is_a_source_wherever_its_folder_is(store: Path) -> None:
    snapshot = StoreSnapshot(store)
    assert (
        len(analysis.load(snapshot))
        == len(analysis.load(store))
        == sum(record.status == "done" for record in Store(store).records())
    )

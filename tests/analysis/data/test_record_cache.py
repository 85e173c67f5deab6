"""A store's index: what the records say, whatever was done to them, and a hundred thousand of them in seconds."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import laws
from analysis.data import record_cache, runs
from analysis.data.load import load
from analysis.data.options import ReadOptions
from scaling.config.validation import to_dict
from scaling.store.record import Record, Store
from tests.support.commands import call_command, command
from tests.support.records import add_record, config, record_of
from tests.support.tables import refusal


def many(root: Path, count: int) -> Store:
    """A store of records of earlier versions, without checksums; written as fast as files can be."""
    store, random = Store(root), np.random.default_rng(0)
    for seed in range(count):
        run = config(8 * int(random.integers(1, 32)), int(random.integers(50, 5000)), budget=1e12, seed=seed)
        record = record_of(run, loss=0.0)
        N, D = record.params["total"], run.tokens
        loss = (1.7 + 400 / N**0.34 + 400 / D**0.28) * np.exp(0.003 * random.standard_normal())
        data = vars(record) | {"config": to_dict(run), "final": record.final | {"loss": loss}}
        folder = store.run_dir(record.run_id)
        folder.mkdir(parents=True)
        (folder / "record.json").write_text(json.dumps(data))
    return store


def test_an_index_gives_what_the_records_say_whatever_was_done_to_them(tmp_path: Path) -> None:
    store = many(tmp_path / "store", record_cache.MIN_RUNS + 20)
    first = runs.read_runs(store.root)
    before = (store.root / record_cache.CACHE_FILE).read_bytes()
    pd.testing.assert_frame_equal(runs.read_runs(store.root), first, check_dtype=False)
    assert (store.root / record_cache.CACHE_FILE).read_bytes() == before

    third, fourth = list(store.record_stamps())[3:5]
    change = store.read(third)
    assert change is not None
    store.write(Record(**{**vars(change), "final": {**change.final, "loss": 1.25}, "evals": {"task": 0.5}}))
    assert runs.read_runs(store.root).set_index("run_id").loss[third] == 1.25
    gone = store.run_dir(fourth)
    (gone / "record.json").unlink()
    add_record(store, config(64, 100), "running", None)
    after = runs.read_runs(store.root)
    (store.root / record_cache.CACHE_FILE).unlink()
    pd.testing.assert_frame_equal(after, runs.read_runs(store.root), check_like=True, check_dtype=False)
    assert len(after) == len(first) and after.set_index("run_id").loss[third] == 1.25
    assert fourth not in set(after.run_id) and (after.status == "running").sum() == 1


@pytest.mark.parametrize(
    "damage", [*(pytest.param(damage, marks=pytest.mark.slow) for damage in (b"", b"PAR1 nothing")), None]
)
def test_a_damaged_index_or_one_of_another_kind_is_made_anew(tmp_path: Path, damage: bytes | None) -> None:
    store = many(tmp_path / "store", record_cache.MIN_RUNS)
    first = runs.read_runs(store.root)
    path = store.root / record_cache.CACHE_FILE
    if damage is None:
        pd.DataFrame({"folder": ["x"]}).to_parquet(path)
    else:
        path.write_bytes(damage)
    pd.testing.assert_frame_equal(runs.read_runs(store.root), first, check_dtype=False)


def test_another_process_knows_the_index_again(tmp_path: Path) -> None:
    store = many(tmp_path / "store", record_cache.MIN_RUNS)
    runs.read_runs(store.root)
    before = (store.root / record_cache.CACHE_FILE).stat().st_ino
    assert command("analysis", "table", store.root, "--csv", "-").returncode == 0
    assert (store.root / record_cache.CACHE_FILE).stat().st_ino == before


def test_a_store_that_cannot_be_written_is_read_and_that_is_said(tmp_path: Path) -> None:
    store = many(tmp_path / "store", record_cache.MIN_RUNS)
    (store.root / record_cache.CACHE_FILE).mkdir()  # where no file can be put, not even by root
    points = load(store.root, options=ReadOptions(replicates="all"))
    assert len(points) == record_cache.MIN_RUNS and any("cannot be written" in note for note in points.notes)


def test_a_stores_other_columns_can_be_named_and_what_a_law_wants_is_found(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for width, steps in ((32, 100), (64, 200), (128, 400)):
        record = add_record(store, config(width, steps))
        store.write(Record(**{**vars(record), "evals": {"score": width / 10}}))
    law = laws.Law(lambda S, lr, B, M, *, E: E + 0 * S * lr * B * M, "", {"E": (1.0,)}, columns={"B": "batch_tokens"})
    points = load(tmp_path, law=law, options=ReadOptions(columns={"L": "eval.score", "C": "model.width"}))
    order = np.argsort(points["S"])
    assert points["S"][order].tolist() == [100, 200, 400] and points.L[order].tolist() == [3.2, 6.4, 12.8]
    assert set(points["lr"]) == {1e-3} and set(points["B"]) == {8 * 128}
    assert np.allclose(points["M"], points.D / points.N) and "C: model.width" in points.convention
    assert "no column 'eval.none'" in refusal(tmp_path, columns={"L": "eval.none"})


def test_table_lists_so_many_of_the_runs_that_were_asked_for(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for width in (32, 64, 128, 256):
        add_record(store, config(width, 100), loss=width / 10)
    shown = call_command(
        "analysis", "table", store.root, "--rows", "2", "--where", "loss < 20", "--sort", "loss"
    ).stdout
    assert "3 runs" in shown and "and 1 more" in shown and shown.index("3.2") < shown.index("6.4")
    wrong = call_command("analysis", "table", store.root, "--sort", "nothing")
    assert wrong.returncode == 2 and "--sort nothing: no such column" in wrong.stderr


def test_a_table_in_a_pipe_has_every_column_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    store, name = Store(tmp_path), "a sweep whose name is longer than a line of a narrow terminal"
    record = add_record(store, config(32, 100), loss=2.125)
    store.write(Record(**{**vars(record), "sweep": name}))
    output = call_command("analysis", "table", store.root).stdout
    assert name in output and "2.125" in output and "…" not in output


@pytest.mark.long
def test_a_hundred_thousand_records_are_read_once_and_then_in_a_second_or_two(tmp_path: Path) -> None:
    store = many(tmp_path / "store", 100_000)
    seconds = []
    for _ in range(2):
        start = os.times()
        assert len(load(store.root, options=ReadOptions(replicates="all"))) == 100_000
        end = os.times()
        seconds.append(end.user + end.system - start.user - start.system)
    print(f"first reading {seconds[0]:.1f} s, second {seconds[1]:.1f} s of processor time")
    assert seconds[1] < 5 and seconds[1] < seconds[0] / 3

"""What was altered in a store is named and left out: no flipped bit and no edited field is read as if it were right."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.data import record_cache, runs
from scaling.config.run import run_id
from scaling.store.files import DamagedFileError, NewerFileError, StoreError
from scaling.store.record import Store
from scaling.store.verification import parquet
from scaling.store.verification.checksum import add_checksum
from tests.support import known_store
from tests.support.commands import call_command
from tests.support.records import add_record, config

FLIPS = 300  # random positions in a file
CURVE = [{"step": step, "loss": 5.0 / step, "val_loss": 2.0} for step in range(1, 31)]


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def some_bits(data: bytes) -> list[int]:
    return random.Random(0).sample(range(8 * len(data)), FLIPS)


def edit(path: Path, field: str, value: Any, checksum: str = "kept") -> None:
    """Changes a field of a record by its dotted name; its checksum is kept, removed or computed again."""
    data = json.loads(path.read_text())
    *parents, name = field.split(".")
    inner = data
    for parent in parents:
        inner = inner[parent]
    inner[name] = value(inner[name]) if callable(value) else value
    if checksum != "kept":
        del data["checksum"]
    path.write_text(json.dumps(add_checksum(data) if checksum == "new" else data, indent=1) + "\n")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store")
    for width in (32, 64, 96):
        record = add_record(store, config(width, 30))
        store.finish_curve(record.run_id, CURVE)
    return store


def test_no_flipped_bit_of_a_curve_is_read(tmp_path: Path) -> None:
    path = tmp_path / "curve.parquet"
    parquet.write_rows(path, CURVE)
    data = path.read_bytes()
    assert parquet.read_rows(path) == CURVE
    for bit in some_bits(data):
        path.write_bytes(flipped(data, bit))
        with pytest.raises(DamagedFileError):
            parquet.read_rows(path)


def test_no_flipped_bit_of_an_index_changes_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_cache, "MIN_RUNS", 2)
    store = Store(tmp_path)
    for width in (32, 64):
        add_record(store, config(width, 30))
    right = runs.read_runs(store.root)
    path = tmp_path / record_cache.CACHE_FILE
    data = path.read_bytes()
    for bit in some_bits(data)[:100]:
        path.write_bytes(flipped(data, bit))
        facts, notes = record_cache.read_facts(store.root)
        assert any("index.parquet" in note and "written again" in note for note in notes)
        assert facts["final.loss"].tolist() == [2.0, 2.0] and path.read_bytes() == data
    pd.testing.assert_frame_equal(runs.read_runs(store.root), right, check_dtype=False)


def test_parquet_files_of_earlier_versions_are_read_and_one_with_an_unknown_key_is_not(tmp_path: Path) -> None:
    table = pa.table({"step": [1, 2], "loss": [3.0, 2.0]})
    pq.write_table(table, tmp_path / "old.parquet")
    assert parquet.read_table(tmp_path / "old.parquet").equals(table)
    pq.write_table(table.replace_schema_metadata({"pandbs": "{}"}), tmp_path / "flipped.parquet")
    with pytest.raises(DamagedFileError, match="unknown metadata"):
        parquet.read_table(tmp_path / "flipped.parquet")


def test_other_readers_read_the_parquet_files(tmp_path: Path) -> None:
    parquet.write_rows(tmp_path / "a.parquet", CURVE)
    assert pd.read_parquet(tmp_path / "a.parquet")["loss"].tolist() == [row["loss"] for row in CURVE]
    assert pq.read_table(tmp_path / "a.parquet", page_checksum_verification=True).num_rows == len(CURVE)


EDITS: dict[str, tuple[Any, str]] = {  # field: new value, and what a message names if the checksum is right
    "config.optimizer.lr": (0.5, "run_id = 'c9aaa146"),
    "config.seed": (7, "but its config has the run id"),
    "config.steps": (60, "but its config has the run id"),
    "final.loss": (1.5, "final.loss = 1.5, but the last row of its curve has val_loss = 2.0"),
    "params.total": (lambda total: 2 * total, "but its config gives"),
    "flops.total": (lambda total: 2 * total, "but its config gives"),
    "final.tokens": (lambda tokens: tokens // 2, "steps of its config read 30720 tokens"),
    "final.step": (20, "final.step = 20: must be 30"),
}


@pytest.mark.parametrize("field", EDITS)
@pytest.mark.parametrize("checksum", ["kept", "removed", "new"])
def test_an_edited_record_is_named_and_left_out(store: Store, field: str, checksum: str) -> None:
    value, named = EDITS[field]
    name = run_id(config(64, 30))
    edit(store.run_dir(name) / "record.json", field, value, checksum)
    done = call_command("analysis", "table", store.root, "--csv", "-")
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 3 and name not in done.stdout
    [line] = [line for line in done.stderr.splitlines() if "record.json" in line]
    assert line.startswith("left out: ") and "damaged: " in line and "trains it again" in line
    assert named in line or (checksum == "kept" and "checksum differs" in line)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("status", None), ("sweep", 3), ("params", []), ("params.total", -1), ("params.total", 1.5), ("flops", "x"),
        ("final.loss", "2.0"), ("final.loss", None), ("final.loss", True), ("final.step", 1e999), ("evals", {"a": []}),
        ("about", None), ("about", {"seconds": "long"}), ("about", {"pid": 2**40}), ("about", {"started": "noon"}),
        ("about", {"error": {}}), ("about", {"log": [1]}), ("about", {"pack": {"places": 0}}), ("config", None),
        ("config.model", []), ("config.batch", "8"), ("config.steps", 10**400),
    ],
)  # fmt: skip
def test_a_field_of_another_type_is_named(store: Store, field: str, value: Any) -> None:
    name = run_id(config(64, 30))
    edit(store.run_dir(name) / "record.json", field, value, "removed")
    assert len(list(store.records())) == 2
    [(path, problem)] = store.damaged.items()
    assert path == f"runs/{name}/record.json" and "\n" not in problem and "trains it again" in problem


@pytest.mark.parametrize(
    "text",
    ["", "null", "[]", "{", "[" * 100_000, '{"a": ' * 50_000, '{"a": 1, "a": 2}', "1" * 5000, "\x00", "\ufeff{}"],
)
def test_a_record_that_is_not_json_is_named_and_left_out(store: Store, text: str) -> None:
    name = run_id(config(64, 30))
    (store.run_dir(name) / "record.json").write_text(text)
    assert len(list(store.records())) == 2 and list(store.damaged) == [f"runs/{name}/record.json"]
    with pytest.raises(DamagedFileError):
        store.read(name)


def test_a_record_with_another_indent_is_the_same_and_a_field_of_a_newer_version_is_said(store: Store) -> None:
    name = run_id(config(64, 30))
    path = store.run_dir(name) / "record.json"
    record = store.read(name)
    path.write_text(json.dumps(json.loads(path.read_text()), indent=4))
    assert store.read(name) == record
    edit(path, "about", {})
    data = json.loads(path.read_text())
    path.write_text(json.dumps(data | {"energy": 3}))
    with pytest.raises(NewerFileError, match="field energy is unknown: written by a newer version of scaling: update"):
        store.read(name)


def test_a_status_of_a_newer_version_is_said(store: Store) -> None:
    name = run_id(config(64, 30))
    edit(store.run_dir(name) / "record.json", "status", "asleep", "new")
    raw = store.raw_record(name)
    assert raw is not None and raw["status"] == "asleep"
    with pytest.raises(NewerFileError, match="status = 'asleep' is unknown: written by a newer version of scaling"):
        store.read(name)


def test_a_copied_or_linked_folder_of_a_run_is_named_once_and_counted_once(store: Store) -> None:
    folder = store.run_dir(run_id(config(64, 30)))
    (folder.parent / ("b" * 64)).symlink_to(folder)
    done = call_command("analysis", "table", store.root, "--csv", "-")
    assert len(done.stdout.splitlines()) == 4 and done.stderr.count("left out: ") == 1
    assert "a run has one folder, named by its run_id" in done.stderr


def test_a_damaged_curve_is_named_and_its_record_stays(store: Store) -> None:
    name = run_id(config(64, 30))
    path = store.run_dir(name) / "curve.parquet"
    path.write_bytes(flipped(path.read_bytes(), 1000))
    done = call_command("analysis", "table", store.root, "--csv", "-")
    assert len(done.stdout.splitlines()) == 4 and "curve.parquet: damaged: " in done.stderr


@pytest.mark.parametrize("name", ["../../x", "/tmp/x", "", ".", "..", "a/b", "a\x00b", ".hidden"])
def test_a_name_with_special_characters_is_never_a_path(store: Store, name: str) -> None:
    for use in (store.read, store.run_dir, store.items_dir, store.curve, store.sweep, store.placement, store.lease):
        with pytest.raises(StoreError, match="must be a plain name"):
            use(name)


def test_every_record_and_curve_that_is_written_is_intact(tmp_path: Path) -> None:
    store = known_store.build(tmp_path, extras=True)
    records = list(store.records())
    for record in records:
        store.check_result(record)
    assert len(records) > 20 and not store.damaged and np.isfinite([r.final.get("loss", 0) for r in records]).all()

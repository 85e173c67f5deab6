"""Damaged configs and records: one line, and a damaged record costs at most the training of its own run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scaling.aot.check import cached_result
from scaling.commands.evaluation.runs import select_runs
from scaling.config.run import RunConfig, dumps, run_id
from scaling.config.validation import ConfigError
from scaling.store.files import DamagedFileError
from scaling.store.record import Store
from scaling.store.verification.checksum import add_checksum
from tests.damage.folders import KINDS, assert_one_line, damage
from tests.support.commands import call_command
from tests.support.records import add_record, config
from tests.support.training import train_run


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_config_is_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(dumps(config(64, 100)))
    damage(path, kind)
    done = call_command("scaling", "count", path)
    assert done.returncode == 2 and str(path) in done.stderr, done.stderr
    assert_one_line(done.stderr)


@pytest.mark.parametrize("value", ["9" * 5000, "[" * 100_000, "1e400", str(2**63), "null", '{"a": 1}', "\x1b[31m"])
def test_a_value_that_no_field_takes_is_refused_in_one_line(tmp_path: Path, value: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(dumps(config(64, 100)))
    done = call_command("scaling", "train", path, "--store", tmp_path / "store", "--set", f"steps={value}")
    assert done.returncode == 2 and "RunConfig.steps = " in done.stderr, done.stderr
    assert_one_line(done.stderr)
    assert "\x1b" not in done.stderr and not (tmp_path / "store").exists()


def test_a_damaged_placement_is_refused_with_what_writes_it_again(tmp_path: Path) -> None:
    store, path = Store(tmp_path / "store"), tmp_path / "config.json"
    path.write_text(dumps(config(64, 100)))
    store.write_placement("grid", {"remat": "full"})
    (store.root / "sweeps" / "grid.place").write_text("[]")
    done = call_command("scaling", "train", path, "--store", store.root, "--sweep", "grid")
    assert done.returncode == 2 and "grid.place: damaged: " in done.stderr and "sweeps launch" in done.stderr
    assert_one_line(done.stderr)


def test_training_sets_a_damaged_record_aside_and_leaves_the_same_record(
    store: Store, tiny: RunConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    first = train_run(tiny, store)
    path = store.run_dir(run_id(tiny)) / "record.json"
    damage(path, "truncated")
    second = train_run(tiny, store)
    assert f"{path}: damaged: " in capsys.readouterr().err
    assert (second.status, second.final, second.params, second.flops) == (
        first.status, first.final, first.params, first.flops
    )  # fmt: skip
    assert path.with_name("record.json.damaged").stat().st_size and store.read(run_id(tiny)) == second


def test_a_record_of_a_newer_version_is_never_trained_over(store: Store, tiny: RunConfig) -> None:
    add_record(store, tiny, "running", loss=None)
    path = store.run_dir(run_id(tiny)) / "record.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "quality": 1}))
    content = path.read_bytes()
    with pytest.raises(DamagedFileError, match=r"field quality is unknown: written by a newer version of scaling"):
        train_run(tiny, store)
    assert path.read_bytes() == content and not list(path.parent.glob("*.damaged"))


@pytest.mark.parametrize("kind", ["truncated", "folder", "null"])
def test_runs_with_damaged_records_are_left_out_of_an_evaluation(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    store, runs = Store(tmp_path), [config(64, steps) for steps in (100, 200, 300)]
    for run in runs:
        add_record(store, run)
    store.write_sweep("small", runs, map(run_id, runs))
    (store.root / "sweeps" / "other.json").write_text("[]")
    path = store.run_dir(run_id(runs[1])) / "record.json"
    damage(path, kind)
    intact = sorted(run_id(run) for run in (runs[0], runs[2]))
    assert select_runs(store, [], "small", False) == intact
    errors = capsys.readouterr().err
    assert errors.count(str(path)) == 1 and "2 of 3 runs are done; left out: 1 damaged" in errors
    assert select_runs(store, [], None, True) == intact
    with pytest.raises(ConfigError, match="no such sweep"):
        select_runs(store, [], "other", False)


def test_an_altered_result_of_the_compiler_is_compiled_again(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    for content in ("null", "[]", '{"result": {"fits": true}}', '{"result": {"fits": true}, "sha256": "ab"}', ""):
        path.write_text(content)
        assert cached_result(path) is None
    assert cached_result(tmp_path / "missing.json") is None


@pytest.mark.parametrize("command", [("evaluate", "--tasks", "addition-2"), ("generate", "--prompt", "a")])
def test_a_record_whose_loss_is_not_that_of_its_curve_is_named_and_not_used(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    store, run = Store(tmp_path), config(64, 100)
    add_record(store, run, loss=2.0)
    store.finish_curve(run_id(run), [{"step": 100, "loss": 2.5, "val_loss": 2.25}])
    done = call_command("scaling", command[0], run_id(run), "--store", store.root, *command[1:])
    assert done.returncode == 2, done.stderr
    assert_one_line(done.stderr)
    assert f"{run_id(run)}/record.json: damaged: final.loss = 2.0, but the last row of its curve" in done.stderr


@pytest.mark.parametrize("name", ["../../escaped", "/escaped", "e" * 64])
def test_an_evaluation_of_a_record_with_the_run_id_of_another_folder_writes_nothing(tmp_path: Path, name: str) -> None:
    store, run = Store(tmp_path / "a" / "store"), config(64, 100)
    add_record(store, run)
    path = store.run_dir(run_id(run)) / "record.json"
    data = {key: value for key, value in json.loads(path.read_text()).items() if key != "checksum"}
    path.write_text(json.dumps(add_checksum(data | {"run_id": name})))
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    for runs, status in ((run_id(run), 2), ("--all-runs", 2), (name, 2)):
        done = call_command("scaling", "evaluate", runs, "--store", store.root, "--tasks", "addition-2")
        assert done.returncode == status and "Traceback" not in done.stderr, done.stderr
        assert runs == name or f"{path}: damaged: run_id = " in done.stderr
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before

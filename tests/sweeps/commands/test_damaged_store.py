"""One damaged file of a store stops no command over many runs: it is named once, and a launch repairs the rest."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scaling.config.run import RunConfig, dumps, run_id
from scaling.counting.counts import parameters, run_flops
from scaling.store.files import DamagedFileError
from scaling.store.record import Record, Store
from sweeps.commands.forecast import target_path
from sweeps.launching.launch import launch, write_sweep
from sweeps.launching.options import LaunchOptions
from sweeps.planning.plan import plan_sweep
from tests.damage.folders import KINDS, assert_one_line, damage, open_to_all, small_disk, without_rights
from tests.support.commands import call_command
from tests.support.sweeps import TRAINER, stored_corpus, trained_grid, write_noise_corpus

COMMANDS = ("status", "status --json", "plan", "plan --json", "check", "dry run")


def write_done(store: Store, config: RunConfig) -> None:
    """A finished run, with its curve."""
    rows = [{"step": step, "loss": 5.0 / step} for step in range(1, config.steps + 1)]
    rows[-1]["val_loss"] = 3.0
    final = {"loss": 3.0, "step": config.steps, "tokens": config.tokens, "train_loss": rows[-1]["loss"]}
    about = {"seconds": 10.0, "steps_computed": config.steps}
    store.finish_curve(run_id(config), rows)
    store.write(
        Record(
            run_id=run_id(config), config=config, status="done", sweep="grid", params=parameters(config.model),
            flops=run_flops(config), final=final, about=about,
        )
    )  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Four runs that are done, and the files of their configs beside the store."""
    store = write_noise_corpus(Store(tmp_path_factory.mktemp("damaged") / "store"))
    corpus = stored_corpus(store)
    runs = trained_grid(corpus)
    write_sweep(store, "grid", plan_sweep(runs, corpus, store))
    configs = store.root.parent / "grid"
    configs.mkdir()
    for config in runs:
        write_done(store, config)
        (configs / f"{run_id(config)}.json").write_text(dumps(config))
    return store


@pytest.fixture
def store(whole: Store, tmp_path: Path) -> Store:
    shutil.copytree(whole.root, tmp_path / "store")
    shutil.copytree(whole.root.parent / "grid", tmp_path / "grid")
    return Store(tmp_path / "store")


def call(store: Store, command: str, *more: object) -> subprocess.CompletedProcess[str]:
    """A command of `python -m sweeps` on the four runs."""
    name, *flags = command.split()
    configs = store.root.parent / "grid"
    if name == "dry":
        return call_command("sweeps", "launch", configs, "--store", store.root, "--dry-run", *more)
    return call_command("sweeps", name, "grid" if name == "status" else configs, "--store", store.root, *flags, *more)


def first_record(store: Store) -> Path:
    return min(store.root.glob("runs/*/record.json"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_record_stops_no_command_and_is_named_once(store: Store, kind: str) -> None:
    path = first_record(store)
    damage(path, kind)
    for command in COMMANDS:
        done = call(store, command)
        assert done.returncode == 0, (command, done.stderr)
        assert done.stderr.count(str(path)) == 1, (command, done.stderr)
        if command == "status --json":
            result = json.loads(done.stdout)
            assert {row["run_id"]: row["state"] for row in result["runs"]}[path.parent.name] == "damaged"
            assert (result["counts"]["done"], result["counts"]["damaged"]) == (3, 1)
        if command == "plan --json":
            result = json.loads(done.stdout)
            left = sum(run["C"] for run in result["runs"] if run["run_id"] == path.parent.name)
            assert 0 < result["cost"]["flops_left"] <= left
        if "--json" in command:
            assert [Path(entry["path"]) for entry in result["damaged"]] == [path]
            assert "launch" in result["damaged"][0]["problem"] or "link" in result["damaged"][0]["problem"]


def launch_grid(store: Store) -> int:
    corpus = stored_corpus(store)
    return launch(store, "grid", trained_grid(corpus), corpus, LaunchOptions(command=TRAINER))


@pytest.mark.parametrize("kind", ["truncated", "folder"])
def test_a_launch_sets_a_damaged_record_aside_and_trains_its_run_alone(
    store: Store, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = first_record(store)
    damage(path, kind)
    before = {other: other.read_bytes() for other in store.root.glob("runs/*/record.json") if other != path}
    assert launch_grid(store) == 0
    errors = capsys.readouterr().err
    assert f"{path}: damaged: " in errors and "set aside as record.json.damaged" in errors
    assert path.with_name("record.json.damaged").exists()
    assert len((store.root / "commands").read_text().split("config.json")) == 2  # one run was trained
    assert [record.status for record in store.records()] == ["done"] * 4
    assert {other: other.read_bytes() for other in before} == before


@pytest.mark.parametrize(("field", "value"), [("seed", 7), ("precision", [1]), ("later_field", 1)])
def test_a_launch_never_writes_over_a_sweep_whose_configs_are_not_those_of_its_runs(
    store: Store, field: str, value: object, capsys: pytest.CaptureFixture[str]
) -> None:
    path, corpus = store.root / "sweeps" / "grid.json", stored_corpus(store)
    plan, before = plan_sweep(trained_grid(corpus), corpus, store), path.read_bytes()
    write_sweep(store, "grid", plan)
    assert path.read_bytes() == before and not capsys.readouterr().err
    data = json.loads(before)
    data["runs"][1]["config"][field] = value
    path.write_text(json.dumps(data))
    damaged = path.read_bytes()
    if field == "later_field":
        with pytest.raises(DamagedFileError, match="later_field is unknown: written by a newer version of scaling"):
            write_sweep(store, "grid", plan)
        assert path.read_bytes() == damaged
        return
    write_sweep(store, "grid", plan)
    assert f"{path}: damaged: run 1: " in capsys.readouterr().err
    assert path.with_name("grid.json.damaged").read_bytes() == damaged and path.read_bytes() == before


def test_a_field_of_a_newer_version_in_a_sweeps_file_is_kept(store: Store) -> None:
    path = store.root / "sweeps" / "grid.json"
    data = json.loads(path.read_text())
    data["runs"][1]["later_field"] = 1
    path.write_text(json.dumps(data))
    content = path.read_bytes()
    with pytest.raises(DamagedFileError, match=r"field runs\.1\.later_field is unknown: written by a newer version"):
        launch_grid(store)
    assert path.read_bytes() == content


def test_the_config_of_a_forecast_is_no_damaged_sweep(store: Store) -> None:
    config = next(store.records()).config
    path = target_path(store, "grid", 5e13)
    path.write_text(dumps(config))
    assert set(store.sweeps()) == {"grid"} and not store.damaged


def test_a_record_of_a_newer_version_is_named_as_such_and_never_overwritten(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    path = first_record(store)
    path.write_text(json.dumps({**json.loads(path.read_text()), "quality": 1}))
    content = path.read_bytes()
    done = call(store, "status")
    assert done.returncode == 0 and "field quality is unknown: written by a newer version of scaling" in done.stderr
    assert launch_grid(store) == 1
    assert "written by a newer version of scaling: update this installation" in capsys.readouterr().err
    assert path.read_bytes() == content and not list(path.parent.glob("*.damaged"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_sweep_file_is_one_line_and_a_launch_writes_it_again(store: Store, kind: str) -> None:
    path = store.root / "sweeps" / "grid.json"
    damage(path, kind)
    done = call(store, "status")
    assert done.returncode == 2 and str(path) in done.stderr, done.stderr
    assert_one_line(done.stderr)
    if kind != "link to itself":  # which may lead to an intact file once it is repaired
        assert launch_grid(store) == 0
        assert call(store, "status").returncode == 0


@pytest.mark.parametrize("field", ["run_id", "config", "budget", "N", "from"])
def test_a_sweep_file_with_a_field_of_another_type_is_damaged(store: Store, field: str) -> None:
    path = store.root / "sweeps" / "grid.json"
    data = json.loads(path.read_text())
    values: tuple[object, ...] = (None, [], "../../x", {}, 1e300, True)
    for value in values:
        if field == "budget" and (value is None or value == 1e300):
            continue
        data["runs"][1][field] = value
        path.write_text(json.dumps(data))
        done = call(store, "status")
        assert done.returncode == 2 and "run 1: " in done.stderr and "launch` of the sweep" in done.stderr, done.stderr
        assert_one_line(done.stderr)


def test_an_unreadable_record_is_named_with_what_to_do(store: Store) -> None:
    open_to_all(store.root)
    for path in store.root.rglob("*"):
        path.chmod(0o777)
    first_record(store).chmod(0)
    with without_rights():
        for command in ("status --json", "plan"):
            done = call(store, command)
            assert done.returncode == 0 and "Permission denied: change the permissions" in done.stderr, done.stderr
    assert not list(store.root.glob("runs/*/*.damaged"))


def test_a_read_only_store_has_a_status_and_a_plan_and_refuses_a_launch_in_one_line(store: Store) -> None:
    open_to_all(store.root)
    for folder in (store.root, *(path for path in store.root.rglob("*") if path.is_dir())):
        folder.chmod(0o555)
    try:
        with without_rights():
            for command in ("status", "plan", "dry run"):
                done = call(store, command)
                assert done.returncode == (0 if command != "dry run" else 2), (command, done.stderr)
            done = call(store, "launch")
        assert done.returncode == 2 and f"store {store.root} cannot be written: " in done.stderr
        assert_one_line(done.stderr)
    finally:
        for folder in (store.root, *(path for path in store.root.rglob("*") if path.is_dir())):
            folder.chmod(0o755)


def test_a_full_disk_is_one_line_with_the_path(store: Store, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "4k") as disk:
        for command, more in (("status", ("--html", disk / "a.html")), ("launch", (f"--dry-run={disk / 'files'}",))):
            done = call(store, command, *more)
            assert done.returncode == 2 and str(disk) in done.stderr and "free space" in done.stderr, done.stderr
            assert_one_line(done.stderr)
            assert not list(disk.iterdir())


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_standard_output_is_one_line() -> None:
    with open("/dev/full", "w") as full:
        line = [sys.executable, "-m", "sweeps", "list"]
        done = subprocess.run(line, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2 and "standard output: No space left on device" in done.stderr
    assert_one_line(done.stderr)


@pytest.mark.parametrize("kind", KINDS)
def test_a_config_that_the_user_names_is_refused_in_one_line(store: Store, kind: str) -> None:
    path = min((store.root.parent / "grid").glob("*.json"))
    damage(path, kind)
    done = call_command("sweeps", "plan", path, "--store", store.root)
    assert done.returncode == 2 and str(path) in done.stderr, done.stderr
    assert_one_line(done.stderr)


def test_an_unknown_field_of_a_typed_config_names_the_nearest_and_newer_versions(store: Store) -> None:
    path = min((store.root.parent / "grid").glob("*.json"))
    data = json.loads(path.read_text())
    data["model"]["widht"] = data["model"].pop("width")
    path.write_text(json.dumps(data))
    done = call_command("sweeps", "plan", path, "--store", store.root)
    assert done.returncode == 2 and "did you mean width? must be one of vocab, width, " in done.stderr
    assert "a newer version of scaling" in done.stderr
    assert_one_line(done.stderr)


@pytest.mark.parametrize("content", [b"null", b"[1]", b'{"ab": "x"}', b"", b"[" * 100_000])
def test_damaged_step_times_are_left_out_of_a_quote(store: Store, content: bytes) -> None:
    path = store.root / "aot" / "v5e-16.steps.json"
    path.parent.mkdir()
    path.write_bytes(content)
    done = call(store, "status", "--slice", "v5e-16")
    assert done.returncode == 0 and "quoted for v5e-16" in done.stdout and done.stderr.count(str(path)) == 1

"""The curves at Weights & Biases: offline, one run there for each here, every point once."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from scaling.config.run import RunConfig, dumps, override, run_id
from scaling.config.validation import ConfigError
from scaling.store.record import Store
from scaling.training.tracking.wandb import check_wandb
from tests.support.commands import ROOT, command
from tests.support.training import STEPWISE, train_run

OFFLINE = dataclasses.replace(STEPWISE, wandb="offline")


def records(path: Path) -> list[bytes]:
    """Records of a file of wandb's: LevelDB's log format, blocks of 32 KB, after seven bytes of wandb's own."""
    data, at, out, part = path.read_bytes(), 7, [], b""
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        size, kind = struct.unpack_from("<HB", data, at + 4)
        part += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # whole, or a last part
            out.append(part)
            part = b""
    return out


def folders(store: Store, config: RunConfig) -> list[Path]:
    return sorted((store.root / "wandb").glob(f"offline-run-*-{run_id(config)}"))


def read(folder: Path) -> tuple[dict, list[dict], int]:
    """What would be sent: the run (id, group, config), the rows of its history, and its exit code."""
    from wandb.proto.wandb_internal_pb2 import Record

    run: dict = {}
    rows, code = [], -1
    [path] = folder.glob("run-*.wandb")
    for data in records(path):
        record = Record.FromString(data)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            config = {item.key: json.loads(item.value_json) for item in record.run.config.update}
            run = {"id": record.run.run_id, "group": record.run.run_group, "config": config}
        elif kind == "history":
            names = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
            rows.append(names)
        elif kind == "exit":
            code = record.exit.exit_code
    return run, rows, code


@pytest.mark.slow
def test_offline_has_config_sweep_curve_and_final_loss_of_a_run_that_was_stopped_once(
    store: Store, tiny: RunConfig
) -> None:
    assert train_run(tiny, store, OFFLINE, stop_after=9).status == "stopped"
    assert train_run(tiny, store, OFFLINE).status == "done"
    parts = [read(folder) for folder in folders(store, tiny)]
    assert len(parts) == 2 and [code for _, _, code in parts] == [75, 0]
    for run, _, _ in parts:
        assert run["id"] == run_id(tiny) and run["config"]["model"]["width"] == 16
    rows = [row for _, rows, _ in parts for row in rows]
    assert [row["_step"] for row in rows] == list(range(1, 21))  # the second begins where the first had stopped
    curve = store.curve(run_id(tiny))
    assert [row["loss/train"] for row in rows] == [row["loss"] for row in curve]
    assert [row["loss/held-out"] for row in rows if "loss/held-out" in row] == [
        row["val_loss"] for row in curve if "val_loss" in row
    ]


@pytest.mark.slow
def test_a_sweep_is_a_group_of_wandb(store: Store, tiny: RunConfig, tmp_path: Path) -> None:
    """Through the command, as an engine starts it: the settings of the launch are in the store."""
    store.write_placement("mine", {"wandb": "offline"})
    (tmp_path / "run.json").write_text(dumps(tiny))
    done = command("scaling", "train", tmp_path / "run.json", "--store", store.root, "--sweep", "mine")
    assert done.returncode == 0, done.stderr
    [folder] = folders(store, tiny)
    assert read(folder)[0]["group"] == "mine" and "wandb" not in done.stderr


@pytest.mark.slow
def test_no_byte_of_an_anonymous_store_has_a_host_a_user_or_a_folder(tmp_path: Path, tiny: RunConfig) -> None:
    """W&B's program and Orbax write files too; where it is allowed, the host has a name that occurs nowhere else."""
    home = tmp_path / "zq-home" / "zquser417"
    home.mkdir(parents=True)
    (home / "notes.txt").write_text("The quick brown fox jumps over the lazy dog. " * 500)
    environment = {
        **os.environ,
        "HOME": str(home),
        "USER": "zquser417",
        "LOGNAME": "zquser417",
        "PYTHONPATH": str(ROOT),
    }
    environment.pop("XDG_CACHE_HOME", None)
    renamed = ["unshare", "--uts", "sh", "-c", 'hostname zq-host-417 && exec "$@"', "sh"]
    allowed = (
        shutil.which("unshare") and subprocess.run([*renamed, "true"], capture_output=True, check=False).returncode == 0
    )

    def run(*words: object) -> str:
        line = [*(renamed if allowed else []), sys.executable, "-m", *map(str, words)]
        done = subprocess.run(line, capture_output=True, text=True, cwd=home, env=environment, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    store = home / "S"
    tokens = json.loads(
        run("scaling", "prepare", f"text:{home / 'notes.txt'}", "--store", store, "--json", "--anonymous")
    )
    changes = [
        f"data.tokens={tokens['tokens']}",
        f"data.corpus=text:{home / 'notes.txt'}",
        f"model.vocab={tokens['vocab']}",
    ]
    (home / "run.json").write_text(dumps(override(tiny, changes)))
    run("scaling", "train", "run.json", "--store", store, "--wandb", "offline")
    run("sweeps", "anonymize", "--store", store)
    words = ["zquser417", "zq-home", str(tmp_path), str(ROOT), *(["zq-host-417"] if allowed else [])]
    files = [path for path in store.rglob("*") if path.is_file()]
    assert any(path.suffix == ".wandb" for path in files) and any("tfevents" in path.name for path in files)
    assert [
        (str(p), w) for p in files for w in words if w.encode() in p.read_bytes() or w in str(p.relative_to(store))
    ] == []


def test_a_missing_package_is_one_line_before_anything(
    store: Store, tiny: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"wandb is not installed: pip install 'scaling\[wandb\]'"):
        check_wandb(OFFLINE)
    check_wandb(STEPWISE)
    with pytest.raises(ConfigError, match="must be one of , online, offline"):
        override(STEPWISE, ["wandb=somewhere"])

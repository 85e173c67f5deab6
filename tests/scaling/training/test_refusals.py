"""What a run refuses, and a disk that is full: one line, and nothing is lost."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from scaling.config.run import RunConfig, dumps, override, run_id
from scaling.store.record import Store
from tests.support.commands import call_command, command
from tests.support.training import start_trainer, wait_for_event


def test_bad_input_is_one_line_and_loses_nothing(store: Store, tiny: RunConfig, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(dumps(tiny))
    [tokens] = store.token_files.glob("*.tokens")
    cases = {
        ("--set", "model.widht=3"): "unknown field widht",
        ("--set", "model.vocab=100"): "smaller than the vocabulary",
        ("--set", "model.heads=3"): "must be a multiple of heads",
        ("--set", f"data.tokens={'1' * 64}"): "run `python -m scaling prepare`",
        ("--set", "data.length=100000000"): "fewer than one window",
        ("--place", "data=3"): "there are 1",
    }
    for words, says in cases.items():
        run = command if "data=3" in words else call_command  # this process has more than one device
        done = run("scaling", "train", path, "--store", store.root, *words)
        assert done.returncode == 2 and says in done.stderr and "Traceback" not in done.stderr, (words, done.stderr)
    assert tokens.exists() and not list(store.checkpoints.glob("*"))
    blocked = tmp_path / "file"
    blocked.write_text("")
    done = call_command("scaling", "train", path, "--store", blocked / "store")
    assert done.returncode == 2 and "cannot be written" in done.stderr


@pytest.mark.slow
def test_a_full_disk_while_saving_keeps_what_was_saved(tiny: RunConfig, corpus: Path, tmp_path: Path) -> None:
    """On a real file system of 6 MB that fills up; the run goes on from its last checkpoint when there is room."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    mount = tmp_path / "small"
    mount.mkdir()
    line = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(mount)]
    built = subprocess.run(line, capture_output=True, check=False)
    if built.returncode:
        pytest.skip("this machine does not allow a mount")
    try:
        store = Store(mount / "store")
        store.token_files.mkdir(parents=True)
        shutil.copy(corpus, store.token_files)
        config = override(tiny, ["steps=100000", "eval.every=0"])
        first = start_trainer(config, store, tmp_path)
        wait_for_event(first, "step")
        first.send_signal(signal.SIGTERM)
        first.communicate(timeout=60)
        folder = store.run_dir(run_id(config)) / "checkpoints"
        [saved] = [p.name for p in folder.glob("[0-9]*")]
        ballast = mount / "ballast"
        ballast.write_bytes(b"\0" * (shutil.disk_usage(mount).free - 60_000))
        full = start_trainer(config, store, tmp_path, "--place", "save_seconds=0.2")
        _, output = full.communicate(timeout=120)
        assert full.returncode == 1 and "No space left on device" in output
        assert output.count("\n") == 1 and "Traceback" not in output
        assert [p.name for p in folder.glob("[0-9]*")] == [saved]
        ballast.unlink()
        second = start_trainer(config, store, tmp_path)
        assert wait_for_event(second, "start")["from"] == int(saved[:8])
        second.send_signal(signal.SIGTERM)
        second.communicate(timeout=60)
        assert second.returncode == 75
    finally:
        subprocess.run(["umount", "--lazy", str(mount)], check=False)


def test_a_failure_is_said_once(tiny: RunConfig, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(dumps(tiny))
    blocked = tmp_path / "file"
    blocked.write_text("")
    for words in (("train", path), ("prepare", "markov:order=1,vocab=8,tokens=1000,seed=0")):
        done = call_command("scaling", *words, "--store", blocked)
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and "must be a folder" in done.stderr, (
            done.stderr
        )

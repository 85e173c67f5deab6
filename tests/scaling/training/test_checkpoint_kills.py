"""A process killed at any stage of a background save leaves a whole checkpoint or none, and resumes bit for bit."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scaling.config.run import RunConfig, dumps, override, run_id
from scaling.program import checkpoint
from scaling.store.record import Store
from tests.support.commands import ROOT
from tests.support.training import STEPWISE, assert_same_run, train_run

# Wraps the function of one stage: the process is killed before or after its second call, in the second save.
KILL_AT_STAGE = """
import os, signal, sys
from scaling.program import checkpoint_files, checkpoint_writer
from scaling.training import checkpointing
from scaling.__main__ import main

owner, name, moment = {
    "after the copy": (checkpoint_writer, "wait_for_arrays", "before"),
    "before the manifest": (checkpoint_files.LocalCheckpoint, "finish", "before"),
    "after the manifest": (checkpoint_files, "_rename_folder", "before"),
    "after the rename": (checkpoint_files, "_rename_folder", "after"),
    "in the removal": (checkpointing.shutil, "rmtree", "before"),
    "after the removal": (checkpointing, "remove_older_checkpoints", "after"),
}[sys.argv.pop(1)]
function, calls = getattr(owner, name), [0]


def kill_at_second_call(*args, **kwargs):
    if name == "rmtree" and ".writing-" in str(args[0]):
        return function(*args, **kwargs)
    calls[0] += 1
    is_due = calls[0] == (1 if name == "rmtree" else 2)
    if is_due and name == "rmtree":  # a part of the old checkpoint is gone
        os.unlink(next(path for path in args[0].rglob("*") if path.is_file()))
    if is_due and moment == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    function(*args, **kwargs)
    if is_due:
        os.kill(os.getpid(), signal.SIGKILL)


setattr(owner, name, kill_at_second_call)
sys.exit(main(sys.argv[1:]))
"""
STAGES = (
    "after the copy", "before the manifest", "after the manifest", "after the rename", "in the removal",
    "after the removal",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_a_kill_at_a_stage_of_a_save_leaves_a_whole_checkpoint_or_none(
    store: Store, second_store: Store, tiny: RunConfig, tmp_path: Path, stage: str
) -> None:
    config = override(tiny, ["steps=300", "eval.every=0", "schedule.name=constant"])
    path = tmp_path / "config.json"
    path.write_text(dumps(config))
    line = [sys.executable, "-c", KILL_AT_STAGE, stage, "train", str(path), "--store", str(store.root)]
    env = {**os.environ, "XLA_FLAGS": "", "PYTHONPATH": str(ROOT)}
    words = ("--place", "save_seconds=0.05", "--place", "block=1", "--place", "data=1")
    killed = subprocess.run([*line, *words], env=env, check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    folder = store.run_dir(run_id(config)) / "checkpoints"
    saved = sorted(path.name for path in folder.glob("0*"))
    assert saved and len(saved) <= 2
    record = train_run(config, store)
    assert record.status == "done" and record.about["started_from"]["step"] >= int(saved[0][:8])
    train_run(config, second_store)
    assert_same_run(store, second_store, config)
    assert not list(folder.glob(".writing-*"))
    assert [path.name for path in folder.glob("0*")] == [checkpoint.checkpoint_path(folder, config, 300).name]
    assert STEPWISE.save_seconds > 1e6  # nothing else was saved

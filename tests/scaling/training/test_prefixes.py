"""Invariant 3 at its edges: a trunk that ends where a run does, two writers, another precision, and the facts of it."""

import dataclasses
import os
import socket
from pathlib import Path

import jax
import pytest

from scaling.config.placement import Placement
from scaling.config.run import RunConfig, override, run_id
from scaling.program import checkpoint, checkpoint_files
from scaling.program.build import build_program
from scaling.store.origin.machine import machine_alias
from scaling.store.record import Store
from scaling.training.loop import train
from tests.support.training import STEPWISE, assert_same_run, train_run


def test_a_run_that_ends_where_its_trunk_was_kept_is_measured_there(
    store: Store, second_store: Store, tiny: RunConfig
) -> None:
    train_run(tiny, store)
    short = override(tiny, ["schedule.name=constant", "steps=16"])
    shared, scratch = train_run(short, store), train_run(short, second_store)
    assert shared.about["started_from"] == {"step": 16, "shared": True} and shared.about["steps_computed"] == 0
    assert shared.final == scratch.final and "loss" in shared.final
    assert_same_run(store, second_store, short)


def test_steps_computed_and_shared_add_up_over_stops(store: Store, tiny: RunConfig) -> None:
    train_run(tiny, store)
    long = override(tiny, ["steps=40"])
    stopped = train_run(long, store, stop_after=5)
    assert stopped.status == "stopped" and stopped.about["steps_computed"] == 5
    done = train_run(long, store)
    assert done.about["started_from"] == {"step": 21, "shared": False}
    assert (done.about["shared_steps"], done.about["steps_computed"]) == (16, 24)
    assert store.read(run_id(tiny)).about["shared_steps"] == 0


@pytest.mark.slow
def test_a_record_says_over_which_devices_it_was_computed(store: Store, tiny: RunConfig) -> None:
    about = train_run(tiny, store, Placement(data=2, fsdp=2, save_seconds=1e9)).about
    assert about["devices"] == 4 and about["mesh"] == {"data": 2, "fsdp": 2, "tensor": 1, "expert": 1}


@pytest.mark.slow
def test_bfloat16_is_no_prefix_of_float32(
    store: Store, second_store: Store, tiny: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as accelerator:
        accelerator.setattr(jax, "default_backend", lambda: "gpu")
        plain = dataclasses.replace(STEPWISE, attention="xla")  # an accelerator's own kernels are not here
        assert train_run(tiny, store, plain).about["precision"] == "bfloat16"
    long = override(tiny, ["steps=40"])
    assert "started_from" not in train_run(long, store).about
    train_run(long, second_store)
    assert_same_run(store, second_store, long)


def test_the_second_of_two_writers_leaves_the_first_ones_checkpoint(tmp_path: Path) -> None:
    first, second = tmp_path / "00000001-a", tmp_path / ".writing-a"
    for folder in (first, second):
        folder.mkdir()
        (folder / "manifest.json").write_text(folder.name)
    checkpoint_files._rename_folder(second, first)
    assert (first / "manifest.json").read_text() == first.name and not second.exists()


def test_half_written_checkpoints_go_unless_their_writer_may_be_at_work(tmp_path: Path, tiny: RunConfig) -> None:
    final = checkpoint.checkpoint_path(tmp_path, tiny, 0).name
    host = socket.gethostname()
    gone, alive, away = (
        tmp_path / f".writing-{writer}-{final}" for writer in (f"{host}-4194305", f"{host}-1", "afar-2")
    )
    prefix = tmp_path / f".writing-{machine_alias()}-{os.getpid()}-{final}"
    for folder in (gone, alive, away, prefix):
        folder.mkdir()
    checkpoint.remove_abandoned_checkpoints(tmp_path)
    assert not gone.exists() and alive.exists() and away.exists()
    state = build_program(tiny, STEPWISE)[0].init(0)
    assert checkpoint.save_checkpoint(tmp_path, tiny, 0, state, [{"step": 0}]).exists() and not prefix.exists()


def test_a_damaged_checkpoint_that_another_process_took_away_is_no_error(tmp_path: Path) -> None:
    damaged = checkpoint_files.LocalCheckpoint(tmp_path / "00000001-a")
    damaged.set_aside()
    for _ in range(2):  # twice in one process
        (tmp_path / "00000001-a").mkdir()
        (tmp_path / "00000001-a" / "manifest.json").write_text("{")
        damaged.set_aside()
    assert len(list(tmp_path.glob(".damaged-*"))) == 2


def test_a_sweeps_run_that_is_gone_on_with_by_hand_stays_in_its_sweep(store: Store, tiny: RunConfig) -> None:
    requested = iter([False, True])
    stopped = train(tiny, store, STEPWISE, sweep="mine", emit=lambda event: None, should_stop=lambda: next(requested))
    assert stopped.status == "stopped" and train_run(tiny, store).sweep == "mine"


def test_steps_of_a_checkpoint_are_counted_though_its_process_was_killed_before_the_record_said_so(
    store: Store, tiny: RunConfig
) -> None:
    record = train_run(tiny, store, stop_after=9)
    known = {name: fact for name, fact in record.about.items() if name not in ("steps_computed", "seconds")}
    store.write(dataclasses.replace(record, status="running", about=known))
    (store.run_dir(record.run_id) / "curve.jsonl").unlink()
    about = train_run(tiny, store).about
    assert about["started_from"]["step"] == 9 and about["steps_computed"] == tiny.steps

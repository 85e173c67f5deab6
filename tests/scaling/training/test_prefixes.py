"""Invariant 3 at its edges: a trunk that ends where a run does, two writers, another precision, and the facts of it."""

import dataclasses
import os
import socket
from pathlib import Path

import jax
import pytest

from scaling.config.placement import Placement
from scaling.config.run import RunConfig, override, run_id
from scaling.program import checkpoint
from scaling.program.step import program
from scaling.store.record import Store
from scaling.training.loop import train
from tests.scaling.training.test_loop import ALONE, assert_same_run, go, other

__all__ = ["other"]


def test_a_run_that_ends_where_its_trunk_was_kept_is_measured_there(
    store: Store, other: Store, tiny: RunConfig
) -> None:
    go(tiny, store)
    short = override(tiny, ["schedule.name=constant", "steps=16"])
    shared, scratch = go(short, store), go(short, other)
    assert shared.about["started_from"] == {"step": 16, "shared": True} and shared.about["steps_computed"] == 0
    assert shared.final == scratch.final and "loss" in shared.final
    assert_same_run(store, other, short)


def test_steps_computed_and_shared_add_up_over_stops(store: Store, tiny: RunConfig) -> None:
    go(tiny, store)
    long = override(tiny, ["steps=40"])
    stopped = go(long, store, stop_after=5)
    assert stopped.status == "stopped" and stopped.about["steps_computed"] == 5
    done = go(long, store)
    assert done.about["started_from"] == {"step": 21, "shared": False}
    assert (done.about["shared_steps"], done.about["steps_computed"]) == (16, 24)
    assert store.read(run_id(tiny)).about["shared_steps"] == 0


def test_a_record_says_over_which_devices_it_was_computed(store: Store, tiny: RunConfig) -> None:
    about = go(tiny, store, Placement(data=2, fsdp=2, save_seconds=1e9)).about
    assert about["devices"] == 4 and about["mesh"] == {"data": 2, "fsdp": 2, "tensor": 1, "expert": 1}


@pytest.mark.slow
def test_bfloat16_is_no_prefix_of_float32(
    store: Store, other: Store, tiny: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as accelerator:
        accelerator.setattr(jax, "default_backend", lambda: "gpu")
        plain = dataclasses.replace(ALONE, attention="xla")  # an accelerator's own kernels are not here
        assert go(tiny, store, plain).about["precision"] == "bfloat16"
    long = override(tiny, ["steps=40"])
    assert "started_from" not in go(long, store).about
    go(long, other)
    assert_same_run(store, other, long)


def test_the_second_of_two_writers_leaves_the_first_ones_checkpoint(tmp_path: Path) -> None:
    first, second = tmp_path / "00000001-a", tmp_path / ".writing-a"
    for folder in (first, second):
        folder.mkdir()
        (folder / "manifest.json").write_text(folder.name)
    checkpoint._name(second, first)
    assert (first / "manifest.json").read_text() == first.name and not second.exists()


def test_half_written_checkpoints_go_unless_their_writer_may_be_at_work(tmp_path: Path, tiny: RunConfig) -> None:
    final = checkpoint.path(tmp_path, tiny, 0).name
    here = socket.gethostname()
    gone, alive, away = (tmp_path / f".writing-{who}-{final}" for who in (f"{here}-4194305", f"{here}-1", "afar-2"))
    own = tmp_path / f".writing-{here}-{os.getpid()}-{final}"
    for folder in (gone, alive, away, own):
        folder.mkdir()
    checkpoint.sweep_up(tmp_path)
    assert not gone.exists() and alive.exists() and away.exists()
    state = program(tiny, ALONE)[0].init(0)
    assert checkpoint.save(tmp_path, tiny, 0, state, [{"step": 0}]).exists() and not own.exists()


def test_a_damaged_checkpoint_that_another_process_took_away_is_no_error(tmp_path: Path) -> None:
    checkpoint.set_aside(tmp_path / "00000001-a")
    for _ in range(2):  # twice in one process
        (tmp_path / "00000001-a").mkdir()
        (tmp_path / "00000001-a" / "manifest.json").write_text("{")
        checkpoint.set_aside(tmp_path / "00000001-a")
    assert len(list(tmp_path.glob(".damaged-*"))) == 2


def test_a_sweeps_run_that_is_gone_on_with_by_hand_stays_in_its_sweep(store: Store, tiny: RunConfig) -> None:
    asked = iter([False, True])
    stopped = train(tiny, store, ALONE, sweep="mine", say=lambda event: None, stop=lambda: next(asked))
    assert stopped.status == "stopped" and go(tiny, store).sweep == "mine"


def test_steps_of_a_checkpoint_are_counted_though_its_process_was_killed_before_the_record_said_so(
    store: Store, tiny: RunConfig
) -> None:
    record = go(tiny, store, stop_after=9)
    known = {name: fact for name, fact in record.about.items() if name not in ("steps_computed", "seconds")}
    store.write(dataclasses.replace(record, status="running", about=known))
    (store.run_dir(record.run_id) / "curve.jsonl").unlink()
    about = go(tiny, store).about
    assert about["started_from"]["step"] == 9 and about["steps_computed"] == tiny.steps

"""Checkpoints written in the background, and those of earlier versions."""

import os
import tarfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scaling.program import checkpoint, checkpoint_writer
from scaling.program.checkpoint_files import LocalCheckpoint, named_leaves
from scaling.program.checkpoint_writer import Checkpoint, CheckpointWriter
from scaling.store.lease import LeaseLostError
from tests.support.commands import ROOT

NAME = "00000003-b993d3ee2a112f0c05687737f42eaabc7fb12b87500bd2a0c4817eddb5bae285"
CURVE = [{"step": 1.0, "loss": 5.5}, {"step": 3.0, "loss": 5.25}]


def small_state() -> dict:
    """The state in tests/golden/checkpoints.tar.xz."""
    w_DF = jnp.arange(24, dtype=jnp.float32).reshape(4, 6)
    return {"params": {"w_DF": w_DF, "b_F": jnp.arange(6).astype(jnp.bfloat16)}, "count": jnp.int32(3)}


def abstract(state: dict) -> dict:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state)


def assert_equal(a: dict, b: dict) -> None:
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))


@pytest.mark.parametrize("version", ["sums", "digests"])
def test_checkpoints_of_earlier_versions_open(version: str, tmp_path: Path) -> None:
    """Written by commit 29ecc66; `digests` has a manifest as before runs on several hosts."""
    with tarfile.open(ROOT / "tests" / "golden" / "checkpoints.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    path, expected = tmp_path / version / NAME, small_state()
    state, curve = checkpoint.restore_checkpoint(path, abstract(expected))
    assert_equal(state, expected)
    assert curve == CURVE
    assert checkpoint.saved_cost(path) == ({"seconds": 1.5} if version == "sums" else {})
    assert_equal(checkpoint.restore_params(path, abstract(expected)["params"]), expected["params"])


def test_a_state_that_is_donated_at_once_is_saved_as_it_was(tmp_path: Path) -> None:
    state = {"params": {f"w{i}_DF": jnp.full((600, 500), i, jnp.float32) for i in range(4)}}
    expected = jax.tree.map(np.array, state)
    step = jax.jit(lambda tree: jax.tree.map(lambda x: x + 1, tree), donate_argnums=0)
    writer, files = CheckpointWriter(), LocalCheckpoint(tmp_path / NAME)
    writer.save(Checkpoint(files, 3, CURVE, {}), state)
    for _ in range(5):
        state = step(state)
    writer.wait()
    restored, curve = checkpoint.restore_checkpoint(files, abstract(state))
    assert_equal(restored, expected)
    assert curve == CURVE


def test_training_waits_for_the_copy_and_the_next_save_for_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    proceed, stages, write = threading.Event(), [], checkpoint_writer.wait_for_arrays

    def write_when_allowed(orbax: object) -> None:
        assert proceed.wait(60)
        write(orbax)

    monkeypatch.setattr(checkpoint_writer, "wait_for_arrays", write_when_allowed)
    writer = CheckpointWriter()
    first, second = (LocalCheckpoint(tmp_path / f"0000000{i}-{'a' * 64}") for i in (1, 2))
    writer.save(Checkpoint(first, 1, CURVE, {}, complete=lambda: stages.append("first")), small_state())
    assert not first.exists() and not stages  # training goes on
    proceed.set()
    writer.save(Checkpoint(second, 2, CURVE, {}, complete=lambda: stages.append("second")), small_state())
    assert first.exists() and stages[0] == "first"
    writer.wait()
    assert second.exists() and stages == ["first", "second"]
    assert not list(tmp_path.glob(".writing-*"))


def test_the_error_of_a_save_in_the_background_is_one_line_at_the_next_one(tmp_path: Path) -> None:
    files, writer = LocalCheckpoint(tmp_path / NAME), CheckpointWriter()

    def lose_lease() -> None:
        raise LeaseLostError("another process took it over")

    def fail() -> None:
        raise OSError(28, "No space left on device", str(tmp_path))

    for check, error, text in ((lose_lease, LeaseLostError, "took it over"), (fail, checkpoint.CheckpointError, NAME)):
        writer.save(Checkpoint(files, 3, CURVE, {}, check=check), small_state())
        with pytest.raises(error, match=text) as raised:
            writer.wait()
        assert "\n" not in str(raised.value)
        assert not writer.failed and not list(tmp_path.iterdir())  # nothing is left
    writer.save(Checkpoint(files, 3, CURVE, {}, check=fail), small_state())
    assert "could not be written: No space left on device" in writer.close()
    writer.save(Checkpoint(files, 3, CURVE, {}), small_state())
    writer.wait()
    assert files.exists() and sorted(named_leaves(small_state())) == ["count", "params.b_F", "params.w_DF"]


def test_a_pipe_or_folder_in_place_of_a_file_of_a_checkpoint_is_an_error_and_no_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "manifest.json")
    (tmp_path / "curve.parquet").mkdir()
    for file in ("manifest.json", "curve.parquet", "missing"):
        with pytest.raises(OSError, match=file):
            LocalCheckpoint(tmp_path).read(file)

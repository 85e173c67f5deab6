"""TensorBoard event files and folders of runs."""

from __future__ import annotations

import os
import re
import struct
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from analysis import laws
from analysis.__main__ import main
from analysis.data.load import load
from analysis.data.options import ReadOptions
from analysis.data.sources.readers import is_store, read_table
from analysis.errors import DataError
from scaling.training.tracking.tensorboard import bytes_field, event, string_field, tfrecord, varint_field
from tests.support.tables import refusal

SIZES, TOKENS_PER_STEP = (1e7, 3e7, 1e8), 1e6


def scalars(step: int, **values: float) -> bytes:
    """The record of a step with scalars by tag; __ in a name stands for a slash."""
    tags = {name.replace("__", "/"): b"\x15" + struct.pack("<f", value) for name, value in values.items()}
    fields = [bytes_field(1, string_field(1, tag) + value) for tag, value in tags.items()]
    return tfrecord(event(step, bytes_field(5, b"".join(fields))))


def hparams(**values: float | str) -> bytes:
    """The record of the plugin hparams with hyperparameters."""
    entries = b""
    for name, value in values.items():
        protobuf_value = string_field(3, value) if isinstance(value, str) else b"\x11" + struct.pack("<d", value)
        entries += bytes_field(1, string_field(1, name) + bytes_field(2, protobuf_value))
    plugin = string_field(1, "hparams") + bytes_field(2, bytes_field(3, entries))
    value = string_field(1, "_hparams_/session_start_info") + bytes_field(9, bytes_field(1, plugin))
    return tfrecord(event(0, bytes_field(5, bytes_field(1, value))))


def write_events(folder: Path, *records: bytes, name: str = "events.out.tfevents.1") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(tfrecord(event(0, string_field(3, "brain.Event:2"))) + b"".join(records))
    return path


def write_runs(root: Path) -> None:
    """A run per size: training loss at every step, tokens at even steps, validation loss at every third step."""
    for N in SIZES:
        records = [hparams(n_params=N, activation="gelu")]
        for step in range(1, 11):
            records.append(scalars(step, train__loss=5 - 0.1 * step))
            if step % 2 == 0:
                records.append(scalars(step, train__tokens_seen=TOKENS_PER_STEP * step))
            if step % 3 == 0:
                records.append(scalars(step, val_loss=4 - 0.1 * step - N / 1e9))
        write_events(root / f"n{N / 1e6:g}M", *records)


def test_each_folder_is_a_run_whose_last_validation_loss_is_a_point(tmp_path: Path) -> None:
    write_runs(tmp_path)
    assert not is_store(tmp_path)
    points = load(tmp_path, options=ReadOptions(checkpoints="final"))
    order = np.argsort(points.N)
    assert points.N[order].tolist() == list(SIZES) and sorted(name.split()[0] for name in points.names) == [
        "n100M",
        "n10M",
        "n30M",
    ]
    assert points.D.tolist() == [9 * TOKENS_PER_STEP] * 3  # step 9, between the tokens of 8 and 10
    assert points.L[order] == pytest.approx([3.1 - N / 1e9 for N in SIZES], rel=1e-6)
    assert any("train/tokens_seen interpolated" in note for note in points.notes)
    assert "21 rows of curves without val_loss left out" in points.notes


def test_values_of_steps_are_those_that_tensorboard_reads(tmp_path: Path) -> None:
    sys.modules.setdefault("tensorboard.compat.notf", types.ModuleType("tensorboard.compat.notf"))
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    write_runs(tmp_path)
    events = accumulator.EventAccumulator(str(tmp_path / "n30M"), size_guidance={"scalars": 0}).Reload()
    frame = read_table(tmp_path / "n30M").frame
    for tag in ("train/loss", "val_loss"):
        rows = frame[frame[tag].notna()]
        assert [(e.step, e.value) for e in events.Scalars(tag)] == list(zip(rows["step"], rows[tag], strict=True))


def test_tensors_doubles_and_folders_of_a_run_are_read(tmp_path: Path) -> None:
    """TensorFlow 2 writes tensors, Keras folders for training and validation, PyTorch one for hyperparameters."""
    tensor = varint_field(1, 1) + bytes_field(4, struct.pack("<f", 2.5))
    double = varint_field(1, 2) + bytes_field(6, struct.pack("<d", 0.1))
    for split, message in (("train", tensor), ("validation", double)):
        value = bytes_field(1, string_field(1, "epoch_loss") + bytes_field(8, message))
        write_events(tmp_path / "run" / split, tfrecord(event(3, bytes_field(5, value))))
    write_events(tmp_path / "run", scalars(3, tokens=1e6))
    write_events(tmp_path / "run" / "1795988185.5", hparams(n_params=1e7), scalars(3, final=2.0))
    write_events(tmp_path / "run" / "loss_val", scalars(3, loss=2.25))
    frame = read_table(tmp_path).frame
    assert frame["run"].tolist() == ["run"]
    row = frame.iloc[0]
    assert row["train/epoch_loss"] == 2.5 and row["validation/epoch_loss"] == 0.1 and row["loss/val"] == 2.25
    assert row["n_params"] == 1e7 and row["tokens"] == 1e6


def test_a_folder_of_runs_is_no_store_to_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_runs(tmp_path)
    assert main(["table", str(tmp_path)]) == 2 and "not a store" in capsys.readouterr().err
    assert main(["fit", str(tmp_path), "--law", "power-n", "--bootstrap", "100"]) == 1
    assert "power-n" in capsys.readouterr().err
    (tmp_path / "runs").mkdir()  # the event files of a store are not its runs
    assert is_store(tmp_path)


def test_a_restart_replaces_the_steps_after_it(tmp_path: Path) -> None:
    write_events(tmp_path / "a", *(scalars(step, loss=float(step)) for step in range(1, 9)), name="events.tfevents.1")
    write_events(tmp_path / "a", *(scalars(step, loss=10.0 + step) for step in (4, 5)), name="events.tfevents.2")
    frame = read_table(tmp_path).frame
    assert frame["loss"].tolist() == [1, 2, 3, 14, 15]


def test_sizes_can_come_from_folder_names_and_curves_go_to_laws_of_steps(tmp_path: Path) -> None:
    for N in ("70M", "1.4B"):
        write_events(tmp_path / f"n{N}-s0", *(scalars(step, tokens=1e6 * step, loss=4 - step / 10) for step in (1, 2)))
    points = load(tmp_path, options=ReadOptions(run_names="n{N}-*", checkpoints="final"))
    assert sorted(points.N) == [7e7, 1.4e9] and points.D.tolist() == [2e6, 2e6]
    steps = laws.Law(lambda S, *, E: E + 0 * S, "", {"E": (1.0,)})
    assert load(tmp_path, steps)["S"].tolist() == [1, 2, 1, 2]


def test_the_incomplete_end_of_a_running_file_is_left_out_and_said(tmp_path: Path) -> None:
    path = write_events(tmp_path, scalars(1, loss=3.0), scalars(2, loss=2.0))
    path.write_bytes(path.read_bytes()[:-5])
    table = read_table(path)
    assert table.frame["loss"].tolist() == [3.0] and any("incomplete" in note for note in table.notes)


def test_records_of_images_are_skipped_whatever_they_hold(tmp_path: Path) -> None:
    path = write_events(tmp_path, tfrecord(event(1, bytes_field(5, bytes(1 << 17)))), scalars(2, loss=2.0))
    assert read_table(path).frame["loss"].tolist() == [2.0]


def damaged(data: bytes) -> list[tuple[bytes, str]]:
    flipped = bytearray(data)
    flipped[-8] ^= 1
    length = struct.pack("<Q", 1 << 62)
    return [
        (b"not an event file, but text", "does not begin with a record"),
        (bytes(flipped), "wrong checksum"),
        (length + bytes(40), "does not begin with a record"),
        (tfrecord(b"\xff" * 30), "not valid"),
        (tfrecord(b"\x2a\x7f\x01"), "not valid"),
        (tfrecord(event(1, bytes_field(5, bytes_field(1, b"\x15\x00")))), "not valid"),
        (tfrecord(event(1, varint_field(5, 7) + varint_field(7, 7))), "no scalars"),
        (b"", "no scalars"),
    ]


def test_damaged_files_are_refused_in_one_line(tmp_path: Path) -> None:
    path = write_events(tmp_path, scalars(1, loss=3.0))
    for data, message in damaged(path.read_bytes()):
        path.write_bytes(data)
        assert message in refusal(path), data[:20]
        assert message in refusal(tmp_path)


def test_a_run_without_scalars_and_a_file_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    write_runs(tmp_path)
    path = write_events(tmp_path / "empty")
    path.write_bytes(b"")
    assert "1 run without scalars left out: empty" in read_table(tmp_path).notes
    for kind, reason in (("folder", "is a folder"), ("link to itself", "cannot be read"), ("pipe", "is a FIFO")):
        path.unlink()
        os.mkfifo(path) if kind == "pipe" else path.mkdir() if kind == "folder" else path.symlink_to(path)
        with pytest.raises(DataError, match=re.escape(f"{path}: {reason}")):
            read_table(tmp_path)
        if path.is_dir():
            path.rmdir()
            path.touch()
    (tmp_path / "empty").rename(tmp_path / "my-tfevents")  # the name of a user's folder
    path = tmp_path / "my-tfevents" / path.name
    path.unlink()
    path.touch()
    assert "1 run without scalars left out: my-tfevents" in read_table(tmp_path).notes

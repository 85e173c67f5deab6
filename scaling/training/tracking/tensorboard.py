"""Training curves for TensorBoard: STORE/tensorboard/WIDTHxLAYERS-STEPS-RUN_ID[:12]/events..., one file per run.

`tensorboard --logdir STORE/tensorboard` shows them. The points depend on the curve alone: every step of a short run,
about POINTS of a long one, and each evaluation. A resumed run gets a new file with all points so far, and the old file
is emptied, so that no point occurs twice. Figures about the machine (tags machine/...) have points at the same steps; a
new file gets those of the old ones up to the step at which the run resumes.

The module writes the format itself: TFRecords of Event messages (tensorflow/core/util/event.proto) with six fields.
tensorboardX was measured: its import costs a quarter of the processor time of all other imports of the trainer, and
more than all of them where torch is installed, which it imports, as it does boto3 and google.cloud.storage. It also has
no way to begin a file with the points of another one atomically, on which a resumed run depends.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

from scaling.config.os_errors import name_file
from scaling.config.run import RunConfig, run_id
from scaling.store.files import write_atomic
from scaling.store.origin.clock import time_of_day
from scaling.store.record import Record, Store
from scaling.store.verification.masked_crc import masked_crc

POINTS = 1000  # per curve, without evaluations; TensorBoard displays at most this many
TAGS = {"loss": "loss/train", "val_loss": "loss/held-out"}  # other columns keep their names
MACHINE = "machine/"  # start of the tags of figures about the machine
FRAME_BYTES = 16  # of a TFRecord besides its content: length and two checksums
MACHINE_KEY_BYTES = 24  # keys and lengths of Summary, Value and tag, and the start of the tag
UPLOAD_SECONDS = 30.0  # least time between two uploads of a growing file
Rows = Sequence[dict[str, float]]


class TensorBoard:
    """The event file of a run during training."""

    def __init__(self, store: Store, config: RunConfig, rows: Rows) -> None:
        """Starts a new file with the curve so far; does nothing on hosts that do not write."""
        self.config, self.store = config, store
        folder = store.root / "tensorboard" / title(config)
        self.path = folder / f"events.out.tfevents.{int(1000 * time_of_day()):013d}" if store.writes else None
        if self.path is None:
            return
        older = list(folder.glob("events.out.tfevents.*"))
        # a reader of the older file drops its points when it reads a session start at step 0
        header = [event(0, string_field(3, "brain.Event:2")), event(0, bytes_field(7, varint_field(1, 1)))]
        last = int(rows[-1]["step"]) if rows else 0
        figures = [record for path in sorted(older) for record in machine_records(path.read_bytes(), last)]
        write_atomic(self.path, b"".join([*map(tfrecord, header), self.frames(rows), *figures]))
        store.upload(self.path)
        for path in older:
            _retire(store, path)

    def add(self, rows: Rows, figures: Mapping[str, float] | None = None) -> None:
        """Adds new rows, and figures about the machine if one of the rows is a point.

        Args:
            rows: The rows.
            figures: Figures after the last row, by tag; each tag starts with MACHINE.
        """
        data = self.frames(rows)
        if data and figures:
            data += tfrecord(event(int(rows[-1]["step"]), bytes_field(5, summary(figures))))
        if self.path is not None and data:
            with contextlib.suppress(FileNotFoundError), name_file(self.path), self.path.open("r+b") as file:
                if not file.seek(0, os.SEEK_END):  # emptied: another process has taken the run over
                    return
                file.write(data)
                file.flush()
                self.store.upload(self.path, every=UPLOAD_SECONDS)

    def end(self, record: Record) -> None:
        """Copies the complete file to a remote store; on disk it is complete after each `add`."""
        if self.path is not None and self.path.exists():
            self.store.upload(self.path)

    def frames(self, rows: Rows) -> bytes:
        """Returns the TFRecords of the rows that are points."""
        points = [row for row in rows if is_point(self.config, row)]
        return b"".join(tfrecord(event(int(row["step"]), bytes_field(5, summary(row)))) for row in points)


def _retire(store: Store, path: Path) -> None:
    """Empties an older file, or removes it if it is already empty: a reader may still have a non-empty file open."""
    if path.stat().st_size:
        path.write_bytes(b"")
        store.upload(path)
    else:
        path.unlink(missing_ok=True)
        store.discard(path)


def title(config: RunConfig) -> str:
    """Returns a readable name of a run: size, steps and the first characters of its id."""
    return f"{config.model.width}x{config.model.layers}-{config.steps}-{run_id(config)[:12]}"


def is_point(config: RunConfig, row: dict[str, float]) -> bool:
    """Whether a row of the curve is a point of the file.

    Args:
        config: The run.
        row: Row of the curve.
    """
    step = int(row["step"])
    return step % -(-config.steps // POINTS) == 0 or step == config.steps or "val_loss" in row


def event(step: int, field: bytes) -> bytes:
    """Returns an Event: wall_time (1, double), step (2), and a field (3 file_version, 5 summary or 7 session_log).

    Args:
        step: Number of finished steps.
        field: The encoded field.
    """
    return b"\x09" + struct.pack("<d", time_of_day()) + varint_field(2, step) + field


def summary(row: Mapping[str, float]) -> bytes:
    """Returns a Summary: per column of a row a Value (1) with tag (1, string) and simple_value (2, float)."""
    values = [(TAGS.get(name, name), value) for name, value in row.items() if name != "step"]
    return b"".join(bytes_field(1, string_field(1, tag) + b"\x15" + struct.pack("<f", value)) for tag, value in values)


def tfrecord(data: bytes) -> bytes:
    """Returns a TFRecord: length, its checksum, data, their checksum."""
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked_crc(length)) + data + struct.pack("<I", masked_crc(data))


def machine_records(data: bytes, last_step: int) -> list[bytes]:
    """Returns the TFRecords with figures about the machine up to a step, until the first damaged record.

    Args:
        data: Content of an event file of this module.
        last_step: Last step of the returned points.
    """
    records, position = [], 0
    while position + FRAME_BYTES < len(data):
        (length,) = struct.unpack_from("<Q", data, position)
        record = data[position : position + FRAME_BYTES + length]
        content = record[12 : 12 + length]
        if record != tfrecord(content):
            break
        position += len(record)
        step, size = 0, 0
        for size, byte in enumerate(content[10:]):  # after wall_time and the key of the step
            step |= (byte & 0x7F) << 7 * size
            if byte < 0x80:
                break
        if step <= last_step and MACHINE.encode() in content[11 + size : 11 + size + MACHINE_KEY_BYTES]:
            records.append(record)
    return records


def varint(value: int) -> bytes:
    """Returns a non-negative integer as a protocol-buffer varint, seven bits per byte."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def varint_field(field: int, value: int) -> bytes:
    """Returns a protocol-buffer field with an integer.

    Args:
        field: Number of the field.
        value: Its value.
    """
    return varint(field << 3) + varint(value)


def bytes_field(field: int, data: bytes) -> bytes:
    """Returns a protocol-buffer field with bytes or a message.

    Args:
        field: Number of the field.
        data: Its bytes.
    """
    return varint(field << 3 | 2) + varint(len(data)) + data


def string_field(field: int, value: str) -> bytes:
    """Returns a protocol-buffer field with a string.

    Args:
        field: Number of the field.
        value: Its value.
    """
    return bytes_field(field, value.encode())

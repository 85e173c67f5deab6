"""A run's curve for TensorBoard: STORE/tensorboard/WIDTHxLAYERS-STEPS-RUN_ID[:12]/events..., one file a run.

`tensorboard --logdir STORE/tensorboard` shows them. The file's points are a function of the curve alone: every step of
a short run, some POINTS of a long one, and each evaluation. A run that is taken in hand again gets a new file with all
its points so far, and the old one is emptied: no point is there twice.

The format is written here: records framed as TFRecord, each an Event (tensorflow/core/util/event.proto), of which we
need six fields. The libraries that write it import torch where it is installed, or half a second of other things.
"""

from __future__ import annotations

import contextlib
import functools
import os
import struct
import time
from collections.abc import Sequence
from pathlib import Path

from scaling.config.run import RunConfig, run_id
from scaling.store.files import write_atomic
from scaling.store.record import Record, Store

POINTS = 1000  # of a curve, evaluations aside: as many as TensorBoard keeps of one
TAGS = {"loss": "loss/train", "val_loss": "loss/held-out"}  # the others are called as in the curve
PUT_SECONDS = 30.0  # between two copies of a growing file to a store that is elsewhere
POLYNOMIAL = 0x82F63B78  # CRC-32C, reflected (RFC 3720, appendix B.4)
Rows = Sequence[dict[str, float]]


class TensorBoard:
    """The event file of a run under way."""

    def __init__(self, store: Store, config: RunConfig, rows: Rows) -> None:
        """Begins the file anew with the rows of the curve so far; nothing on hosts that leave writing to another."""
        self.config, self.store = config, store
        folder = store.root / "tensorboard" / title(config)
        self.path = folder / f"events.out.tfevents.{time.time_ns() // 10**6:013d}" if store.writes else None
        if self.path is None:
            return
        older = list(folder.glob("events.out.tfevents.*"))
        # a reader that has seen the older file forgets its points when it comes to a start at step 0
        beginning = [event(0, text(3, "brain.Event:2")), event(0, part(7, number(1, 1)))]
        write_atomic(self.path, b"".join(map(framed, beginning)) + self.frames(rows))
        store.put(self.path)
        for path in older:
            _retire(store, path)

    def add(self, rows: Rows) -> None:
        """New rows of the curve."""
        data = self.frames(rows)
        if self.path is not None and data:
            with contextlib.suppress(FileNotFoundError), self.path.open("r+b") as file:
                if not file.seek(0, os.SEEK_END):  # retired: another process has taken the run over
                    return
                file.write(data)
                file.flush()
                self.store.put(self.path, every=PUT_SECONDS)

    def end(self, record: Record) -> None:
        """All is on disk, as add keeps nothing open; what is elsewhere too has its end now."""
        if self.path is not None and self.path.exists():
            self.store.put(self.path)

    def frames(self, rows: Rows) -> bytes:
        """The events of those rows that are points."""
        kept = [row for row in rows if is_point(self.config, row)]
        return b"".join(framed(event(int(row["step"]), part(5, summary(row)))) for row in kept)


def _retire(store: Store, path: Path) -> None:
    """Empties an older file, and takes away one that is empty: a reader that is at it would be lost without it."""
    if path.stat().st_size:
        path.write_bytes(b"")
        store.put(path)
    else:
        path.unlink(missing_ok=True)
        store.drop(path)


def title(config: RunConfig) -> str:
    """A run's name for people: its size, its steps and the beginning of its id."""
    return f"{config.model.width}x{config.model.layers}-{config.steps}-{run_id(config)[:12]}"


def is_point(config: RunConfig, row: dict[str, float]) -> bool:
    """Whether a row of the curve is shown."""
    step = int(row["step"])
    return step % -(-config.steps // POINTS) == 0 or step == config.steps or "val_loss" in row


def event(step: int, what: bytes) -> bytes:
    """An Event of now: wall_time (1, double), step (2), and `what` (3 file_version, 5 summary or 7 session_log)."""
    return b"\x09" + struct.pack("<d", time.time()) + number(2, step) + what


def summary(row: dict[str, float]) -> bytes:
    """A Summary: for each figure of a row a Value (1) of tag (1, string) and simple_value (2, float)."""
    figures = [(TAGS.get(name, name), value) for name, value in row.items() if name != "step"]
    return b"".join(part(1, text(1, tag) + b"\x15" + struct.pack("<f", value)) for tag, value in figures)


def framed(data: bytes) -> bytes:
    """A TFRecord: length, its checksum, data, its checksum."""
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked(length)) + data + struct.pack("<I", masked(data))


def masked(data: bytes) -> int:
    """CRC-32C of data, rotated and shifted as TFRecord has it."""
    crc, table = 0xFFFFFFFF, _table()
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


@functools.cache
def _table() -> list[int]:
    table = []
    for crc in range(256):
        for _ in range(8):
            crc = (crc >> 1) ^ (POLYNOMIAL if crc & 1 else 0)
        table.append(crc)
    return table


def varint(value: int) -> bytes:
    """A number above -1 as protocol buffers have it, seven bits a byte."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def part(field: int, data: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(data)) + data


def text(field: int, value: str) -> bytes:
    return part(field, value.encode())

"""Reads TensorBoard event files: scalars by tag and step, and hyperparameters.

An event file is a sequence of TFRecords (length, checksum, data, checksum; tensorflow/core/lib/io/record_writer.h),
each with an Event message (tensorflow/core/util/event.proto). The few fields that hold scalars and hyperparameters are
decoded here: TensorFlow takes seconds to import and is not a dependency.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from analysis.errors import DataError
from scaling.store.verification.masked_crc import masked_crc

MAX_RECORD = 1 << 16  # longer records are images, audio or histograms, which are skipped unread
FLOAT, DOUBLE = 1, 2  # DataType in TensorProto
SESSION_START = 1  # SessionLog.status


@dataclass
class RunEvents:
    """Events of one run.

    Attributes:
        scalars: Value by tag and step.
        hparams: Hyperparameters by name.
        truncated: Files whose last record is incomplete, as of a run that is still writing.
    """

    scalars: dict[str, dict[int, float]] = field(default_factory=dict)
    hparams: dict[str, Any] = field(default_factory=dict)
    truncated: list[Path] = field(default_factory=list)

    def add(self, step: int, tag: str, value: float) -> None:
        """Adds a value. A step that is not after the last one of its tag replaces all from that step on (a restart).

        Args:
            step: Step of the run.
            tag: Name of the quantity.
            value: Its value.
        """
        values = self.scalars.setdefault(tag, {})
        if values and step <= next(reversed(values)):
            self.scalars[tag] = values = {earlier: v for earlier, v in values.items() if earlier < step}
        values[step] = value

    def restart(self, step: int) -> None:
        """Removes values from a step on: the run was restarted there."""
        self.scalars = {tag: {s: v for s, v in values.items() if s < step} for tag, values in self.scalars.items()}


def read_events(files: list[Path]) -> RunEvents:
    """Reads the event files of one run, in the order of their creation.

    Raises:
        DataError: A file is not an event file, or is damaged.
    """
    events = RunEvents()
    for path in files:
        try:
            for record in _records(path, events):
                _read_event(_message(record), events)
        except (struct.error, ValueError, IndexError, OverflowError) as error:
            raise DataError(f"{path}: damaged event file: {error}") from None
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    return events


def _records(path: Path, events: RunEvents) -> Iterator[bytes]:
    """Data of the records of a file that can hold scalars; the incomplete record at its end is left out."""
    size, position = path.stat().st_size, 0
    with path.open("rb") as file:
        while position < size:
            header = file.read(12)
            if len(header) < 12:
                events.truncated.append(path)
                return
            (length,), (checksum,) = struct.unpack("<Q", header[:8]), struct.unpack("<I", header[8:])
            if masked_crc(header[:8]) != checksum:
                raise ValueError(
                    f"wrong checksum at byte {position}" if position else "it does not begin with a record"
                )
            position += 12 + length + 4
            if position > size:
                events.truncated.append(path)
                return
            if length > MAX_RECORD:
                file.seek(length + 4, 1)
                continue
            data, stored = file.read(length), file.read(4)
            if masked_crc(data) != struct.unpack("<I", stored)[0]:
                raise ValueError(f"wrong checksum of the record that ends at byte {position}")
            yield data


@dataclass(frozen=True)
class _Message:
    """Fields of a protocol-buffer message by number; a field of another type than expected is unknown.

    Attributes:
        integers: Values of integer fields.
        data: Bytes of the other fields: messages, text, and numbers of 4 or 8 bytes.
    """

    integers: dict[int, list[int]]
    data: dict[int, list[bytes]]

    def integer(self, number: int) -> int:
        """Returns the last value of an integer field, 0 if there is none."""
        return self.integers.get(number, [0])[-1]

    def messages(self, number: int) -> list[_Message]:
        """Returns the messages in a field."""
        return [_message(data) for data in self.data.get(number, [])]

    def text(self, number: int) -> str:
        """Returns the last text in a field, empty if there is none."""
        return self.data.get(number, [b""])[-1].decode("utf-8", "replace")


def _message(data: bytes) -> _Message:
    message = _Message({}, {})
    position, end = 0, len(data)
    while position < end:
        key, position = _varint(data, position)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, position = _varint(data, position)
            message.integers.setdefault(number, []).append(value)
            continue
        length = {1: 8, 5: 4}.get(wire)
        if length is None and wire == 2:
            length, position = _varint(data, position)
        if length is None or position + length > end:
            raise ValueError("a field of a record is not valid")
        message.data.setdefault(number, []).append(data[position : position + length])
        position += length
    return message


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position += 1
        if not byte & 0x80:
            return value, position
    raise ValueError("an integer of a record is not valid")


def _number(code: str, data: bytes) -> float | None:
    """Number that fills the data, None if it has another size."""
    return float(struct.unpack(code, data)[0]) if len(data) == struct.calcsize(code) else None


def _read_event(event: _Message, events: RunEvents) -> None:
    """Adds the scalars and hyperparameters of an Event: step (2), summary (5), session_log (7)."""
    step = event.integer(2)
    if step >= 1 << 63:
        raise ValueError("a step is negative")
    for log in event.messages(7):
        if log.integer(1) == SESSION_START:
            events.restart(step)
    for summary in event.messages(5):
        for value in summary.messages(1):
            number = _scalar(value)
            if number is not None:
                events.add(step, value.text(1), number)
            events.hparams.update(_hparams(value))


def _scalar(value: _Message) -> float | None:
    """Scalar of a Summary.Value: simple_value (2), or tensor (8) with one float or double; None for other values."""
    if 2 in value.data:
        return _number("<f", value.data[2][-1])
    for tensor in value.messages(8)[-1:]:
        code, typed = {FLOAT: ("<f", 5), DOUBLE: ("<d", 6)}.get(tensor.integer(1), ("", 0))
        data = (tensor.data.get(typed) or tensor.data.get(4) or [b""])[-1]  # float_val or double_val, or tensor_content
        return _number(code, data) if code else None
    return None


def _hparams(value: _Message) -> dict[str, Any]:
    """Hyperparameters of a Summary.Value of the plugin hparams: metadata (9), plugin_data (1), its name and content.

    The content is HParamsPluginData with session_start_info (3), whose field 1 maps names to google.protobuf.Value.
    """
    hparams: dict[str, Any] = {}
    for metadata in value.messages(9):
        for plugin in metadata.messages(1):
            if plugin.text(1) != "hparams":
                continue
            for content in plugin.messages(2):
                for start in content.messages(3):
                    for entry in start.messages(1):
                        for setting in entry.messages(2):
                            hparams[entry.text(1)] = _protobuf_value(setting)
    return hparams


def _protobuf_value(value: _Message) -> Any:
    """A google.protobuf.Value: number (2), text (3) or boolean (4); None for other values."""
    if 2 in value.data:
        number = _number("<d", value.data[2][0])
        return number if number is not None and math.isfinite(number) else None
    if 3 in value.data:
        return value.text(3)
    return bool(value.integer(4)) if 4 in value.integers else None

"""The text of one record: UTF-8, a field of a JSON object, or a feature of a tf.train.Example."""

from __future__ import annotations

import json

from scaling.data.tokens import CorpusError

SHOWN = 40  # characters of a value, in a message
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types of Protocol Buffers
FIXED_BYTES = {FIXED64: 8, FIXED32: 4}


class RecordError(CorpusError):
    """A record that cannot be used.

    Attributes:
        offset: Byte of the record at which the fault is; None where there is no such place.
    """

    def __init__(self, problem: str, offset: int | None = None) -> None:
        """Makes the error.

        Args:
            problem: What is wrong, and what to do.
            offset: Byte of the record.
        """
        super().__init__(problem)
        self.offset = offset


def check_utf8(data: bytes) -> bytes:
    """Returns text as it is; RecordError where it is not UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise RecordError("is not UTF-8", error.start) from None
    return data


def json_text(data: bytes, field: str) -> bytes:
    """Returns the text in a field of a JSON object.

    Args:
        data: The object, in UTF-8.
        field: Name of the field.

    Raises:
        RecordError: It is not UTF-8, no JSON object, or has no text in this field.
    """
    try:
        text = data.decode()
        value = json.loads(text)
    except UnicodeDecodeError as error:
        raise RecordError("is not UTF-8", error.start) from None
    except json.JSONDecodeError as error:
        raise RecordError(f"broken JSON ({error.msg})", len(text[: error.pos].encode())) from None
    except (ValueError, RecursionError):  # an integer of thousands of digits, or nesting as deep
        raise RecordError("broken JSON (too deep, or a number too long)", 0) from None
    if not isinstance(value, dict):
        raise RecordError(f"is not a JSON object: must have its text in a field {field}", 0)
    if field not in value:
        fields = ", ".join(list(value)[:10]) or "none"
        raise RecordError(f"has no field {field}: its fields are {fields}: choose one with field=", 0)
    document = value[field]
    if not isinstance(document, str):
        raise RecordError(f"{field} = {json.dumps(document)[:SHOWN]} is not text: choose another with field=", 0)
    try:
        return document.encode()
    except UnicodeEncodeError:
        raise RecordError(f"{field} has half of a surrogate pair", 0) from None


def example_text(data: bytes, feature: str) -> bytes:
    """Returns the text in a feature of a serialised tf.train.Example: its only bytes value.

    The message is `Example{Features features = 1}`, `Features{map<string, Feature> feature = 1}` and
    `Feature{BytesList bytes_list = 1}`, `BytesList{repeated bytes value = 1}` (tensorflow/core/example).

    Args:
        data: The message.
        feature: Name of the feature.

    Raises:
        RecordError: It is no such message, or has no text in this feature.
    """
    try:
        entries = [parse_fields(entry) for features in parse_fields(data)[1] for entry in parse_fields(features)[1]]
        values = {entry[1][-1].decode(): parse_fields(entry[2][-1]) for entry in entries if entry[1] and entry[2]}
    except (IndexError, UnicodeDecodeError, ValueError):
        raise RecordError("is neither a JSON object nor a tf.train.Example") from None
    if feature not in values:
        names = ", ".join(sorted(values)[:10]) or "none"
        raise RecordError(f"has no feature {feature}: its features are {names}: choose one with field=")
    try:
        texts = [text for texts in values[feature][1] for text in parse_fields(texts)[1]]
    except (IndexError, ValueError):
        texts = []
    if len(texts) != 1:
        raise RecordError(f"feature {feature} has {len(texts)} texts: must have one: choose another with field=")
    return check_utf8(texts[0])


class Fields(dict[int, list[bytes]]):
    """Fields of a message by their numbers: the bytes of each occurrence; a number that does not occur is empty."""

    def __missing__(self, number: int) -> list[bytes]:
        """Returns an empty list."""
        return []


def parse_fields(message: bytes) -> Fields:
    """Parses the length-delimited fields of a message of Protocol Buffers; others are passed over.

    Raises:
        IndexError: The message is truncated.
        ValueError: It has a wire type that does not exist any more.
    """
    fields, position = Fields(), 0
    while position < len(message):
        key, position = parse_varint(message, position)
        wire_type = key & 7
        if wire_type == VARINT:
            _, position = parse_varint(message, position)
            continue
        if wire_type == BYTES:
            size, position = parse_varint(message, position)
        elif wire_type in FIXED_BYTES:
            size = FIXED_BYTES[wire_type]
        else:
            raise ValueError(wire_type)
        if position + size > len(message):
            raise IndexError(position)
        if wire_type == BYTES:
            fields.setdefault(key >> 3, []).append(message[position : position + size])
        position += size
    return fields


def parse_varint(message: bytes, position: int) -> tuple[int, int]:
    """Parses an integer of variable length, at most 10 bytes; returns it and the position after it."""
    value = 0
    for i in range(10):
        byte = message[position + i]
        value |= (byte & 0x7F) << (7 * i)
        if not byte & 0x80:
            return value, position + i + 1
    raise ValueError(position)

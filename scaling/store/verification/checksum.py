"""Checksum of a record: the last field of its JSON, SHA-256 of the JSON of the other fields without line breaks."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

FIELD = "checksum"
INDENT = re.compile(rb"\n *")  # a line break in JSON is never part of a text
LAST_FIELD = b',\n "checksum": '


def add_checksum(data: dict[str, Any]) -> dict[str, Any]:
    """Returns the JSON of a record with its checksum as the last field.

    Args:
        data: The record without a checksum; a NaN or infinity raises ValueError.
    """
    return data | {FIELD: _checksum_of(data)}


def has_right_checksum(data: dict[str, Any], content: bytes) -> bool:
    """Returns whether a record has no checksum, as those of earlier versions, or the right one.

    Args:
        data: The record.
        content: Its file. Only if it is not as it was written, such as with another indent, the JSON is made again.
    """
    if FIELD not in data:
        return True
    fields = content[: content.rfind(LAST_FIELD)]
    if hashlib.sha256(INDENT.sub(b"", fields) + b"}").hexdigest() == data[FIELD]:
        return True
    return _checksum_of({name: value for name, value in data.items() if name != FIELD}) == data[FIELD]


def _checksum_of(data: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(data, separators=(",", ": "), allow_nan=False).encode()).hexdigest()

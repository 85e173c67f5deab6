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


def is_as_written(content: bytes) -> bool:
    """Returns whether the file of a record ends with the checksum of the bytes before it; needs no parsing.

    Args:
        content: The file.
    """
    fields, found, end = content.rpartition(LAST_FIELD)
    if not found:
        return False
    digest = hashlib.sha256(INDENT.sub(b"", fields) + b"}").hexdigest()
    return end == f'"{digest}"\n}}\n'.encode()


def has_right_checksum(data: dict[str, Any]) -> bool:
    """Returns whether a record has no checksum, as those of earlier versions, or the right one.

    Its JSON is made again: only for a file that is not as it was written, such as with another indent.

    Args:
        data: The record.
    """
    return FIELD not in data or data[FIELD] == _checksum_of({k: v for k, v in data.items() if k != FIELD})


def _checksum_of(data: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(data, separators=(",", ": "), allow_nan=False).encode()).hexdigest()

"""Reads a user's file of questions, JSON lines or one JSON array, and numbers its entries as the user counts them."""

from __future__ import annotations

import codecs
import contextlib
import gzip
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from scaling.config.validation import ConfigError

GZIP_MAGIC = b"\x1f\x8b"
ENCODINGS = {  # by their byte order marks; the longer ones first, because one is the start of another
    codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16",
}  # fmt: skip
Value = TypeVar("Value")


@dataclass(frozen=True)
class Entry(Generic[Value]):
    """One entry of a file.

    Attributes:
        value: What the entry was parsed into.
        index: Its place among the entries of the file, from 0; blank lines are not entries, bad entries are.
        name: "line 3", or "item 3" of an array, from 1.
    """

    value: Value
    index: int
    name: str


def read_entries(
    path: Path, parse: Callable[[Any, str], Value], *, skip_bad: bool = False
) -> tuple[list[Entry[Value]], list[str]]:
    """Reads and parses the entries of a file: UTF-8, or UTF-16 or -32 with a byte order mark; also compressed by gzip.

    Args:
        path: The file.
        parse: Function (JSON value, location) -> value that raises ConfigError for a bad entry.
        skip_bad: Leave bad entries out instead of raising.

    Returns:
        The entries, and for each bad one that was left out a message.

    Raises:
        ConfigError: The file cannot be read, has no entries, or an entry is bad; the message names the file and line.
    """
    texts = split_entries(path, read_text(path))
    if not texts:
        raise ConfigError(f"{path}: has no questions")
    entries: list[Entry[Value]] = []
    bad: list[str] = []
    for index, (name, text) in enumerate(texts):
        location = f"{path}, {name}"
        try:
            entries.append(Entry(parse(parse_json(text, location), location), index, name))
        except ConfigError as error:
            if not skip_bad:
                raise
            bad.append(str(error))
    if not entries:
        raise ConfigError(f"{path}: none of its {len(texts)} entries can be used: {bad[0]}")
    return entries, bad


def read_text(path: Path) -> str:
    """Returns the text of a file; a ConfigError says why it cannot be read."""
    try:
        data = path.read_bytes()
        if data.startswith(GZIP_MAGIC):
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    encoding = next((name for mark, name in ENCODINGS.items() if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not {encoding.upper()} at byte {error.start}: must be text in UTF-8") from None


def split_entries(path: Path, text: str) -> list[tuple[str, str]]:
    """Returns name and text of each line that is not blank, or name and JSON of each item of an array of objects.

    Args:
        path: The file, for messages.
        text: Its text.
    """
    if text.lstrip().startswith("["):
        with contextlib.suppress(ConfigError):  # lines that start with a bracket: each is named below
            array = parse_json(text, str(path))
            if any(isinstance(value, dict) for value in array):
                return [(f"item {number}", json.dumps(value)) for number, value in enumerate(array, 1)]
    lines = text.split("\n")  # not splitlines: U+2028 and others may occur inside a JSON string
    return [(f"line {number}", line) for number, line in enumerate(lines, 1) if line.strip()]


def parse_json(text: str, location: str) -> Any:
    """Parses a JSON value.

    Args:
        text: The text.
        location: File and line, for messages.

    Raises:
        ConfigError: The text is not JSON.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{location}: not JSON: {error.msg}") from None
    except (ValueError, RecursionError) as error:  # an integer of thousands of digits, or thousands of brackets
        raise ConfigError(f"{location}: not JSON: {error}") from None

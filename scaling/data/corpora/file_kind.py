"""What a file is, by its first bytes and its name: text, JSON lines, or something that cannot be read as text."""

from __future__ import annotations

import codecs
import json
from pathlib import Path
from typing import Any

from scaling.data.tokens import CorpusError

TEXT, JSON_LINES = "text", "JSON lines"
HEAD_BYTES = 1 << 16  # of a file, that are read to find out what it is
UNPACK, CONVERT = "unpack it and give the files", "write its text as UTF-8, or as JSON lines with a field text"
UNPACK_LINES = "decompress it first, or prepare JSON lines as jsonl:PATH"
USE_PARQUET = "prepare it as parquet:PATH, with column= for its text"
DECOMPRESS, ENCODE = "decompress it first", "convert it to UTF-8 first"
LEAVE_OUT = "move it out of the folder"
BLANK = codecs.BOM_UTF8 + b" \t\r\n"
SIGNATURES = (  # offset, first bytes, what the file is, what to do
    (0, b"\x1f\x8b", "compressed by gzip", UNPACK_LINES), (0, b"\x28\xb5\x2f\xfd", "compressed by zstd", UNPACK_LINES),
    (0, b"\xfd7zXZ\x00", "compressed by xz", DECOMPRESS), (4, b"1AY&SY", "compressed by bzip2", DECOMPRESS),
    (0, b"\x04\x22\x4d\x18", "compressed by lz4", DECOMPRESS), (0, b"PK\x03\x04", "a zip archive", UNPACK),
    (0, b"PK\x05\x06", "a zip archive", UNPACK), (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (257, b"ustar", "a tar archive", UNPACK), (0, b"Rar!\x1a", "a rar archive", UNPACK),
    (0, b"PAR1", "a Parquet file", USE_PARQUET), (0, b"ARROW1", "an Arrow file", CONVERT),
    (0, b"FEA1", "a Feather file", CONVERT), (0, b"Obj\x01", "an Avro file", CONVERT),
    (0, b"\x89HDF", "an HDF5 file", CONVERT), (0, b"SQLite format 3\x00", "an SQLite database", CONVERT),
    (0, b"%PDF-", "a PDF document", CONVERT), (0, b"{\\rtf", "an RTF document", CONVERT),
    (0, b"\x89PNG", "an image", LEAVE_OUT), (0, b"\xff\xd8\xff", "an image", LEAVE_OUT),
    (0, b"GIF8", "an image", LEAVE_OUT), (0, b"\x93NUMPY", "a NumPy array", LEAVE_OUT),
    (0, codecs.BOM_UTF32_LE, "text in UTF-32", ENCODE), (0, codecs.BOM_UTF32_BE, "text in UTF-32", ENCODE),
    (0, codecs.BOM_UTF16_LE, "text in UTF-16", ENCODE), (0, codecs.BOM_UTF16_BE, "text in UTF-16", ENCODE),
)  # fmt: skip
SUFFIXES = {  # last part of the name: what the file is, what to do
    **dict.fromkeys((".gz", ".zst", ".zstd"), ("compressed, by its name", UNPACK_LINES)),
    ".parquet": ("a Parquet file, by its name", USE_PARQUET),
    **dict.fromkeys(
        (".tgz", ".xz", ".lzma", ".bz2", ".lz4", ".br", ".sz", ".snappy"),
        ("compressed, by its name", DECOMPRESS),
    ),
    **dict.fromkeys((".zip", ".tar", ".7z", ".rar"), ("an archive, by its name", UNPACK)),
    **dict.fromkeys(
        (".arrow", ".feather", ".orc", ".avro", ".tfrecord", ".tfrecords", ".h5", ".hdf5", ".sqlite"),
        ("a binary table, by its name", CONVERT),
    ),
    **dict.fromkeys(
        (".pdf", ".doc", ".docx", ".odt", ".epub", ".xls", ".xlsx"), ("no plain text, by its name", CONVERT)
    ),
}  # fmt: skip
JSON_LINES_SUFFIXES = (".jsonl", ".ndjson")
JSON_SUFFIXES = (".json", ".geojson", ".ipynb")
JSON_PROBLEM = (  # of a file that is JSON, not JSON lines
    f"is JSON: write its documents as JSON lines, an object per line with a field text, or {LEAVE_OUT}"
)


def file_kind(path: Path) -> str:
    """Returns TEXT or JSON_LINES; reads the beginning of the file.

    Raises:
        CorpusError: The file is neither; the message says what it is, and what to do.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        file.seek(0)
        first_line = next((line for line in file if line.strip()), b"") if head.lstrip(BLANK)[:1] == b"{" else b""
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        description, remedy = SUFFIXES[suffix]
        raise CorpusError(f"{path}: is {description}: {remedy}")
    for offset, signature, description, remedy in SIGNATURES:
        if head.startswith(signature, offset):
            raise CorpusError(f"{path}: is {description}: {remedy}")
    if (offset := head.find(b"\0")) >= 0:
        raise CorpusError(f"{path}: is binary, with a zero byte at offset {offset}: {LEAVE_OUT}, or {ENCODE}")
    if suffix in JSON_LINES_SUFFIXES or is_object(first_line.lstrip(BLANK)):
        return JSON_LINES
    if suffix in JSON_SUFFIXES:
        raise CorpusError(f"{path}: {JSON_PROBLEM}")
    return TEXT


def is_json(text: str) -> bool:
    """Whether a document is a JSON array or object that is not empty, or several."""
    start = text.lstrip("\ufeff \t\r\n")
    if start[:1] not in ("{", "["):
        return False
    try:
        value, end = json.JSONDecoder().raw_decode(start)
    except (ValueError, RecursionError):
        return False
    rest = start[end:].lstrip()
    return bool(value) and rest[:1] in ("", "{", "[", ",")


def is_object(line: bytes) -> bool:
    """Whether a line is a JSON object that is not empty."""
    return line.startswith(b"{") and isinstance(parse_json(line), dict) and line.strip() != b"{}"


def parse_json(data: bytes) -> Any:
    """Returns a JSON value, None where the data is not JSON."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None

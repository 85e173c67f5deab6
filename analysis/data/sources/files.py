"""Bytes and text of a table's file: only of regular files, within bounds of memory, in an encoding that is known.

Reading must not wait for a pipe, and a small compressed file must not fill the memory. Files of more bytes or rows are
refused with advice; nothing is sampled without being asked for.
"""

from __future__ import annotations

import bz2
import fnmatch
import gzip
import lzma
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from analysis.errors import DataError

MEBIBYTE = 1 << 20
MAX_TEXT = 256 * MEBIBYTE  # of delimited text, unpacked: about 8 million rows of N, D and L, read in 2 GiB of memory
MAX_JSON = 64 * MEBIBYTE  # objects in memory take 10 to 20 times the bytes of their JSON
MAX_ROWS = 5_000_000  # of any table; a fit uses some 400 bytes per row
MAX_UNPACKED = 1024 * MEBIBYTE  # of the cells of a Parquet file in memory
OPEN: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
FEWER_ROWS = "keep fewer rows, such as the last of each run or every tenth"
KINDS = {  # files that are no regular files, by the test of their mode
    stat.S_ISFIFO: "a FIFO (named pipe)",
    stat.S_ISSOCK: "a socket",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
}
BYTE_ORDER_MARKS = {  # the longest first: that of UTF-32 begins with that of UTF-16
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
SAMPLE = 4096  # bytes from which UTF-16 and UTF-32 without a byte-order mark are recognised


def require_regular(path: Path) -> None:
    """Checks that reading a file cannot block: it is no pipe, socket or device.

    Raises:
        DataError: It is one, or cannot be looked up.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    for is_kind, kind in KINDS.items():
        if is_kind(mode):
            raise DataError(f"{path}: is {kind}: must be a regular file: write the table to a file first")


def files_below(folder: Path, pattern: str, never_folders: str | None = None) -> list[Path]:
    """Returns the files below a folder whose names match a pattern, in order. Links to folders are not followed.

    Args:
        folder: The folder.
        pattern: Pattern of the names.
        never_folders: Pattern of names that no folder has; unless given, the same.

    Raises:
        DataError: A folder cannot be read, or a folder, a pipe, a device or a broken link has the name of a file.
    """

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be read: {error.strerror}")

    found = []
    for parent, folders, names in os.walk(folder, onerror=refuse):
        if wrong := fnmatch.filter(folders, never_folders or pattern):
            raise DataError(f"{Path(parent) / wrong[0]}: is a folder: must be a regular file")
        found += [Path(parent) / name for name in fnmatch.filter(names, pattern)]
    for path in found:
        require_regular(path)
    return sorted(found)


def read_bytes(path: Path, limit: int) -> bytes:
    """Returns the bytes of a regular file, unpacked if its name ends in .gz, .bz2 or .xz.

    Args:
        path: The file.
        limit: Largest number of bytes.

    Raises:
        DataError: It is no regular file, or has more bytes.
        OSError, EOFError, zlib.error, lzma.LZMAError: It cannot be read or unpacked.
    """
    require_regular(path)
    unpack = OPEN.get(path.suffix.lower())
    if unpack is None and path.stat().st_size > limit:
        raise _too_large(path, limit, "")
    with unpack(path, "rb") if unpack else path.open("rb") as file:
        parts, size = [], 0
        while part := file.read(MEBIBYTE):
            parts.append(part)
            size += len(part)
            if size > limit:
                raise _too_large(path, limit, " unpacked" if unpack else "")
    return b"".join(parts)


def _too_large(path: Path, limit: int, unpacked: str) -> DataError:
    return DataError(
        f"{path}: more than {limit // MEBIBYTE} MiB{unpacked}: {FEWER_ROWS}, or fewer columns, or save it as Parquet"
    )


def check_rows(path: Path, rows: int) -> None:
    """Checks the number of rows of a table.

    Args:
        path: Its file, for the message.
        rows: Number of rows.

    Raises:
        DataError: There are more than MAX_ROWS.
    """
    if rows > MAX_ROWS:
        raise DataError(f"{path}: {rows:,} rows: at most {MAX_ROWS:,} are read: {FEWER_ROWS}")


def check_unpacked(path: Path, size: int) -> None:
    """Checks the size of the cells of a Parquet file in memory.

    Args:
        path: The file, for the message.
        size: Bytes of its first cells.

    Raises:
        DataError: They exceed MAX_UNPACKED.
    """
    if size > MAX_UNPACKED:
        limit = MAX_UNPACKED // MEBIBYTE
        raise DataError(f"{path}: cells of more than {limit} MiB in memory: {FEWER_ROWS}, or fewer columns")


def decode(path: Path, data: bytes) -> str:
    """Returns the text of a file in UTF-8, or in UTF-16 with a byte-order mark, without the mark.

    Args:
        path: The file, for messages.
        data: Its bytes.

    Raises:
        DataError: The text has another encoding; the message says how to convert it.
    """
    encoding = next((name for mark, name in BYTE_ORDER_MARKS.items() if data.startswith(mark)), None)
    if encoding == "UTF-16":
        try:
            return data.decode("utf-16")
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: byte {error.start} is not valid UTF-16: is the file complete?") from None
    encoding = encoding or _wide_encoding(data[:SAMPLE])
    if encoding:
        raise DataError(f"{path}: is {encoding}: convert it with {_conversion(path, encoding)}")
    if b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        raise DataError(f"{path}: line {line}: has a NUL byte: not a text file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}: line {line}: byte {error.start} is not UTF-8: save the file as UTF-8, if it is "
            f"Windows-1252 with {_conversion(path, 'WINDOWS-1252')}"
        ) from None


def _wide_encoding(sample: bytes) -> str | None:
    """Encoding of text without a byte-order mark whose ASCII characters take two or four bytes; None of other bytes."""
    for width, order, name in ((4, 0, "UTF-32LE"), (4, 3, "UTF-32BE"), (2, 0, "UTF-16LE"), (2, 1, "UTF-16BE")):
        whole = sample[: len(sample) // width * width]
        characters = whole[order::width]
        others = [whole[i::width] for i in range(width) if i != order]
        if characters and b"\0" not in characters and all(part.count(0) > len(part) / 2 for part in others):
            return name
    return None


def _conversion(path: Path, encoding: str) -> str:
    """Command that converts a file to UTF-8, once it is unpacked."""
    path = path.with_suffix("") if path.suffix.lower() in OPEN else path
    return f"`iconv -f {encoding} -t UTF-8 {path.name} > {path.stem}-utf8{path.suffix}`"

"""Parquet files with a SHA-256 of the whole file in their metadata, which is verified when they are read.

The key `scaling.sha256` of the file's metadata has the digest of the file's bytes with 64 zeros in place of the digest.
Pages have checksums too, so that other readers can verify them. Files of earlier versions have neither; their pages are
verified if they have checksums, and their metadata must not have keys that no version wrote.
"""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from scaling.config.validation import one_line
from scaling.store.files import RESTORE, DamagedFileError, read_bytes, write_atomic

if TYPE_CHECKING:
    import pyarrow as pa

KEY = b"scaling.sha256"
NO_DIGEST = b"0" * 64
NO_DIGEST_METADATA = {KEY: NO_DIGEST}  # added to a file before its writer is closed, then replaced by write_digest
MAX_FOOTER = 2**26  # bytes at the end of a file in which its metadata is searched
CHUNK = 2**20  # bytes that are hashed at once
KNOWN_KEYS = {b"ARROW:schema", b"pandas", b"scaling", b"key"}  # of the metadata of files of earlier versions


def write_table(path: Path, table: pa.Table, compression: str = "snappy") -> None:
    """Writes a table as Parquet with its digest, atomically.

    Args:
        path: The file.
        table: The table.
        compression: Compression of the pages.
    """
    write_atomic(path, table_bytes(table, compression))


def table_bytes(table: pa.Table, compression: str = "snappy") -> bytes:
    """Returns a table as a Parquet file with its digest.

    Args:
        table: The table.
        compression: Compression of the pages.
    """
    file = io.BytesIO()
    with open_writer(file, table.schema, compression) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata(NO_DIGEST_METADATA)
    write_digest(file)
    return file.getvalue()


def write_rows(path: Path, rows: list[dict[str, float]]) -> None:
    """Writes rows as Parquet with its digest, atomically.

    Args:
        path: The file.
        rows: One dict per row; a missing key becomes null.
    """
    write_atomic(path, rows_bytes(rows))


def rows_bytes(rows: list[dict[str, float]]) -> bytes:
    """Returns rows as a Parquet file with its digest; a missing key becomes null."""
    import pyarrow as pa  # here: PyArrow takes long to import, and most commands do not need it

    names = list(dict.fromkeys(name for row in rows for name in row))
    return table_bytes(pa.table({name: [row.get(name) for row in rows] for name in names}))


def read_rows(path: Path, remedy: str = RESTORE) -> list[dict[str, Any]]:
    """Reads the rows of a Parquet file as dicts and verifies the file; a null becomes a missing key.

    Args:
        path: The file.
        remedy: What to do if it is damaged, for the error message.

    Raises:
        FileNotFoundError, DamagedFileError: As for `read_table`.
    """
    return table_rows(read_table(path, remedy))


def table_rows(table: pa.Table) -> list[dict[str, Any]]:
    """Returns the rows of a table as dicts; a null becomes a missing key."""
    return [{k: v for k, v in row.items() if v is not None} for row in table.to_pylist()]


def open_writer(file: BinaryIO, schema: pa.Schema, compression: str = "snappy") -> Any:
    """Returns a `pyarrow.parquet.ParquetWriter` with page checksums.

    Args:
        file: The file. The caller adds NO_DIGEST_METADATA before it closes the writer, then calls `write_digest`.
        schema: Schema of the tables.
        compression: Compression of the pages.
    """
    import pyarrow.parquet as pq  # here: PyArrow takes long to import, and most commands do not need it

    return pq.ParquetWriter(file, schema, compression=compression, write_page_checksum=True)


def write_digest(file: BinaryIO) -> None:
    """Replaces the zeros in the metadata of a complete Parquet file by its digest.

    Args:
        file: The file, open for reading and writing.
    """
    position = _digest_position(file)
    assert position is not None
    digest = _digest(file, position)
    file.seek(position)
    file.write(digest)


def read_table(path: Path, remedy: str = RESTORE, *, needs_digest: bool = False) -> pa.Table:
    """Reads a Parquet file and verifies it.

    Args:
        path: The file.
        remedy: What to do if it is damaged, for the error message.
        needs_digest: Whether a file without a digest is damaged; otherwise it is one of an earlier version.

    Raises:
        FileNotFoundError: There is no such file.
        DamagedFileError: It cannot be read, or was altered.
    """
    return parse_table(path, read_bytes(path, remedy), remedy, needs_digest=needs_digest)


def parse_table(path: Path, data: bytes, remedy: str = RESTORE, *, needs_digest: bool = False) -> pa.Table:
    """Returns the table of a Parquet file that has been read, and verifies it.

    Args:
        path: The file, for the error message.
        data: Its content.
        remedy: What to do if it is damaged, for the error message.
        needs_digest: Whether a file without a digest is damaged; otherwise it is one of an earlier version.

    Raises:
        DamagedFileError: It is not such a file, or was altered.
    """
    import pyarrow.parquet as pq  # here: PyArrow takes long to import, and most commands do not need it

    is_verified = check_digest(path, data, remedy)
    if needs_digest and not is_verified:
        raise DamagedFileError(path, "was written by another program", remedy)
    try:
        file = pq.ParquetFile(io.BytesIO(data), page_checksum_verification=not is_verified)
        unknown = [] if is_verified else sorted((file.metadata.metadata or {}).keys() - KNOWN_KEYS)
        table = file.read()
    except Exception as error:  # PyArrow raises errors of many classes, also its own with OSError or ValueError
        raise DamagedFileError(path, one_line(error), remedy) from None
    if unknown:
        raise DamagedFileError(path, f"unknown metadata {unknown[0]!r}", remedy)
    return table


def check_digest(path: Path, data: bytes, remedy: str = RESTORE) -> bool:
    """Verifies the digest of a Parquet file.

    Args:
        path: The file, for the error message.
        data: Its content.
        remedy: What to do if it is damaged, for the error message.

    Returns:
        Whether the file has a digest.

    Raises:
        DamagedFileError: The file differs from what was written.
    """
    file = io.BytesIO(data)
    position = _digest_position(file)
    if position is None:
        return False
    if _digest(file, position) != data[position : position + len(NO_DIGEST)]:
        raise DamagedFileError(path, "differs from what was written (SHA-256)", remedy)
    return True


def _digest_position(file: BinaryIO) -> int | None:
    """Returns where the digest of a file starts: after its key, type and length; None without one."""
    start = max(0, file.seek(0, os.SEEK_END) - MAX_FOOTER)
    file.seek(start)
    key = file.read().rfind(KEY)
    return None if key < 0 else start + key + len(KEY) + 2


def _digest(file: BinaryIO, position: int) -> bytes:
    """Returns the digest of a file, in hexadecimal, with zeros at the position of its digest."""
    file.seek(0)
    sha256, left = hashlib.sha256(), position
    while left and (chunk := file.read(min(CHUNK, left))):
        sha256.update(chunk)
        left -= len(chunk)
    sha256.update(NO_DIGEST)
    file.seek(position + len(NO_DIGEST))
    while chunk := file.read(CHUNK):
        sha256.update(chunk)
    return sha256.hexdigest().encode()

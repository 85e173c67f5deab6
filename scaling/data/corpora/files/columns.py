"""A column of text in tables of Arrow."""

from __future__ import annotations

from typing import Any

from scaling.data.corpora.files.records import RecordError, check_utf8

LISTED_COLUMNS = 10  # of a table, in a message


def first_sentence(error: Exception) -> str:
    """Returns the beginning of a message of Arrow on one line."""
    return " ".join(str(error).split()).partition(". ")[0][:200]


def check_column(schema: Any, column: str) -> None:
    """Raises RecordError where a table has no such column, or the column is not text.

    Args:
        schema: A `pyarrow.Schema`.
        column: Name of the column.
    """
    import pyarrow as pa  # only where a corpus is a table

    if column not in schema.names:
        names = ", ".join(schema.names[:LISTED_COLUMNS]) or "none"
        raise RecordError(f"has no column {column}: its columns are {names}: choose one with column=")
    kind = schema.field(column).type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if kind not in (pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary()):
        raise RecordError(f"column {column} is {kind}, not text: choose another with column=")


def column_bytes(array: Any) -> list[bytes | None]:
    """Returns the values of an array of text, which Arrow does not check to be UTF-8, as bytes; None for null.

    Args:
        array: A `pyarrow.Array` or `pyarrow.ChunkedArray`.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = array.type
    array = pc.cast(array, kind.value_type) if pa.types.is_dictionary(kind) else array
    return pc.cast(array, pa.large_binary()).to_pylist()


def text_of_row(data: bytes | None, column: str) -> bytes:
    """Returns the text of a row; RecordError where it is null or not UTF-8."""
    if data is None:
        raise RecordError(f"{column} is null")
    return check_utf8(data)

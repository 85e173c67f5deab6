"""Reads Parquet files within bounds of memory, also those whose metadata of pandas are damaged."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd

from analysis.data.sources.files import check_rows, check_unpacked
from analysis.data.table import Table, table_of_frame

PARQUET_ROWS = 16_384  # rows that are unpacked at once to find their size
PANDAS_ERRORS = (  # which pandas and PyArrow raise for metadata of wrong types, such as an index that is a number
    *(ArithmeticError, AssertionError, AttributeError, LookupError, NotImplementedError, RecursionError),
    *(TypeError, ValueError),
)


def read_parquet(path: Path, data: bytes) -> Table:
    """Reads a Parquet file.

    Args:
        path: The file, for messages.
        data: Its bytes.

    Raises:
        DataError: It has too many rows or cells.
        OSError, ValueError: It is not a Parquet file or is damaged.
    """
    import pyarrow.parquet as pq  # here, so that --help stays fast

    with pq.ParquetFile(io.BytesIO(data)) as file:
        check_rows(path, file.metadata.num_rows)
        size = 0
        for batch in file.iter_batches(PARQUET_ROWS):  # repeated cells take little of the file and all of the memory
            size += batch.nbytes
            check_unpacked(path, size)
    try:
        return table_of_frame(pd.read_parquet(io.BytesIO(data)), str(path))
    except PANDAS_ERRORS:
        plain = pq.read_table(io.BytesIO(data)).replace_schema_metadata(None)
        table = table_of_frame(plain.to_pandas(), str(path))
        return table.with_notes("metadata of pandas in the file are damaged and not used; its cells are")

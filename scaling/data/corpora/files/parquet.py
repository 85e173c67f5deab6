"""parquet:PATH: Parquet files; the text is in the column `text`, or `column=NAME`.

PATH is a file, a glob, a folder that is searched recursively for .parquet, or an address (gs://, s3://) of one.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from scaling.data.corpora.files.addresses import File, is_remote, list_files, open_binary
from scaling.data.corpora.files.columns import check_column, column_bytes, first_sentence, text_of_row
from scaling.data.corpora.files.records import RecordError
from scaling.data.corpus import BadRecord, DocumentSource, OnBad, Part, TextCorpus, check_options

NAMES = re.compile(r"\.(parquet|pq)$", re.IGNORECASE)
BATCH_ROWS = 256  # decoded at a time
FOOTER_REQUESTS = 32  # of files in a bucket, at the same time


def open_corpus(argument: str, options: dict[str, str]) -> TextCorpus:
    """Opens the corpus; each row is a document, each row group a part. Empty texts are left out.

    Args:
        argument: A file, a folder, a glob, or an address.
        options: column (text).

    Raises:
        CorpusError: There is no such file, or an option is unknown.
    """
    check_options("parquet", options, ("column",))
    listing = list_files("parquet", argument, NAMES)
    remote = is_remote(listing.files[0].address)
    with ThreadPoolExecutor(FOOTER_REQUESTS if remote else 1) as pool:
        parts = tuple(part for parts in pool.map(row_groups, listing.files) for part in parts)
    source = DocumentSource(parts, partial(read_row_group, column=options.get("column", "text")))
    return TextCorpus(source.documents, notes=list(listing.notes), source=source)


@contextlib.contextmanager
def open_parquet(address: str) -> Iterator[Any]:
    """Context with a `pyarrow.parquet.ParquetFile`.

    Raises:
        RecordError: The file is no Parquet, or is truncated.
        CorpusError: The file cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq  # only where a corpus is Parquet

    with open_binary(address, sequential=False) as file:
        try:
            parquet = pq.ParquetFile(pa.PythonFile(file, mode="r"), pre_buffer=True, page_checksum_verification=True)
        except (pa.ArrowException, OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno is not None:  # of the disk or the network
                raise
            raise RecordError(f"is no Parquet file, or is truncated ({first_sentence(error)})") from None
        yield parquet


def row_groups(file: File) -> list[Part]:
    """Returns the row groups of a file as parts; a file that cannot be read is one part, whose reading says so."""
    try:
        with open_parquet(file.address) as parquet:
            groups = [parquet.metadata.row_group(i) for i in range(parquet.metadata.num_row_groups)]
            sizes = [sum(max(g.column(c).total_compressed_size, 0) for c in range(g.num_columns)) for g in groups]
    except RecordError:
        return [Part(file.address, size=file.size)]
    return [Part(file.address, i, i + 1, size) for i, size in enumerate(sizes)]


def read_row_group(part: Part, on_bad: OnBad, *, column: str) -> Iterator[bytes]:
    """Yields the documents of a row group.

    Args:
        part: A row group; a whole file that could not be opened.
        on_bad: Called for each bad record.
        column: Column of the text.

    Raises:
        CorpusError: The file cannot be read, or `on_bad` raises it.
    """
    row = None
    try:
        with open_parquet(part.file) as parquet:
            try:
                check_column(parquet.schema_arrow, column)
            except RecordError:
                if part.start:  # said of the first row group
                    return
                raise
            group = range(part.start, parquet.metadata.num_row_groups if part.stop is None else part.stop)
            row = sum(parquet.metadata.row_group(i).num_rows for i in range(part.start))
            for data in read_rows(parquet, list(group), column):
                row += 1
                try:
                    if document := text_of_row(data, column):
                        yield document
                except RecordError as error:
                    on_bad(BadRecord(part.file, row, None, str(error), "row"))
    except RecordError as error:
        on_bad(BadRecord(part.file, None if row is None else row + 1, None, str(error), "row"))


def read_rows(parquet: Any, groups: list[int], column: str) -> Iterator[bytes | None]:
    """Yields a column of row groups, decoded a batch at a time.

    Raises:
        RecordError: The data is damaged.
    """
    import pyarrow as pa

    batches = parquet.iter_batches(BATCH_ROWS, row_groups=groups, columns=[column], use_threads=False)
    while True:
        try:
            batch = next(batches, None)
            if batch is None:
                return
            rows = column_bytes(batch.column(0))
        except (pa.ArrowException, OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise RecordError(f"data is damaged: the rest of the row group is lost ({first_sentence(error)})") from None
        yield from rows

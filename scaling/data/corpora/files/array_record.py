"""arrayrecord:PATH: ArrayRecord files, whose records are text in UTF-8.

With `field=NAME` a record is a JSON object, whose field it is, or a serialised tf.train.Example, whose feature it is.
PATH is a file, a glob, a folder that is searched recursively for .array_record, or an address (gs://, s3://) of one.
The library opens local files alone: a file at an address is copied to a temporary one while it is read.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from functools import partial
from typing import Any

from scaling.data.corpora.files.addresses import File, is_remote, list_files, open_binary
from scaling.data.corpora.files.columns import first_sentence
from scaling.data.corpora.files.records import RecordError, check_utf8, example_text, json_text
from scaling.data.corpus import BadRecord, DocumentSource, OnBad, Part, TextCorpus, check_options
from scaling.data.tokens import CorpusError

NAMES = re.compile(r"\.(array_record|arrayrecord)(-\d+-of-\d+)?$", re.IGNORECASE)
PART_RECORDS = 1 << 16  # of a local file, that are one part
BATCH_RECORDS = 64  # read at a time
COPY_BYTES = 1 << 20  # at a time


def open_corpus(argument: str, options: dict[str, str]) -> TextCorpus:
    """Opens the corpus; each record is a document. Empty texts are left out.

    Args:
        argument: A file, a folder, a glob, or an address.
        options: field; without it the records themselves are text.

    Raises:
        CorpusError: There is no such file, an option is unknown, or the library is not installed.
    """
    check_options("arrayrecord", options, ("field",))
    import_array_record(argument)
    listing = list_files("arrayrecord", argument, NAMES)
    parts = tuple(part for file in listing.files for part in cut_file(file))
    source = DocumentSource(parts, partial(read_records, field=options.get("field")))
    return TextCorpus(source.documents, notes=list(listing.notes), source=source)


def import_array_record(argument: str) -> Any:
    """Imports the library; CorpusError where it is not installed.

    Args:
        argument: The corpus, for the message.
    """
    try:
        from array_record.python import array_record_module  # slow to import
    except ImportError:
        install = "needs the [data] extra: pip install 'scaling[data]'"
        raise CorpusError(f"corpus arrayrecord:{argument} {install}") from None
    return array_record_module


def cut_file(file: File) -> list[Part]:
    """Cuts a local file into parts of PART_RECORDS; a file in a bucket, or one that cannot be read, is one part."""
    if is_remote(file.address):
        return [Part(file.address, size=file.size)]
    try:
        with open_reader(file.address) as reader:
            total = reader.num_records()
    except RecordError:
        return [Part(file.address, size=file.size)]
    starts = range(0, total, PART_RECORDS)
    return [Part(file.address, s, min(s + PART_RECORDS, total), file.size // len(starts)) for s in starts]


@contextlib.contextmanager
def open_reader(address: str) -> Iterator[Any]:
    """Context with an `ArrayRecordReader`, of a temporary copy where the file is not local.

    Raises:
        RecordError: The file is no ArrayRecord, or is truncated.
        CorpusError: The file cannot be read.
    """
    library = import_array_record(address)
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(open_binary(address))
        path = address
        if is_remote(address):
            copy = stack.enter_context(tempfile.NamedTemporaryFile(prefix="scaling-", suffix=".array_record"))
            shutil.copyfileobj(file, copy, COPY_BYTES)
            copy.flush()
            path = copy.name
        reader = library.ArrayRecordReader(path)
        if not reader.ok():
            try:
                reader.close()
                reason = "damaged"
            except RuntimeError as error:
                reason = first_sentence(error).replace(path, address)
            raise RecordError(f"is no ArrayRecord file, or is truncated ({reason})")
        yield reader
        reader.close()


def read_records(part: Part, on_bad: OnBad, *, field: str | None) -> Iterator[bytes]:
    """Yields the documents of a part.

    Args:
        part: A file, or a range of records of one.
        on_bad: Called for each bad record.
        field: Field of a JSON object, or feature of a tf.train.Example; None where records are text.

    Raises:
        CorpusError: The file cannot be read, or `on_bad` raises it.
    """
    number = None
    try:
        with open_reader(part.file) as reader:
            stop = reader.num_records() if part.stop is None else part.stop
            number = part.start
            for start in range(part.start, stop, BATCH_RECORDS):
                for record in read_batch(reader, start, min(start + BATCH_RECORDS, stop)):
                    number += 1
                    try:
                        if document := text_of_record(record, field):
                            yield document
                    except RecordError as error:
                        on_bad(BadRecord(part.file, number, error.offset, str(error)))
    except RecordError as error:
        on_bad(BadRecord(part.file, None if number is None else number + 1, None, str(error)))


def read_batch(reader: Any, start: int, stop: int) -> list[bytes]:
    """Reads records; RecordError where the file is damaged there.

    Args:
        reader: An `ArrayRecordReader`.
        start: First record.
        stop: End of the range, exclusive.
    """
    try:
        return reader.read(start, stop)
    except (RuntimeError, IndexError) as error:
        raise RecordError(f"data is damaged: the rest of the part is lost ({first_sentence(error)})") from None


def text_of_record(record: bytes, field: str | None) -> bytes:
    """Returns the text of a record.

    Args:
        record: The record.
        field: Field of a JSON object, or feature of a tf.train.Example; None where the record is text.

    Raises:
        RecordError: The record has no text there.
    """
    if field is None:
        return check_utf8(record)
    return json_text(record, field) if record[:1] == b"{" else example_text(record, field)

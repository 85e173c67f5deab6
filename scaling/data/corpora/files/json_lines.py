"""jsonl:PATH: JSON lines, plain or compressed by gzip or zstd; the text is in the field `text`, or `field=NAME`.

PATH is a file, a glob, a folder that is searched recursively for .jsonl, .ndjson and .json (also .gz, .zst), or
an address (gs://, s3://) of one of these.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from functools import partial

from scaling.data.corpora.file_kind import SIGNATURES
from scaling.data.corpora.files.addresses import File, list_files, open_binary
from scaling.data.corpora.files.lines import (
    DamagedFileError,
    Line,
    compression_of,
    count_line_feeds,
    long_line_problem,
    read_lines,
)
from scaling.data.corpora.files.records import RecordError, json_text
from scaling.data.corpus import BadRecord, DocumentSource, OnBad, Part, TextCorpus, check_options

NAMES = re.compile(r"\.(jsonl|ndjson|json)(\.(gz|zst|zstd))?$", re.IGNORECASE)
PART_BYTES = 64 << 20  # of a plain file, that are one part


def open_corpus(argument: str, options: dict[str, str]) -> TextCorpus:
    """Opens the corpus; each line is a document. Blank lines and empty texts are left out.

    Args:
        argument: A file, a folder, a glob, or an address.
        options: field (text).

    Raises:
        CorpusError: There is no such file, or an option is unknown.
    """
    check_options("jsonl", options, ("field",))
    listing = list_files("jsonl", argument, NAMES)
    parts = tuple(part for file in listing.files for part in cut_file(file))
    source = DocumentSource(parts, partial(read_json_lines, field=options.get("field", "text")))
    return TextCorpus(source.documents, notes=list(listing.notes), source=source)


def cut_file(file: File) -> list[Part]:
    """Cuts a plain file into ranges of PART_BYTES; a compressed file is one part."""
    if compression_of(file.address) is not None or file.size <= PART_BYTES:
        return [Part(file.address, size=file.size)]
    starts = range(0, file.size, PART_BYTES)
    return [Part(file.address, s, min(s + PART_BYTES, file.size), min(PART_BYTES, file.size - s)) for s in starts]


def read_json_lines(part: Part, on_bad: OnBad, *, field: str) -> Iterator[bytes]:
    """Yields the documents of the lines that start in a part.

    Args:
        part: A file, or a range of bytes of a plain one.
        on_bad: Called for each bad record.
        field: Field of the text.

    Raises:
        CorpusError: The file cannot be read, or `on_bad` raises it.
    """
    compression, number, end = compression_of(part.file), 0, 0
    with open_binary(part.file) as file:
        if compression is None and not part.start and (kind := other_kind(file.read(512))) is not None:
            on_bad(BadRecord(part.file, None, None, f"is {kind}"))
            return
        try:
            for line in read_lines(file, compression, part.start, part.stop):
                number, end = line.number, line.offset + len(line.data or b"") + 1
                try:
                    document = line_text(line, field)
                except RecordError as error:
                    line_number = number if not part.start else count_feeds_of(part.file, line.offset) + 1
                    on_bad(BadRecord(part.file, line_number, line.offset + (error.offset or 0), str(error), "line"))
                    continue
                if document:
                    yield document
        except DamagedFileError as error:
            on_bad(BadRecord(part.file, number + 1, end, f"{error}: the rest of the file is lost", "line"))


def count_feeds_of(file: str, offset: int) -> int:
    """Returns the number of line feeds of a file before a byte."""
    with open_binary(file) as opened:
        return count_line_feeds(opened, offset)


def line_text(line: Line, field: str) -> bytes:
    """Returns the document of a line, empty for a blank line.

    Args:
        line: The line.
        field: Field of the text.

    Raises:
        RecordError: The line has no document.
    """
    if line.data is None:
        raise RecordError(long_line_problem(), 0)
    is_marked = line.offset == 0 and line.data.startswith(codecs.BOM_UTF8)
    data = b"   " + line.data[3:] if is_marked else line.data  # white space, so that offsets stay
    if not data.strip():
        return b""
    return json_text(data, field)


def other_kind(head: bytes) -> str | None:
    """Returns what a file is by its first bytes and what to do, None where it may be plain JSON lines."""
    for offset, signature, description, remedy in SIGNATURES:
        if head.startswith(signature, offset):
            suffix = {"compressed by gzip": ".gz", "compressed by zstd": ".zst"}.get(description)
            return f"{description}: {remedy if suffix is None else f'give it a name that ends with {suffix}'}"
    return None

"""Lines of a file, plain or compressed, with the byte at which each starts; memory is bounded by one line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from scaling.data.corpora.files.addresses import name_of
from scaling.data.tokens import CorpusError

READ_BYTES = 1 << 16  # at a time; of a truncated compressed file, the last READ_BYTES may be missing
MAX_LINE_BYTES = 1 << 26  # a longer line is no document but a damaged or hostile file
SUFFIXES = {".gz": "gzip", ".zst": "zstd", ".zstd": "zstd"}
SIGNATURES = {"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}


class DamagedFileError(CorpusError):
    """A compressed file that ends too early or is damaged; the message has the reason."""


@dataclass(frozen=True)
class Line:
    """A line of a file.

    Attributes:
        number: Its number in the range that is read, counted from 1.
        offset: Byte at which it starts, in the decompressed file.
        data: Its bytes without the line feed; None for a line that is longer than MAX_LINE_BYTES.
    """

    number: int
    offset: int
    data: bytes | None


def compression_of(address: str) -> str | None:
    """Returns the compression of a file by its name: gzip, zstd, or None."""
    return next((kind for suffix, kind in SUFFIXES.items() if name_of(address).lower().endswith(suffix)), None)


def read_lines(file: BinaryIO, compression: str | None, start: int, stop: int | None) -> Iterator[Line]:
    """Yields the lines of a file.

    Args:
        file: The file, opened for reading.
        compression: As `compression_of` names it.
        start: Byte from which on lines are read: the first line is the first one that starts there or later.
        stop: Byte before which lines start; None for the end of the file.

    Raises:
        DamagedFileError: A compressed file is truncated or damaged; the lines before are yielded.
        OSError: The file cannot be read.
    """
    if compression is not None:
        yield from split_lines(decompressed_chunks(file, compression), 0, None)
        return
    first = seek_line(file, start, stop)
    if first is not None:
        yield from split_lines(iter(lambda: file.read(READ_BYTES), b""), first, stop)


def seek_line(file: BinaryIO, start: int, stop: int | None) -> int | None:
    """Moves a file to the first line that starts at `start` or later.

    Args:
        file: The file.
        start: A byte.
        stop: Byte before which the line must start; None for the end of the file.

    Returns:
        The byte at which the line starts; None where there is no such line.
    """
    offset = max(start - 1, 0)  # the line feed before `start` shows that a line starts there
    file.seek(offset)
    if not start:
        return 0
    while stop is None or offset < stop:
        chunk = file.read(READ_BYTES)
        position = chunk.find(b"\n")
        if position >= 0:
            file.seek(offset + position + 1)
            return offset + position + 1
        if not chunk:
            return None
        offset += len(chunk)
    return None


def decompressed_chunks(file: BinaryIO, compression: str) -> Iterator[bytes]:
    """Yields the decompressed content in chunks of READ_BYTES.

    Raises:
        DamagedFileError: The file is truncated or damaged.
    """
    import pyarrow as pa  # only where a corpus is compressed

    head = file.read(4)
    if not head.startswith(SIGNATURES[compression]):
        raise DamagedFileError(f"is not compressed by {compression}, as its name says" if head else "is empty")
    file.seek(0)
    stream = pa.CompressedInputStream(pa.PythonFile(file, mode="r"), compression)
    while True:
        try:
            chunk = stream.read(READ_BYTES)
        except OSError as error:
            if error.errno is not None:  # of the disk or the network
                raise
            reason = "is truncated" if "Truncated" in str(error) else f"is damaged ({' '.join(str(error).split())})"
            raise DamagedFileError(f"{compression} data {reason}") from None
        if not chunk:
            return
        yield chunk


def split_lines(chunks: Iterator[bytes], offset: int, stop: int | None) -> Iterator[Line]:
    """Splits chunks at line feeds.

    Args:
        chunks: Parts of the content.
        offset: Byte at which they start.
        stop: Lines that start at this byte or later are not yielded; None for no limit.
    """
    number, pending, size = 1, list[bytes](), 0  # the line so far, whose parts are dropped once it is too long
    for chunk in chunks:
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            if stop is not None and offset >= stop:
                return
            size += len(end)
            yield Line(number, offset, b"".join((*pending, end)) if size <= MAX_LINE_BYTES else None)
            number, offset, size = number + 1, offset + size + 1, 0
            pending.clear()
        size += len(rest)
        if size > MAX_LINE_BYTES:
            pending.clear()
        elif rest:
            pending.append(rest)
    if size and (stop is None or offset < stop):
        yield Line(number, offset, b"".join(pending) if size <= MAX_LINE_BYTES else None)


def count_line_feeds(file: BinaryIO, stop: int) -> int:
    """Counts the line feeds of a plain file before a byte.

    Args:
        file: The file.
        stop: The byte.
    """
    count = 0
    file.seek(0)
    while stop > 0 and (chunk := file.read(min(READ_BYTES, stop))):
        count += chunk.count(b"\n")
        stop -= len(chunk)
    return count


def long_line_problem() -> str:
    """Returns what is wrong with a line that is too long."""
    return f"a line of more than {MAX_LINE_BYTES >> 20} MiB: split the document"

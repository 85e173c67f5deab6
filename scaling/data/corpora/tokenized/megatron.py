"""megatron:PREFIX: PREFIX.bin and PREFIX.idx, as Megatron-LM's preprocessing writes them; documents stay whole.

PREFIX may also be one of the two files, a folder or a glob of .idx files, or an address (gs://, s3://). `eod=` is the
token that ends a document; it is appended to documents that were written without `--append-eod`. `vocab=` is the
vocabulary size, `tokenizer=` the tokenizer to decode with. Without `eod=` all documents are one stream.

Layout of the index, little-endian (Megatron-LM, megatron/core/datasets/indexed_dataset.py): 9 bytes MMIDIDX, version 1
(uint64), code of the type (uint8), numbers of sequences and of document bounds (uint64), lengths of the sequences
(int32), their offsets in bytes (int64), bounds of the documents in sequences (int64), and modes, which are not used.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

import numpy as np

from scaling.data.corpora.files.addresses import File, list_files, open_binary
from scaling.data.corpora.files.records import RecordError
from scaling.data.corpora.tokenized.streams import COMMON_OPTIONS, parse_token_options, token_corpus
from scaling.data.corpus import BadRecord, DocumentSource, OnBad, Part, TokenCorpus, check_options

NAMES = re.compile(r"\.idx$")
MAGIC, VERSION, HEADER_BYTES = b"MMIDIDX\x00\x00", 1, 34
DTYPES = {1: "<u1", 2: "<i1", 3: "<i2", 4: "<i4", 5: "<i8", 8: "<u2"}  # 6 and 7 are floats
PART_DOCUMENTS = 1 << 16
BATCH_DOCUMENTS = 1 << 12  # whose bounds are read at a time
Sequences = list[tuple[int, int]]  # of a document: byte and number of tokens of each


@dataclass(frozen=True)
class Index:
    """Header of an index.

    Attributes:
        dtype: NumPy type of a token.
        sequences: Number of sequences.
        documents: Number of documents.
        data_bytes: Bytes of the file of tokens.
    """

    dtype: str
    sequences: int
    documents: int
    data_bytes: int

    @property
    def offsets_at(self) -> int:
        """Byte at which the offsets of the sequences start."""
        return HEADER_BYTES + 4 * self.sequences

    @property
    def bounds_at(self) -> int:
        """Byte at which the bounds of the documents start."""
        return self.offsets_at + 8 * self.sequences


def open_corpus(argument: str, options: dict[str, str]) -> TokenCorpus:
    """Opens the corpus.

    Args:
        argument: A prefix, one of the two files, a folder, a glob, or an address.
        options: vocab, eod, tokenizer.

    Raises:
        CorpusError: There is no such file, or an option is unknown.
    """
    check_options("megatron", options, COMMON_OPTIONS)
    opts = parse_token_options("megatron", options)
    listing = list_files("megatron", index_address(argument), NAMES)
    parts, indices, faults = list[Part](), dict[str, Index](), dict[str, str]()
    for file in listing.files:
        try:
            index = indices[file.address] = read_index(file)
        except RecordError as error:
            faults[file.address] = str(error)
            parts.append(Part(file.address, size=file.size))
            continue
        for start in range(0, index.documents, PART_DOCUMENTS):
            stop = min(start + PART_DOCUMENTS, index.documents)
            parts.append(Part(file.address, start, stop, index.data_bytes * (stop - start) // index.documents))
    source = DocumentSource(tuple(parts), partial(read_part, indices=indices, faults=faults, eod=opts.eod))
    return token_corpus(source, opts, list(listing.notes))


def index_address(argument: str) -> str:
    """Returns the address of the index for a prefix or one of its two files; folders and globs as they are."""
    if argument.endswith(".bin"):
        return argument.removesuffix(".bin") + ".idx"
    if not argument or argument.endswith((".idx", "/")) or glob.has_magic(argument) or os.path.isdir(argument):
        return argument
    return argument + ".idx"


def data_address(index: str) -> str:
    """Returns the address of the tokens of an index."""
    return index.removesuffix(".idx") + ".bin"


def read_index(file: File) -> Index:
    """Reads and checks the header of an index.

    Args:
        file: The index.

    Raises:
        RecordError: It is no index, or does not fit its own size or the tokens.
        CorpusError: One of the files cannot be read.
    """
    with open_binary(file.address, sequential=False) as opened:
        head = opened.read(HEADER_BYTES)
    if head[:9] != MAGIC or len(head) < HEADER_BYTES:
        raise RecordError("is no index of Megatron-LM: must begin with MMIDIDX")
    version, code = int.from_bytes(head[9:17], "little"), head[17]
    sequences, bounds = (int.from_bytes(head[start : start + 8], "little") for start in (18, 26))
    if version != VERSION or code not in DTYPES:
        raise RecordError(f"has version {version} and type {code}: must be version {VERSION} and a type of integers")
    with open_binary(data_address(file.address), sequential=False) as opened:
        data_bytes = opened.seek(0, 2)
    index = Index(DTYPES[code], sequences, bounds - 1, data_bytes)
    expected = index.bounds_at + 8 * bounds
    if bounds < 1 or file.size not in (expected, expected + sequences):  # with the modes of sequences
        raise RecordError(f"{file.size} bytes where the header says {expected}: truncated or damaged")
    return index


def read_part(
    part: Part, on_bad: OnBad, *, indices: dict[str, Index], faults: dict[str, str], eod: int | None
) -> Iterator[np.ndarray]:
    """Yields the documents of a part.

    Args:
        part: A range of documents of an index.
        on_bad: Called for each bad record.
        indices: Headers of the indices.
        faults: Indices that cannot be used, and why.
        eod: Token that ends a document; None to leave documents as they are.

    Raises:
        CorpusError: A file cannot be read, or `on_bad` raises it.
    """
    if part.file in faults:
        on_bad(BadRecord(part.file, None, None, faults[part.file]))
        return
    index, stop = indices[part.file], part.stop or 0
    with open_binary(part.file, sequential=False) as bounds, open_binary(data_address(part.file)) as data:
        for start in range(part.start, stop, BATCH_DOCUMENTS):
            count = min(BATCH_DOCUMENTS, stop - start)
            try:
                places = read_places(bounds, index, start, count)
            except RecordError as error:
                on_bad(
                    BadRecord(part.file, start + 1, error.offset, f"{error}: the rest of the part is lost", "document")
                )
                return
            for number, sequences in enumerate(places, start + 1):
                try:
                    document = read_document(data, index, sequences, eod)
                except RecordError as error:
                    on_bad(BadRecord(data_address(part.file), number, error.offset, str(error), "document"))
                    continue
                if document.size:
                    yield document


def read_places(bounds: BinaryIO, index: Index, start: int, count: int) -> list[Sequences]:
    """Reads where the sequences of some documents are.

    Args:
        bounds: The index.
        index: Its header.
        start: First document.
        count: Number of documents.

    Raises:
        RecordError: The bounds of a document are not in order, or not in the index.
    """
    at = index.bounds_at + 8 * start
    edges = read_integers(bounds, at, count + 1, "<i8")
    if edges[0] < 0 or edges[-1] > index.sequences or (np.diff(edges) < 0).any():
        raise RecordError(f"bounds of documents are not ascending, from 0 to {index.sequences}: damaged index", at)
    first, total = int(edges[0]), int(edges[-1] - edges[0])
    lengths = read_integers(bounds, HEADER_BYTES + 4 * first, total, "<i4").tolist()
    offsets = read_integers(bounds, index.offsets_at + 8 * first, total, "<i8").tolist()
    places = list(zip(offsets, lengths, strict=True))
    edges = edges - first
    return [places[a:b] for a, b in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)]


def read_document(data: BinaryIO, index: Index, sequences: Sequences, eod: int | None) -> np.ndarray:
    """Reads one document: its sequences, one after the other.

    Args:
        data: The tokens.
        index: Header of the index.
        sequences: Byte and number of tokens of each sequence.
        eod: Token that ends a document, which is appended where it is missing; None to append nothing.

    Raises:
        RecordError: The index does not fit the tokens.
    """
    item, arrays = np.dtype(index.dtype).itemsize, []
    for offset, length in sequences:
        if offset < 0 or length < 0 or offset + length * item > index.data_bytes:
            raise RecordError(
                f"{length} tokens are not in the file of {index.data_bytes} bytes: the .idx does not fit", offset
            )
        arrays.append(read_integers(data, offset, length, index.dtype))
    tokens = np.concatenate(arrays) if arrays else np.zeros(0, index.dtype)
    if eod is not None and tokens.size and tokens[-1] != eod:
        tokens = np.append(tokens, np.array(eod, tokens.dtype if np.iinfo(tokens.dtype).max >= eod else "<i8"))
    return tokens


def read_integers(file: BinaryIO, offset: int, count: int, dtype: str) -> np.ndarray:
    """Reads integers at a byte of a file; RecordError where it ends before.

    Args:
        file: The file.
        offset: The byte.
        count: Number of integers.
        dtype: NumPy type of an integer.
    """
    file.seek(offset)
    data = file.read(count * np.dtype(dtype).itemsize)
    if len(data) != count * np.dtype(dtype).itemsize:
        raise RecordError("ends too early: the .idx does not fit the .bin", offset)
    return np.frombuffer(data, dtype)

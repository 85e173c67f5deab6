"""Token streams in files: where the tokens of a file are, parts and documents of them, vocabulary and its size."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

from scaling.data.corpora.files.addresses import File, open_binary
from scaling.data.corpora.files.records import RecordError
from scaling.data.corpus import OWN_TOKENS, BadRecord, DocumentSource, OnBad, Part, TokenCorpus, parse_number
from scaling.data.shards.token_file import MAX_VOCAB
from scaling.data.tokens import CorpusError

COMMON_OPTIONS = ("vocab", "eod", "tokenizer")
DTYPES = {"uint16": "<u2", "uint32": "<u4", "int32": "<i4", "int64": "<i8"}
PART_BYTES = 64 << 20
READ_TOKENS = 1 << 18  # at a time
MAX_DOCUMENT_TOKENS = 1 << 26  # without an end in so many tokens, `eod` is another token


@dataclass(frozen=True)
class TokenOptions:
    """What a token stream does not say of itself.

    Attributes:
        vocab: Vocabulary size; None for the largest token and one.
        eod: Token that ends a document; None where there is none.
        tokenizer: Name of the tokenizer that the tokens are of; None where it is unknown.
    """

    vocab: int | None
    eod: int | None
    tokenizer: str | None


@dataclass(frozen=True)
class Layout:
    """Where the tokens of a file are.

    Attributes:
        offset: Byte at which they start.
        count: Number of tokens.
        dtype: NumPy type of a token.
    """

    offset: int
    count: int
    dtype: str


def parse_token_options(kind: str, options: dict[str, str]) -> TokenOptions:
    """Parses the options of all kinds of token streams. A tokenizer states `vocab` and `eod` where they are not given.

    Raises:
        CorpusError: `vocab` or `eod` is no integer in its range, or the tokenizer cannot be used.
    """
    vocab, eod = (
        parse_number(kind, name, options[name], int) if name in options else None for name in ("vocab", "eod")
    )
    name = options.get("tokenizer")
    if name is not None:
        known_vocab, known_eod = tokenizer_tokens(kind, name)
        vocab, eod = known_vocab if vocab is None else vocab, known_eod if eod is None else eod
    if vocab is not None and not 0 < vocab <= MAX_VOCAB:
        raise CorpusError(f"corpus {kind}: vocab={vocab}: must be between 1 and 2**31")
    if eod is not None and not 0 <= eod < (vocab or MAX_VOCAB):
        raise CorpusError(f"corpus {kind}: eod={eod}: must be a token, from 0 to {(vocab or MAX_VOCAB) - 1}")
    return TokenOptions(vocab, eod, name)


def tokenizer_tokens(kind: str, name: str) -> tuple[int, int | None]:
    """Returns the vocabulary size of a tokenizer, and the token that ends a document, None where there is none.

    Args:
        kind: Kind of the corpus, for messages.
        name: The tokenizer, such as hf:PATH.

    Raises:
        CorpusError: The tokenizer cannot be used, or would have to be trained.
    """
    from scaling.data.tokenizers import make_tokenizer  # not needed for streams without a tokenizer

    if name.partition(":")[0] == "sentencepiece" and name.partition(":")[2].isdecimal():
        raise CorpusError(f"corpus {kind}: tokenizer={name}: must be the one that made the tokens, such as hf:PATH")
    with tempfile.TemporaryDirectory() as folder:  # the file is kept beside the tokens once they are written
        tokenizer = make_tokenizer(name, lambda: iter(()), Path(folder))
    return tokenizer.vocab, None if tokenizer.eod < 0 else tokenizer.eod


def parse_dtype(kind: str, options: dict[str, str]) -> str | None:
    """Returns the NumPy type that the option `dtype` names, None where it is not given.

    Raises:
        CorpusError: It is no type of tokens.
    """
    name = options.get("dtype")
    if name is not None and name not in DTYPES:
        raise CorpusError(f"corpus {kind}: dtype={name}: must be one of {', '.join(DTYPES)}")
    return None if name is None else DTYPES[name]


def plain_layout(size: int, dtype: str) -> Layout:
    """Returns the layout of a file without a header.

    Args:
        size: Bytes of the file.
        dtype: NumPy type of a token.

    Raises:
        RecordError: The size is no multiple of that of a token.
    """
    item = np.dtype(dtype).itemsize
    if size % item:
        raise RecordError(f"{size} bytes are no whole number of tokens of {item} bytes: truncated, or another dtype=")
    return Layout(0, size // item, dtype)


def stream_source(
    files: tuple[File, ...], layout_of: Callable[[File], Layout], eod: int | None
) -> DocumentSource[np.ndarray]:
    """Makes the source of files that are token streams.

    Args:
        files: The files.
        layout_of: Returns where the tokens of a file are, or raises RecordError.
        eod: Token that ends a document; None to read the stream in arrays of READ_TOKENS.
    """
    parts, layouts, faults = list[Part](), dict[str, Layout](), dict[str, str]()
    for file in files:
        try:
            layout = layouts[file.address] = layout_of(file)
        except RecordError as error:
            faults[file.address] = str(error)
            parts.append(Part(file.address, size=file.size))
            continue
        step = PART_BYTES // np.dtype(layout.dtype).itemsize
        for start in range(0, layout.count, step):
            stop = min(start + step, layout.count)
            parts.append(Part(file.address, start, stop, (stop - start) * np.dtype(layout.dtype).itemsize))
    return DocumentSource(tuple(parts), partial(read_stream, layouts=layouts, faults=faults, eod=eod))


def read_stream(
    part: Part, on_bad: OnBad, *, layouts: dict[str, Layout], faults: dict[str, str], eod: int | None
) -> Iterator[np.ndarray]:
    """Yields the arrays of a part: its stream, or the documents that start in it, with their ends.

    Args:
        part: A range of tokens of a file.
        on_bad: Called for each bad record.
        layouts: Where the tokens of each file are.
        faults: Files that cannot be used, and why.
        eod: Token that ends a document; None to yield the stream in arrays of READ_TOKENS.

    Raises:
        CorpusError: The file cannot be read, or `on_bad` raises it.
    """
    if part.file in faults:
        on_bad(BadRecord(part.file, None, None, faults[part.file]))
        return
    layout, stop = layouts[part.file], part.stop or 0
    with open_binary(part.file) as file:
        try:
            if eod is None:
                yield from read_tokens(file, layout, part.start, stop)
            else:
                yield from read_documents(file, layout, (part.start, stop), eod)
        except RecordError as error:
            on_bad(BadRecord(part.file, None, layout.offset + (error.offset or 0), str(error)))


def read_tokens(file: BinaryIO, layout: Layout, start: int, stop: int) -> Iterator[np.ndarray]:
    """Yields the tokens of a range in arrays of at most READ_TOKENS.

    Args:
        file: The file.
        layout: Where its tokens are.
        start: First token.
        stop: End of the range, exclusive.

    Raises:
        RecordError: The file has become shorter.
    """
    item = np.dtype(layout.dtype).itemsize
    file.seek(layout.offset + start * item)
    while start < stop:
        data = file.read(min(READ_TOKENS, stop - start) * item)
        if not data or len(data) % item:
            raise RecordError("ends too early", start * item)
        start += len(data) // item
        yield np.frombuffer(data, layout.dtype)


def read_documents(file: BinaryIO, layout: Layout, bounds: tuple[int, int], eod: int) -> Iterator[np.ndarray]:
    """Yields the documents that start in a range of tokens, with the tokens that end them.

    A document starts at the start of the file and after the end of another one; the last one of a file may have no end.

    Args:
        file: The file.
        layout: Where its tokens are.
        bounds: First token of the range, and its end, exclusive.
        eod: Token that ends a document.

    Raises:
        RecordError: A document is longer than MAX_DOCUMENT_TOKENS, or the file has become shorter.
    """
    start, stop = bounds
    position, inside = max(start - 1, 0), start == 0  # the token before shows whether a document starts at `start`
    pending, size = list[np.ndarray](), 0
    for array in read_tokens(file, layout, position, layout.count):
        begin = 0
        for end in (np.flatnonzero(array == eod) + 1).tolist():
            if inside:
                yield np.concatenate((*pending, array[begin:end]))
                pending, size = [], 0
            inside, begin = True, end
            if position + end >= stop:
                return
        position += array.size
        if inside and begin < array.size:
            pending.append(array[begin:])
            size += array.size - begin
        if not inside and position >= stop:
            return
        if size > MAX_DOCUMENT_TOKENS:
            problem = f"the token eod={eod} is not in {size} tokens: choose another one"
            raise RecordError(problem, (position - size) * np.dtype(layout.dtype).itemsize)
    if size:
        yield np.concatenate(pending)


def largest_token(source: DocumentSource[np.ndarray]) -> int:
    """Returns the largest token of a corpus, -1 where there is none; reads all of it."""
    return max((int(array.max()) for array in source.documents(lambda record: None) if array.size), default=-1)


def token_corpus(
    source: DocumentSource[np.ndarray],
    opts: TokenOptions,
    notes: list[str],
    validation: DocumentSource[np.ndarray] | None = None,
) -> TokenCorpus:
    """Makes the corpus of token streams.

    Args:
        source: Documents of the training split, or the whole stream.
        opts: Vocabulary, end of a document, tokenizer.
        notes: Lines for the user.
        validation: Documents of the validation split, where there are files of it.
    """
    vocab = opts.vocab
    if vocab is None:
        sources = [source] if validation is None else [source, validation]
        vocab = max(*(largest_token(each) for each in sources), opts.eod if opts.eod is not None else 0) + 1
        notes = [*notes, f"vocabulary of {vocab}, the largest token and one: choose another with vocab="]
    facts = {} if opts.tokenizer is None else {OWN_TOKENS: True}
    return TokenCorpus(
        source.documents, vocab, opts.eod, opts.tokenizer or "tokens", facts,
        notes=notes, validation=None if validation is None else validation.documents, source=source,
        validation_source=validation,
    )  # fmt: skip

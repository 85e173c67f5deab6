"""Preparation of a corpus: its documents are tokenised, split and written as a token file."""

from __future__ import annotations

import contextlib
import itertools
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np

from scaling.data.corpora.specification import open_corpus, stored_corpus_name
from scaling.data.corpus import TextCorpus, TokenCorpus, is_validation
from scaling.data.token_writer import TokenSource, encode_tokens, write_tokens
from scaling.data.tokens import CHUNK_BYTES, token_dtype

STREAM_PARTS = 20  # the last of so many parts of a stream is the validation split
MIN_HASHED_DOCUMENTS = 100  # with fewer, a split by hash could be far from VALIDATION_SHARE
PROGRESS_SECONDS = 30.0  # between progress lines where standard error is no terminal

Split = tuple[Iterator[np.ndarray], Iterator[np.ndarray]]  # training and validation arrays, to be read in this order
Document = tuple[bool, np.ndarray]  # whether it belongs to validation by its hash; its tokens
Item = TypeVar("Item")


def prepare(spec: str, folder: Path, *, tokenizer: str = "bytes") -> Path:
    """Writes the token file of a corpus; preparing the same corpus again keeps the file as it is.

    Documents are split into training and validation by their hash. Of a corpus with few documents, or of one stream,
    the end is the validation split.

    Args:
        spec: Specification of the corpus, such as `text:PATH`, or FILE.py:NAME, a function of a user's file.
        folder: Folder of token files, made where it is missing.
        tokenizer: `bytes`, or `sentencepiece:V`; not used by a corpus that brings its own tokens.

    Returns:
        The path of the token file.

    Raises:
        CorpusError: The corpus is unknown or cannot be used.
        OSError: A file cannot be read or written; it names the file or the folder.
    """
    corpus = open_corpus(spec)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if isinstance(corpus, TextCorpus):
            return _prepare_text(spec, corpus, folder, tokenizer)
        if tokenizer != "bytes":
            _print_note(spec, f"brings its own tokens, the tokenizer {tokenizer} is not used")
        return _prepare_tokens(spec, corpus, folder)
    except OSError as error:
        if error.filename is None:  # a full disk
            raise OSError(error.errno, error.strerror, str(folder)) from None
        raise


def _print_note(spec: str, note: str) -> None:
    print(f"{spec}: {note}", file=sys.stderr)


def _prepare_tokens(spec: str, corpus: TokenCorpus, folder: Path) -> Path:
    for note in corpus.notes:
        _print_note(spec, note)
    source = TokenSource(stored_corpus_name(spec, folder), corpus.tokenizer, corpus.vocab, corpus.eod, corpus.facts)
    if corpus.validation is not None:
        return _write_splits(folder, source, corpus.documents(), corpus.validation())
    if corpus.eod is None:
        total = corpus.total if corpus.total is not None else sum(len(array) for array in corpus.documents())
        arrays = _show_progress(spec, corpus.documents(), total, "tokens", len)
        return write_tokens(folder, source, *_split_stream(arrays, total))
    documents = ((is_validation(tokens.astype("<i8").tobytes()), tokens) for tokens in corpus.documents())
    return _write_documents(folder, source, documents, None, is_small=_is_small(corpus.documents()))


def _prepare_text(spec: str, corpus: TextCorpus, folder: Path, name: str) -> Path:
    from rich.console import Console

    from scaling.data import tokenizers

    is_small = corpus.validation is None and _is_small(corpus.documents())

    def training() -> Iterator[bytes]:
        is_all = is_small or corpus.validation is not None
        return (document for document in corpus.documents() if is_all or not is_validation(document))

    console = Console(stderr=True)
    with console.status(f"{spec}: tokenizer {name}") if sys.stderr.isatty() else contextlib.nullcontext():
        tokenizer = tokenizers.make_tokenizer(name, training, folder)
    dtype = token_dtype(tokenizer.vocab)

    def encode(document: bytes) -> np.ndarray:
        tokens = tokenizer.encode(document)
        out = np.empty(len(tokens) + 1, dtype)
        out[:-1], out[-1] = tokens, tokenizer.eod
        return out

    facts = {**corpus.facts, **tokenizer.facts}
    source = TokenSource(stored_corpus_name(spec, folder), name, tokenizer.vocab, tokenizer.eod, facts)
    if corpus.validation is None:
        documents = ((is_validation(document), encode(document)) for document in corpus.documents())
        path = _write_documents(folder, source, documents, corpus.total, is_small=is_small)
    else:
        train, validation = map(encode, corpus.documents()), map(encode, corpus.validation())
        path = _write_splits(folder, source, train, validation, corpus.total)
    for note in corpus.notes:
        _print_note(spec, note)
    return path


def _is_small(documents: Iterator[object]) -> bool:
    return sum(1 for _ in itertools.islice(documents, MIN_HASHED_DOCUMENTS)) < MIN_HASHED_DOCUMENTS


def _write_documents(
    folder: Path, source: TokenSource, documents: Iterator[Document], total: int | None, *, is_small: bool
) -> Path:
    """Writes documents, which are read once: those that must wait for their split are spooled in an unnamed file."""
    count = 0

    def counted_documents() -> Iterator[Document]:
        nonlocal count
        for document in _show_progress(source.corpus, documents, total, "documents"):
            count += 1
            yield document

    with tempfile.TemporaryFile(dir=folder) as spool:
        split = _split_by_position if is_small else _split_by_hash
        train, validation = split(counted_documents(), spool, source.vocab)
        path = write_tokens(folder, source, train, validation, documents=lambda: count)
    if is_small:
        _print_note(source.corpus, f"fewer than {MIN_HASHED_DOCUMENTS} documents: the end of the corpus is held out")
    return path


def _write_splits(
    folder: Path,
    source: TokenSource,
    train: Iterator[np.ndarray],
    validation: Iterator[np.ndarray],
    total: int | None = None,
) -> Path:
    """Writes the two splits of a corpus that brings both; `total` is the number of training documents, if known."""
    count = 0

    def counted_documents(documents: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        nonlocal count
        for document in documents:
            count += 1
            yield document

    train = _show_progress(source.corpus, counted_documents(train), total, "documents")
    return write_tokens(folder, source, train, counted_documents(validation), documents=lambda: count)


def _split_by_hash(documents: Iterator[Document], spool: BinaryIO, vocab: int) -> Split:
    def train() -> Iterator[np.ndarray]:
        for in_validation, tokens in documents:
            if in_validation:
                spool.write(encode_tokens(tokens, vocab))
            else:
                yield tokens

    return train(), _read_spool(spool, vocab)


def _split_by_position(documents: Iterator[Document], spool: BinaryIO, vocab: int) -> Split:
    for _, tokens in documents:
        spool.write(encode_tokens(tokens, vocab))
    total = spool.tell() // np.dtype(token_dtype(vocab)).itemsize
    return _split_stream(_read_spool(spool, vocab), total)


def _read_spool(spool: BinaryIO, vocab: int) -> Iterator[np.ndarray]:
    spool.seek(0)
    while chunk := spool.read(CHUNK_BYTES):
        yield np.frombuffer(chunk, token_dtype(vocab))


def _split_stream(arrays: Iterator[np.ndarray], total: int) -> Split:
    """Splits a stream of `total` tokens: its last part is the validation split."""
    remaining, rest = total - total // STREAM_PARTS, np.zeros(0, np.uint32)

    def train() -> Iterator[np.ndarray]:
        nonlocal remaining, rest
        while remaining:
            array = next(arrays)
            array, rest = array[:remaining], array[remaining:]
            remaining -= len(array)
            yield array

    def validation() -> Iterator[np.ndarray]:
        yield rest
        yield from arrays

    return train(), validation()


def _show_progress(
    spec: str, items: Iterator[Item], total: int | None, unit: str, size: Callable[[Any], int] = lambda _: 1
) -> Iterator[Item]:
    """Yields the items and shows progress: a bar on a terminal, elsewhere a line now and then."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    done, last_line = 0, time.monotonic()
    # isatty, because notebooks set FORCE_COLOR, with which Rich takes any stream for a terminal
    with Progress(console=console, transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(spec, total=total)
        for item in items:
            yield item
            done += size(item)
            progress.update(task, completed=done)
            if progress.disable and time.monotonic() - last_line > PROGRESS_SECONDS:
                last_line = time.monotonic()
                _print_note(spec, f"{done:,} {f'of {total:,} ' if total else ''}{unit}")

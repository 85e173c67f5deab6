"""One token file of a corpus, written by one process."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from scaling.data.corpora.specification import stored_corpus_name
from scaling.data.corpus import TextCorpus, TokenCorpus, is_validation
from scaling.data.prepare.encoding import encode_documents
from scaling.data.prepare.options import BadRecords, PrepareOptions
from scaling.data.prepare.progress import print_note, show_progress
from scaling.data.prepare.text import make_tokenizer, mixture_for_tokenizer, skip_bad_records
from scaling.data.token_writer import TokenSource, encode_tokens, write_tokens
from scaling.data.tokens import CHUNK_BYTES, token_dtype

STREAM_PARTS = 20  # the last of so many parts of a stream is the validation split
MIN_HASHED_DOCUMENTS = 100  # with fewer, a split by hash could be far from VALIDATION_SHARE

Split = tuple[Iterator[np.ndarray], Iterator[np.ndarray]]  # training and validation arrays, to be read in this order
Document = tuple[bool, np.ndarray]  # whether it belongs to validation by its hash; its tokens


def write_token_corpus(
    spec: str, corpus: TokenCorpus, folder: Path, options: PrepareOptions = PrepareOptions()
) -> Path:
    """Writes the token file of a corpus that brings its own tokens, and returns its path.

    Args:
        spec: Specification of the corpus.
        corpus: The corpus.
        folder: Folder of token files.
        options: Bad records.
    """
    bad = BadRecords(spec, options.skip_bad)
    corpus, facts = skip_bad_records(spec, corpus, bad), dict(corpus.facts)
    for note in corpus.notes:
        print_note(spec, note)

    def read(documents: Callable[[], Iterator[np.ndarray]]) -> Iterator[np.ndarray]:
        yield from documents()
        facts.update(bad.facts)  # of all documents; the header is made after them

    source = TokenSource(stored_corpus_name(spec, folder), corpus.tokenizer, corpus.vocab, corpus.eod, facts)
    if corpus.validation is not None:
        return _write_splits(folder, source, read(corpus.documents), read(corpus.validation))
    if corpus.eod is None:
        total = corpus.total if corpus.total is not None else sum(len(array) for array in corpus.documents())
        arrays = show_progress(spec, read(corpus.documents), total, "tokens", len)
        return write_tokens(folder, source, *_split_stream(arrays, total))
    documents = ((is_validation(tokens.astype("<i8").tobytes()), tokens) for tokens in read(corpus.documents))
    return _write_documents(folder, source, documents, None, is_small=_is_small(corpus.documents()))


def write_text_corpus(spec: str, corpus: TextCorpus, folder: Path, name: str, options: PrepareOptions) -> Path:
    """Writes the token file of a corpus of text, and returns its path.

    Args:
        spec: Specification of the corpus.
        corpus: The corpus.
        folder: Folder of token files.
        name: The tokeniser as the user names it.
        options: Threads and bad records.
    """
    bad = BadRecords(spec, options.skip_bad)
    corpus = skip_bad_records(spec, corpus, bad)
    is_small = corpus.validation is None and _is_small(corpus.documents())

    def training() -> Iterator[bytes]:
        is_all = is_small or corpus.validation is not None
        return (document for document in corpus.documents() if is_all or not is_validation(document))

    tokenizer = make_tokenizer(spec, name, training, folder)
    corpus = mixture_for_tokenizer(corpus, tokenizer)

    def encode(documents: Iterator[bytes]) -> Iterator[tuple[bytes, np.ndarray]]:
        yield from encode_documents(tokenizer, documents, options.workers)
        facts.update(bad.facts)  # of all documents; the header is made after them

    facts = {**corpus.facts, **tokenizer.facts}
    source = TokenSource(stored_corpus_name(spec, folder), tokenizer.name, tokenizer.vocab, tokenizer.eod, facts)
    if corpus.validation is None:
        documents = ((is_validation(document), tokens) for document, tokens in encode(corpus.documents()))
        path = _write_documents(folder, source, documents, corpus.total, is_small=is_small)
    else:
        train, validation = ((tokens for _, tokens in encode(d())) for d in (corpus.documents, corpus.validation))
        path = _write_splits(folder, source, train, validation, corpus.total)
    for note in corpus.notes:
        print_note(spec, note)
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
        for document in show_progress(source.corpus, documents, total, "documents"):
            count += 1
            yield document

    with tempfile.TemporaryFile(dir=folder) as spool:
        split = _split_by_position if is_small else _split_by_hash
        train, validation = split(counted_documents(), spool, source.vocab)
        path = write_tokens(folder, source, train, validation, documents=lambda: count)
    if is_small:
        print_note(source.corpus, f"fewer than {MIN_HASHED_DOCUMENTS} documents: the end of the corpus is held out")
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

    train = show_progress(source.corpus, counted_documents(train), total, "documents")
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

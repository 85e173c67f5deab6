"""Documents of a job with their hashes and tokens, from any of them on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from scaling.data.corpora.specification import open_corpus
from scaling.data.corpus import OnBad, Part, TextCorpus, hash_in_validation
from scaling.data.prepare.encoding import batch_documents
from scaling.data.prepare.jobs import Job, Reader, Work
from scaling.data.prepare.text import mixture_for_tokenizer
from scaling.data.shards.manifest import SPLITS
from scaling.data.tokenizers import Tokenizer

STREAM_CHUNK = 1 << 20  # tokens
Hashed = tuple[bytes, Any]  # SHA-256 of a document, and the document: bytes, or an array of tokens


def read_documents(
    work: Work, job: Job, tokenizer: Tokenizer | None, on_bad: OnBad, on_part: Callable[[Part], None]
) -> Iterator[Hashed]:
    """Yields the documents of a job with their hashes.

    Args:
        work: The work.
        job: The job.
        tokenizer: The tokeniser of a text.
        on_bad: Called for each bad record.
        on_part: Called after each part that was read.
    """
    reader = work.readers.get(job.split)
    if reader is not None:
        documents = _read_parts(reader, job, on_bad, on_part)
    else:
        corpus = open_corpus(work.spec)
        if isinstance(corpus, TextCorpus) and tokenizer is not None:
            corpus = mixture_for_tokenizer(corpus, tokenizer)
        opened: Callable[[], Iterator[Any]] | None = corpus.validation if job.split == SPLITS[1] else corpus.documents
        documents = opened() if opened is not None else iter(())
    if work.eod is None:
        documents = _cut_stream(documents, min(work.shard_tokens, STREAM_CHUNK))
    for document in documents:
        data = document if work.is_text else document.astype("<i8").tobytes()
        yield hashlib.sha256(data).digest(), document


def _read_parts(reader: Reader, job: Job, on_bad: OnBad, on_part: Callable[[Part], None]) -> Iterator[Any]:
    for part in job.parts:
        yield from reader(part, on_bad)
        on_part(part)


def _cut_stream(arrays: Iterator[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Yields the arrays of a stream in pieces, because a shard ends with one: an array may be longer than a shard."""
    for array in arrays:
        for start in range(0, len(array), size):
            yield array[start : start + size]


def encode_hashed(
    work: Work, job: Job, tokenizer: Tokenizer | None, documents: Iterator[Hashed], threads: int
) -> Iterator[tuple[bytes, str, np.ndarray]]:
    """Yields the hash, split and tokens of each document.

    Args:
        work: The work.
        job: The job.
        tokenizer: The tokeniser of a text; None for a corpus of tokens.
        documents: The documents with their hashes.
        threads: Threads that encode at the same time.
    """
    if tokenizer is None:
        for digest, tokens in documents:
            yield digest, _split(job, digest), tokens
        return
    hashes = list[bytes]()

    def texts() -> Iterator[bytes]:
        for digest, document in documents:
            hashes.append(digest)
            yield document

    for batch in batch_documents(texts(), threads):
        arrays = tokenizer.encode_documents(batch, work.dtype, threads)
        for digest, tokens in zip(hashes, arrays, strict=True):
            yield digest, _split(job, digest), tokens
        hashes.clear()


def split_stream(documents: Iterator[Hashed], train: int, position: int) -> Iterator[tuple[bytes, str, np.ndarray]]:
    """Yields the hash, split and tokens of the arrays of one stream, whose last part is the validation split.

    Args:
        documents: The arrays with their hashes.
        train: Tokens of the training split.
        position: Tokens before the first array.

    Yields:
        One item per array; of the array that has the end of the training split, one more with an empty hash.
    """
    for digest, tokens in documents:
        inside = max(0, min(train - position, len(tokens)))
        position += len(tokens)
        if inside:
            yield digest, SPLITS[0], tokens[:inside]
        if inside < len(tokens) or not inside:
            yield b"" if inside else digest, SPLITS[1], tokens[inside:]


def _split(job: Job, digest: bytes) -> str:
    return SPLITS[hash_in_validation(digest)] if job.split is None else job.split

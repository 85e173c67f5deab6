"""Documents become tokens in batches, which the libraries of tokenisers encode in parallel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from scaling.data.tokenizers import Tokenizer
from scaling.data.tokens import token_dtype

BATCH_BYTES = 1 << 20  # of text encoded at once per thread: long enough for the threads, short enough for memory
BATCH_DOCUMENTS = 4096


def batch_documents(documents: Iterable[bytes], threads: int) -> Iterator[list[bytes]]:
    """Yields documents in lists of BATCH_BYTES or BATCH_DOCUMENTS per thread; the last one may be shorter.

    Args:
        documents: The documents.
        threads: Threads that encode at the same time.
    """
    batch, length = list[bytes](), 0
    for document in documents:
        batch.append(document)
        length += len(document)
        if length >= BATCH_BYTES * threads or len(batch) >= BATCH_DOCUMENTS * threads:
            yield batch
            batch, length = [], 0
    if batch:
        yield batch


def encode_documents(
    tokenizer: Tokenizer, documents: Iterable[bytes], threads: int
) -> Iterator[tuple[bytes, np.ndarray]]:
    """Yields each document with its tokens, of the smallest type that holds the vocabulary.

    Args:
        tokenizer: The tokeniser.
        documents: Text in UTF-8.
        threads: Threads that encode at the same time, where the library has them.
    """
    dtype = token_dtype(tokenizer.vocab)
    for batch in batch_documents(documents, threads):
        yield from zip(batch, tokenizer.encode_documents(batch, dtype, threads), strict=True)

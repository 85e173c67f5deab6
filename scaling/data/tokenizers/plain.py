"""Tokenisers without a file: bytes, and tokens written as numbers."""

from __future__ import annotations

from functools import partial

import numpy as np

from scaling.data.tokenizers.tokenizer import Tokenizer
from scaling.data.tokens import CorpusError

BYTES_EOD = 256  # the token after the 256 bytes ends a document


def bytes_tokenizer() -> Tokenizer:
    """Returns the tokeniser whose tokens are bytes."""
    return Tokenizer("bytes", 257, BYTES_EOD, lambda d: np.frombuffer(d, np.uint8), _decode_bytes, {})


def numbers_tokenizer(name: str, vocab: int, eod: int | None) -> Tokenizer:
    """Returns the tokeniser of tokens of other origin (seqio, markov): numbers separated by spaces.

    Args:
        name: Its name.
        vocab: Vocabulary size.
        eod: Token that ends a document; None where there is none.
    """
    encode = partial(_parse_token_numbers, vocab=vocab)
    return Tokenizer(name, vocab, -1 if eod is None else eod, encode, _format_token_numbers, {})


def _decode_bytes(tokens: np.ndarray) -> bytes:
    return np.asarray(tokens)[np.asarray(tokens) != BYTES_EOD].astype(np.uint8).tobytes()


def _parse_token_numbers(document: bytes, *, vocab: int) -> np.ndarray:
    numbers = document.decode().split()
    if not all(number.isdecimal() and int(number) < vocab for number in numbers):
        raise CorpusError(
            f"prompt {document.decode()[:60]!r}: must be tokens, numbers below {vocab} separated by spaces"
        )
    return np.asarray([int(number) for number in numbers], np.int64)


def _format_token_numbers(tokens: np.ndarray) -> bytes:
    return " ".join(str(int(token)) for token in tokens).encode()

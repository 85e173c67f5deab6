"""A token file: one tokenised corpus, memory-mapped for reading. NumPy and the standard library only.

Layout: 8 bytes of magic, the length of the header (8 bytes, little-endian), the header (JSON), zeros up to a multiple
of 4096, then the tokens of the training split and of the validation split (little-endian).
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from scaling.config.os_errors import open_file
from scaling.store.files import write_atomic

MAGIC = b"SCLTOKS1"
ALIGNMENT = 4096  # bytes: the tokens start at a multiple of a memory page
CHUNK_BYTES = 1 << 22  # bytes read or written at a time
SUFFIX = ".tokens"
TOKEN_BYTES = {"<u2": 2, "<u4": 4}
HEADER_FIELDS: dict[str, Any] = {
    "corpus": str, "tokenizer": str, "vocab": int, "eod": int | None, "documents": int, "facts": dict, "dtype": str,
    "counts": list, "content_hash": str,
}  # fmt: skip
TEXT_TOKENIZERS = (
    "bytes",
    "sentencepiece",
    "hf",
    "tiktoken",
)  # kinds of tokenisers of text; other corpora define their own tokens
REMEDY = "remove the file and prepare the corpus again"
MAX_VOCAB = 1 << 31  # batches are int32


class CorpusError(ValueError):
    """A corpus or token file cannot be used; the message is one line that names it."""


class TokenArray(Protocol):
    """The tokens of a split: a memory map, or shards that are read where they lie."""

    @property
    def dtype(self) -> np.dtype:
        """NumPy type of a token."""

    def __len__(self) -> int:
        """Number of tokens."""

    def __getitem__(self, index: Any) -> np.ndarray:
        """Returns tokens by slice or by an array of indices."""


@dataclass(frozen=True)
class TokenFile:
    """A verified token file.

    Attributes:
        path: The file.
        corpus: Specification of the corpus.
        tokenizer: Name of the tokeniser.
        vocab: Vocabulary size.
        eod: Token that ends each document; None where the corpus is one stream.
        documents: Number of documents.
        content_hash: SHA-256 over everything that changes a run's numbers (tokens, their type, vocabulary and split),
            never over names or paths.
        facts: Known properties of the corpus.
        dtype: NumPy type of a token, `<u2` or `<u4`.
        offset: Byte at which the tokens start.
        counts: Tokens of the training split and of the validation split.
    """

    path: Path
    corpus: str
    tokenizer: str
    vocab: int
    eod: int | None
    documents: int
    content_hash: str
    facts: dict[str, Any]
    dtype: str
    offset: int
    counts: tuple[int, int]

    @functools.cached_property
    def train(self) -> TokenArray:
        """Tokens of the training split, shape (n,), read-only."""
        return self._map(self.offset, self.counts[0])

    @functools.cached_property
    def validation(self) -> TokenArray:
        """Tokens of the validation split, shape (n,), read-only."""
        return self._map(self.offset + self.counts[0] * np.dtype(self.dtype).itemsize, self.counts[1])

    def _map(self, offset: int, count: int) -> np.ndarray:
        if not count:
            return np.zeros(0, self.dtype)
        return np.memmap(self.path, dtype=self.dtype, mode="r", offset=offset, shape=(count,))


def token_dtype(vocab: int) -> str:
    """Returns the smaller of uint16 and uint32 that holds every token of a vocabulary."""
    if not 0 < vocab <= MAX_VOCAB:
        raise CorpusError(f"a vocabulary of {vocab} tokens: must be between 1 and 2**31")
    return "<u2" if vocab <= 1 << 16 else "<u4"


def content_hash(dtype: str, vocab: int, counts: tuple[int, int], payload_sha256: str) -> str:
    """Computes the content hash of a token file, 64 hex digits, by which runs refer to it.

    Args:
        dtype: NumPy type of a token.
        vocab: Vocabulary size.
        counts: Tokens of the training split and of the validation split.
        payload_sha256: SHA-256 of the token bytes, training split first.
    """
    identity = {"dtype": dtype, "vocab": vocab, "train": counts[0], "validation": counts[1], "payload": payload_sha256}
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def read_header(path: Path) -> dict[str, Any]:
    """Reads the header of a token file and checks it against the size of the file.

    Returns:
        The fields of the header, and `offset`, the byte at which the tokens start.

    Raises:
        CorpusError: The file cannot be read, is no token file, or is damaged.
    """
    try:
        size = path.stat().st_size
        with open_file(path) as file:
            start = file.read(16)
            if size == 0:
                raise CorpusError(f"{path}: empty: {REMEDY}")
            if start[:8] != MAGIC:
                raise CorpusError(f"{path}: not a token file: make one with `python -m scaling prepare`")
            length = int.from_bytes(start[8:], "little")
            text = file.read(length) if length < size else b""
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        header = json.loads(text)
        offset = -(-(16 + length) // ALIGNMENT) * ALIGNMENT
        train, validation = header["counts"]
        expected = offset + (train + validation) * TOKEN_BYTES[header["dtype"]]
        if header.keys() != HEADER_FIELDS.keys() or min(train, validation) < 0 or type(expected) is not int:
            raise KeyError
        if not all(isinstance(header[name], kind) for name, kind in HEADER_FIELDS.items()):
            raise TypeError
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise CorpusError(f"{path}: damaged header: {REMEDY}") from None
    if size != expected:
        problem = "truncated" if size < expected else "too long"
        raise CorpusError(f"{path}: {problem}: {size} bytes where the header says {expected}: {REMEDY}")
    return {**header, "offset": offset}


def open_token_file(path: Path) -> TokenFile:
    """Opens a token file and verifies its checksum, which is computed once for each state of the file.

    Raises:
        CorpusError: The file cannot be read, is damaged, or does not match its checksum.
    """
    header = read_header(path)
    if not is_verified(path):
        digest = sha256_of(path, header["offset"])
        computed = content_hash(header["dtype"], header["vocab"], tuple(header["counts"]), digest)
        if computed != header["content_hash"]:
            raise CorpusError(f"{path}: altered: its content does not match its checksum: {REMEDY}")
        mark_verified(path)
    return TokenFile(path=path, **{**header, "counts": tuple(header["counts"])})


def _verification_mark(path: Path) -> tuple[Path, str]:
    """Returns the file that records a verification, and the state of the token file that it should contain."""
    stat = path.stat()
    return path.with_name(f".{path.name}.verified"), f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ino}"


def sha256_of(path: Path, offset: int = 0) -> str:
    """Returns the SHA-256 of a file from a byte on, 64 hex digits.

    Args:
        path: The file.
        offset: First byte.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(offset)
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def is_verified(path: Path) -> bool:
    """Whether the file in its present state was found to match its checksum."""
    mark, state = _verification_mark(path)
    with contextlib.suppress(OSError), open_file(mark) as file:
        return file.read() == state.encode()
    return False


def mark_verified(path: Path) -> None:
    """Records that the file in its present state matches its checksum."""
    mark, state = _verification_mark(path)
    if mark.exists() and not mark.is_file():  # such as a FIFO, which would be written to
        return
    with contextlib.suppress(OSError):  # a read-only or full folder: the file is verified again next time
        write_atomic(mark, state.encode())


def has_content(path: Path, expected: str) -> bool:
    """Whether a token file exists, is intact and has a content hash.

    Args:
        path: The file.
        expected: The content hash.
    """
    try:
        return path.exists() and open_token_file(path).content_hash == expected
    except CorpusError:  # damaged: the file being prepared replaces it
        return False


def corpus_slug(corpus: str) -> str:
    """Returns the start of the names of a corpus's token files."""
    return re.sub(r"[^a-z0-9]+", "-", corpus.lower()).strip("-")[:40]

"""Writing of token files, atomically; `scaling.data.tokens` describes their layout."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from scaling.data.tokens import (
    ALIGNMENT,
    CHUNK_BYTES,
    MAGIC,
    SUFFIX,
    CorpusError,
    content_hash,
    corpus_slug,
    has_content,
    mark_verified,
    read_header,
    token_dtype,
)
from scaling.store.files import process_exists
from scaling.store.origin.anonymous import is_this_host
from scaling.store.origin.clock import time_of_day
from scaling.store.origin.machine import machine_alias

ABANDONED_SECONDS = 86_400  # after a day without a change, a partial file of another host counts as abandoned


@dataclass(frozen=True)
class TokenSource:
    """Where the tokens of a file come from, as its header states it.

    Attributes:
        corpus: Specification of the corpus, such as `text:PATH`.
        tokenizer: Name of the tokeniser.
        vocab: Vocabulary size; every token is below it.
        eod: Token that ends each document; None where the corpus is one stream.
        facts: Known properties of the corpus, such as the `entropy_rate` of a Markov chain in nats per token.
    """

    corpus: str
    tokenizer: str
    vocab: int
    eod: int | None
    facts: dict[str, Any] = field(default_factory=dict)


def write_tokens(
    folder: Path,
    source: TokenSource,
    train: Iterable[np.ndarray],
    validation: Iterable[np.ndarray],
    documents: Callable[[], int] = lambda: 1,
) -> Path:
    """Writes both splits as one token file, atomically; a file of the same content is kept as it is.

    Until the last byte is synced the file has a hidden name with the id of this process. The next process removes
    what a killed one left behind.

    Args:
        folder: Folder of token files, made where it is missing.
        source: Where the tokens come from.
        train: Arrays of tokens of the training split, in order.
        validation: Arrays of tokens of the validation split, read after `train` is exhausted.
        documents: Returns the number of documents; called after both splits are read.

    Returns:
        The path of the token file.

    Raises:
        CorpusError: The training split is empty, or a token is outside the vocabulary.
    """
    dtype = token_dtype(source.vocab)
    folder.mkdir(parents=True, exist_ok=True)
    remove_abandoned_files(folder)
    payload, partial = (folder / f".{part}-{machine_alias()}-{os.getpid()}" for part in ("payload", "writing"))
    try:
        digest = hashlib.sha256()
        with payload.open("wb") as file:
            counts = tuple(_append_tokens(file, split, source.vocab, digest) for split in (train, validation))
        if not counts[0]:
            raise CorpusError(f"corpus {source.corpus}: empty: it has no training tokens")
        header = _make_header(source, dtype, documents(), counts, digest.hexdigest())
        final = _file_path(folder, header)
        if has_content(final, header["content_hash"]):
            os.utime(final)
        else:
            with payload.open("rb") as tokens:
                _join_file(partial, header, tokens)
            os.replace(partial, final)
        mark_verified(final)
        return final
    finally:
        payload.unlink(missing_ok=True)
        partial.unlink(missing_ok=True)


def _append_tokens(file: BinaryIO, arrays: Iterable[np.ndarray], vocab: int, digest: Any) -> int:
    """Appends arrays of tokens to the payload and its digest; returns the number of tokens."""
    count = 0
    for array in arrays:
        data = encode_tokens(array, vocab)
        file.write(data)
        digest.update(data)
        count += array.size
    return count


def rename_corpus(path: Path, corpus: str) -> Path:
    """Writes a token file under another name of its corpus, removes the old one, and returns the path of the new one.

    Args:
        path: The token file; its content hash and its time stay the same.
        corpus: The new name of the corpus.

    Raises:
        CorpusError: The file is damaged.
    """
    header = read_header(path)
    offset = header.pop("offset")
    header["corpus"] = corpus
    final, partial = _file_path(path.parent, header), path.with_name(f".writing-{machine_alias()}-{os.getpid()}")
    try:
        with path.open("rb") as payload:
            payload.seek(offset)
            _join_file(partial, header, payload)
        shutil.copystat(path, partial)
        os.replace(partial, final)
    finally:
        partial.unlink(missing_ok=True)
    if final != path:
        for old in (path, path.with_name(f".{path.name}.verified")):
            old.unlink(missing_ok=True)
    return final


def _make_header(source: TokenSource, dtype: str, documents: int, counts: Any, payload_sha256: str) -> dict[str, Any]:
    return {
        "corpus": source.corpus, "tokenizer": source.tokenizer, "vocab": source.vocab, "eod": source.eod,
        "documents": documents, "facts": source.facts, "dtype": dtype, "counts": counts,
        "content_hash": content_hash(dtype, source.vocab, counts, payload_sha256),
    }  # fmt: skip


def _file_path(folder: Path, header: dict[str, Any]) -> Path:
    """Names a token file by its corpus and content; by a hash of the corpus too, where another corpus has that name."""
    corpus, short_hash = header["corpus"], header["content_hash"][:16]
    slug = corpus_slug(corpus)
    path = folder / f"{slug}-{short_hash}{SUFFIX}"
    if has_content(path, header["content_hash"]):
        same_name = read_header(path)
        if any(same_name[name] != header[name] for name in ("corpus", "tokenizer")):
            return folder / f"{slug}-{hashlib.sha256(corpus.encode()).hexdigest()[:8]}-{short_hash}{SUFFIX}"
    return path


def _join_file(path: Path, header: dict[str, Any], tokens: BinaryIO) -> None:
    """Writes header and payload as one synced file."""
    text = json.dumps(header, allow_nan=False).encode()
    start = MAGIC + len(text).to_bytes(8, "little") + text
    with path.open("wb") as out:
        out.write(start + b"\0" * (-len(start) % ALIGNMENT))
        while chunk := tokens.read(CHUNK_BYTES):
            out.write(chunk)
        out.flush()
        os.fsync(out.fileno())


def encode_tokens(array: np.ndarray, vocab: int) -> bytes:
    """Encodes tokens as the bytes that a token file holds.

    Args:
        array: Tokens, any integer type.
        vocab: Vocabulary size, which decides the bytes per token.

    Raises:
        CorpusError: A token is outside the vocabulary.
    """
    if array.size and not 0 <= int(array.min()) <= int(array.max()) < vocab:
        outside = int(array.min()) if array.min() < 0 else int(array.max())
        raise CorpusError(f"token {outside} is outside the vocabulary of {vocab}")
    return np.ascontiguousarray(array, token_dtype(vocab)).tobytes()


def remove_abandoned_files(folder: Path) -> None:
    """Removes partial files of processes that have ended, and of other hosts after a day without a change."""
    for path in [*folder.glob(".payload-*"), *folder.glob(".writing-*")]:
        host, _, pid = path.name.partition("-")[2].rpartition("-")
        with contextlib.suppress(FileNotFoundError):  # another process removed it
            if is_this_host(host):
                abandoned = not process_exists(int(pid))
            else:
                abandoned = time_of_day() - path.stat().st_mtime > ABANDONED_SECONDS
            if abandoned:
                path.unlink()

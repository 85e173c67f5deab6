"""Token files: one corpus, tokenised once, memory-mapped ever after. NumPy and the standard library.

Layout: 8 bytes of magic, 8 bytes little-endian length of the header, the header (JSON), zeros up to
a multiple of 4096, then the tokens of the training split and of the validation split, little-endian.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import re
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from scaling.store.files import alive

MAGIC = b"SCLTOKS1"
ALIGN = 4096
CHUNK = 1 << 22  # bytes read or written at a time
SUFFIX = ".tokens"
WIDTHS = {"<u2": 2, "<u4": 4}  # bytes a token
FIELDS = {"corpus", "tokenizer", "vocab", "eod", "documents", "facts", "dtype", "counts", "content_hash"}
AGAIN = "remove it and prepare the corpus again"
DAY = 86_400  # seconds


class DataError(ValueError):
    """A corpus or token file that cannot be used: one line that names it."""


@dataclass(frozen=True)
class TokenFile:
    """A verified token file.

    content_hash: SHA-256 over all that changes a run's numbers (tokens, their type, vocabulary and
    split), never over names or paths. facts: what is known of the corpus (a markov chain's
    `entropy_rate`, nats a token).
    """

    path: Path
    corpus: str
    tokenizer: str
    vocab: int
    eod: int | None  # the token that ends each document; None: the corpus is one stream
    documents: int
    content_hash: str
    facts: dict[str, Any]
    dtype: str
    offset: int
    counts: tuple[int, int]

    @functools.cached_property
    def train(self) -> np.ndarray:
        """Tokens of the training split, shape (n,), read only."""
        return self._map(self.offset, self.counts[0])

    @functools.cached_property
    def validation(self) -> np.ndarray:
        """Tokens of the validation split, shape (n,), read only."""
        return self._map(self.offset + self.counts[0] * np.dtype(self.dtype).itemsize, self.counts[1])

    def _map(self, offset: int, count: int) -> np.ndarray:
        if not count:
            return np.zeros(0, self.dtype)
        return np.memmap(self.path, dtype=self.dtype, mode="r", offset=offset, shape=(count,))


def token_type(vocab: int) -> str:
    """Smallest of uint16 and uint32 that holds the vocabulary; batches are int32."""
    if not 0 < vocab <= 1 << 31:
        raise DataError(f"a vocabulary of {vocab} tokens: must be between 1 and 2**31")
    return "<u2" if vocab <= 1 << 16 else "<u4"


def content_hash(dtype: str, vocab: int, counts: tuple[int, int], payload_sha256: str) -> str:
    """The name of the data: 64 hex digits."""
    identity = {"dtype": dtype, "vocab": vocab, "train": counts[0], "validation": counts[1], "payload": payload_sha256}
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def read_header(path: Path) -> dict[str, Any]:
    """The header, its offset and size checked against the file; DataError names the file and what is wrong."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(16)
            if size == 0:
                raise DataError(f"{path}: empty: {AGAIN}")
            if start[:8] != MAGIC:
                raise DataError(f"{path}: not a token file: make one with `python -m scaling prepare`")
            length = int.from_bytes(start[8:], "little")
            text = file.read(length) if length < size else b""
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        header = json.loads(text)
        offset = -(-(16 + length) // ALIGN) * ALIGN
        train, validation = header["counts"]
        expected = offset + (train + validation) * WIDTHS[header["dtype"]]
        if header.keys() != FIELDS or min(train, validation) < 0:
            raise KeyError
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DataError(f"{path}: damaged header: {AGAIN}") from None
    if size != expected:
        how = "truncated" if size < expected else "too long"
        raise DataError(f"{path}: {how}: {size} bytes where the header says {expected}: {AGAIN}")
    return {**header, "offset": offset}


def open_tokens(path: Path) -> TokenFile:
    """The token file, its checksum verified (once for each state of the file); DataError names what is wrong."""
    header = read_header(path)
    if not _verified(path):
        digest = hashlib.sha256()
        with path.open("rb") as file:
            file.seek(header["offset"])
            while chunk := file.read(CHUNK):
                digest.update(chunk)
        found = content_hash(header["dtype"], header["vocab"], tuple(header["counts"]), digest.hexdigest())
        if found != header["content_hash"]:
            raise DataError(f"{path}: altered: its content does not match its checksum: {AGAIN}")
        _remember(path)
    return TokenFile(
        path, header["corpus"], header["tokenizer"], header["vocab"], header["eod"], header["documents"],
        header["content_hash"], header["facts"], header["dtype"], header["offset"], tuple(header["counts"]),
    )  # fmt: skip


def _stamp(path: Path) -> tuple[Path, str]:
    stat = path.stat()
    return path.with_name(f".{path.name}.verified"), f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ino}"


def _verified(path: Path) -> bool:
    stamp, now = _stamp(path)
    with contextlib.suppress(OSError):
        return stamp.read_bytes() == now.encode()
    return False


def _remember(path: Path) -> None:
    stamp, now = _stamp(path)
    with contextlib.suppress(OSError):  # a folder that is read only, or full: the file is verified again next time
        stamp.write_text(now)


def _intact(path: Path, content_hash: str) -> bool:
    """Whether the file is there, whole, and has that content."""
    try:
        return path.exists() and open_tokens(path).content_hash == content_hash
    except DataError:  # damaged: what is being prepared takes its place
        return False


def _is(header: dict[str, Any], corpus: str, tokenizer: str) -> bool:
    return (header["corpus"], header["tokenizer"]) == (corpus, tokenizer)


def _token_files(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        if not path.name.startswith("."):
            yield path, read_header(path)


def find_tokens(folder: Path, content_hash: str) -> Path:
    """The token file of that content in `folder`; DataError where there is none."""
    for path in sorted(folder.glob(f"*-{content_hash[:16]}{SUFFIX}")):
        if read_header(path)["content_hash"] == content_hash:
            return path
    raise DataError(f"no token file of content {content_hash[:16]}… in {folder}: run `python -m scaling prepare` there")


def find_corpus(folder: Path, corpus: str, tokenizer: str = "bytes") -> Path | None:
    """The newest token file of that corpus and tokeniser in `folder`, None where there is none."""
    found = [path for path, header in _token_files(folder) if _is(header, corpus, tokenizer)]
    return max(found, key=lambda path: path.stat().st_mtime_ns, default=None)


def write_tokens(
    folder: Path,
    train: Iterable[np.ndarray],
    validation: Iterable[np.ndarray],
    *,
    corpus: str,
    tokenizer: str,
    vocab: int,
    eod: int | None,
    documents: Callable[[], int],
    facts: dict[str, Any] | None = None,
) -> Path:
    """Writes the splits (arrays in order) as one token file and returns its path.

    Until the last byte is synced the file has a hidden name of this process; what a killed process
    left under such a name is removed by the next. A file of the same content is left as it is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sweep_up(folder)
    dtype = token_type(vocab)
    payload, whole = (folder / f".{part}-{socket.gethostname()}-{os.getpid()}" for part in ("payload", "writing"))
    try:
        digest = hashlib.sha256()
        with payload.open("wb") as file:
            counts = (_append(file, train, vocab, digest), _append(file, validation, vocab, digest))
        if not counts[0]:
            raise DataError(f"corpus {corpus}: empty: there is nothing to train on")
        name = content_hash(dtype, vocab, counts, digest.hexdigest())
        header = {
            "corpus": corpus, "tokenizer": tokenizer, "vocab": vocab, "eod": eod, "documents": documents(),
            "facts": facts or {}, "dtype": dtype, "counts": counts, "content_hash": name,
        }  # fmt: skip
        slug = re.sub(r"[^a-z0-9]+", "-", corpus.lower()).strip("-")[:40]
        final = folder / f"{slug}-{name[:16]}{SUFFIX}"
        if _intact(final, name) and not _is(read_header(final), corpus, tokenizer):  # same text under a like name
            final = folder / f"{slug}-{hashlib.sha256(corpus.encode()).hexdigest()[:8]}-{name[:16]}{SUFFIX}"
        if _intact(final, name):
            os.utime(final)
            _remember(final)
            return final
        text = json.dumps(header, allow_nan=False).encode()
        start = MAGIC + len(text).to_bytes(8, "little") + text
        with whole.open("wb") as out, payload.open("rb") as tokens:
            out.write(start + b"\0" * (-len(start) % ALIGN))
            while chunk := tokens.read(CHUNK):
                out.write(chunk)
            out.flush()
            os.fsync(out.fileno())
        os.replace(whole, final)
        _remember(final)
        return final
    finally:
        payload.unlink(missing_ok=True)
        whole.unlink(missing_ok=True)


def _append(file: BinaryIO, arrays: Iterable[np.ndarray], vocab: int, digest: Any) -> int:
    count = 0
    for array in arrays:
        data = pack(array, vocab)
        file.write(data)
        digest.update(data)
        count += array.size
    return count


def pack(array: np.ndarray, vocab: int) -> bytes:
    """Tokens as the bytes that stand in the file; DataError where one lies outside the vocabulary."""
    if array.size and not 0 <= int(array.min()) <= int(array.max()) < vocab:
        wrong = int(array.min()) if array.min() < 0 else int(array.max())
        raise DataError(f"token {wrong} lies outside the vocabulary of {vocab}")
    return np.ascontiguousarray(array, token_type(vocab)).tobytes()


def sweep_up(folder: Path) -> None:
    """Removes what processes that are gone left half written; another host's after a day without a change."""
    for left in [*folder.glob(".payload-*"), *folder.glob(".writing-*")]:
        host, _, pid = left.name.partition("-")[2].rpartition("-")
        with contextlib.suppress(FileNotFoundError):  # another process swept it up
            if not alive(int(pid)) if host == socket.gethostname() else time.time() - left.stat().st_mtime > DAY:
                left.unlink()

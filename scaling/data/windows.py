"""Token file to batches. Batch i is a pure function of (content hash, seed, length, i): nothing is
remembered between batches, so a resumed run, another batch size or another host reads the same rows.
"""

from __future__ import annotations

import functools
import hashlib

import numpy as np

from scaling.data.tokens import DataError, TokenFile

ROUNDS = 8  # of the Feistel network: 4 are pseudorandom (Luby & Rackoff 1988), more cost nothing here
SMALL = 1 << 14  # indices whose permutation is kept as a table


def permuted(index: np.ndarray, size: int, key: bytes) -> np.ndarray:
    """Where each index of [0, size) goes under the permutation that `key` names, shape of `index`.

    A Feistel network on the next even number of bits, walked until the image falls inside: exact,
    without a table, and ours to keep unchanged (NumPy's generators promise no stable stream).
    """
    half = max(1, (max(size - 1, 1).bit_length() + 1) // 2)
    mask = np.uint64((1 << half) - 1)
    keys = np.frombuffer(hashlib.sha256(key).digest() + hashlib.sha256(key + b"+").digest(), "<u8")[:ROUNDS]
    out = index.astype(np.uint64)
    outside = np.ones(out.shape, bool)
    while outside.any():
        left, right = out[outside] >> np.uint64(half), out[outside] & mask
        for round_key in keys:
            left, right = right, left ^ (mix(right ^ round_key) & mask)
        out[outside] = (left << np.uint64(half)) | right
        outside = out >= size
    return out.astype(np.int64)


@functools.lru_cache(maxsize=16)
def table(size: int, key: bytes) -> np.ndarray:
    """`permuted` of every index, kept: an epoch of few rows is asked for again and again."""
    out = permuted(np.arange(size, dtype=np.int64), size, key)
    out.flags.writeable = False
    return out


def moved(index: np.ndarray, size: int, key: bytes) -> np.ndarray:
    """`permuted`, by the table where that is small."""
    return table(size, key)[index] if size <= SMALL else permuted(index, size, key)


def mix(x: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele 2014): every bit of x touches every bit of the result."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def windows(count: int, length: int, stride: int | None = None) -> int:
    """Windows of length + 1 tokens in `count` tokens, at a stride of `length` (each token is a target once) or another:
    examples that share no token have length + 1."""
    return max(0, (count - 1 - length) // (stride or length) + 1)


def order(
    tokens: TokenFile,
    *,
    seed: int,
    length: int,
    rows: np.ndarray,
    unique: int | None = None,
    stride: int | None = None,
) -> np.ndarray:
    """The window that each row of the run reads: every window once an epoch, each epoch in an order of its own.

    unique: only so many tokens are read, then they again. They are windows drawn from all of the text, the same for
    every seed, and less text is always a part of more.
    """
    there = windows(len(tokens.train), length, stride)
    size = there if unique is None else min(there, unique // length)
    epochs, places = rows // size, rows % size
    out = np.empty_like(rows)
    for epoch in np.unique(epochs):
        here = epochs == epoch
        out[here] = moved(places[here], size, f"{tokens.content_hash} {seed} {length} {epoch}".encode())
    return out if unique is None else chosen(tokens, out, there, length)


def chosen(tokens: TokenFile, rows: np.ndarray, there: int, length: int) -> np.ndarray:
    """The windows, of all `there` are, that a run of few unique tokens has: those numbered `rows` of them."""
    return moved(rows, there, f"{tokens.content_hash} {length} unique".encode())


def batch(tokens: TokenFile, *, seed: int, size: int, length: int, index: int, unique: int | None = None) -> np.ndarray:
    """Batch `index` of a run: int32 (size, length + 1); inputs are [:, :-1], targets [:, 1:]."""
    rows = index * size + np.arange(size, dtype=np.int64)
    return sequences(tokens, seed=seed, length=length, rows=rows, unique=unique)


def sequences(
    tokens: TokenFile,
    *,
    seed: int,
    length: int,
    rows: np.ndarray,
    unique: int | None = None,
    stride: int | None = None,
) -> np.ndarray:
    """Those sequences of a run, whatever its batches: int32 (rows, length + 1); rows: numbers from its start."""
    at = order(tokens, seed=seed, length=length, rows=rows, unique=unique, stride=stride)
    return _gather(tokens.train, at * (stride or length), length)


def followed(
    tokens: TokenFile, *, length: int, sequences: int, unique: int | None = None, stride: int | None = None
) -> np.ndarray:
    """A fixed set of the windows that a run trains on, whatever its seed: int32 (S, length + 1), S as of
    `validation_windows`."""
    there = windows(len(tokens.train), length, stride)
    size = there if unique is None else min(there, unique // length)
    taken = min(sequences, size)
    rows = np.arange(taken, dtype=np.int64) * size // taken
    rows = rows if unique is None else chosen(tokens, rows, there, length)
    return _gather(tokens.train, rows * (stride or length), length)


def in_order(tokens: TokenFile, *, length: int, rows: np.ndarray, stride: int | None = None) -> np.ndarray:
    """Those sequences of the validation split, counted from its start: int32 (rows, length + 1)."""
    return _gather(tokens.validation, rows * (stride or length), length)


def validation_windows(tokens: TokenFile, *, length: int, sequences: int, stride: int | None = None) -> np.ndarray:
    """A fixed set of windows, evenly spread over the validation split: int32 (S, length + 1).

    S is `sequences`, or all the windows there are where they are fewer.
    """
    available = windows(len(tokens.validation), length, stride)
    taken = min(sequences, available)
    if not taken:
        raise DataError(_short(tokens, "validation", len(tokens.validation), length))
    starts = np.arange(taken, dtype=np.int64) * available // taken * (stride or length)
    return _gather(tokens.validation, starts, length)


def check(tokens: TokenFile, *, vocab: int, length: int, document_end: int | None = None) -> None:
    """DataError where a model of `vocab` tokens cannot read the file, its documents end otherwise than in
    `document_end`, or a split is shorter than one window."""
    if vocab < tokens.vocab:
        raise DataError(
            f"model.vocab = {vocab} is smaller than the vocabulary of {tokens.path}: set it to at least {tokens.vocab}"
        )
    if document_end is not None and document_end != tokens.eod:
        ends = "are one stream" if tokens.eod is None else f"end in token {tokens.eod}"
        raise DataError(f"data.document_end = {document_end}: the documents of {tokens.path} {ends}")
    for split, count in zip(("train", "validation"), tokens.counts, strict=True):
        if not windows(count, length):
            raise DataError(_short(tokens, split, count, length))


def _short(tokens: TokenFile, split: str, count: int, length: int) -> str:
    return f"{tokens.path}: the {split} split has {count} tokens, fewer than one window of {length + 1}"


def _gather(split: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    return split[starts[:, None] + np.arange(length + 1)[None, :]].astype(np.int32)

"""Windows of a token file and the order in which a run reads them.

Row i of a run is a pure function of (content hash, seed, length, i). There is no state between batches, so the rows do
not depend on resuming, batch size or host.

Axes: S windows, L + 1 tokens of a window.
"""

from __future__ import annotations

import functools
import hashlib

import numpy as np

from scaling.data.tokens import CorpusError, TokenFile

FEISTEL_ROUNDS = 8  # four are pseudorandom (Luby & Rackoff 1988); more cost nothing here
MAX_TABLE_SIZE = 1 << 14  # indices: smaller permutations are computed once and kept as a table


def splitmix64(x: np.ndarray) -> np.ndarray:
    """Applies the finaliser of SplitMix64 (Steele 2014): every bit of x affects every bit of the result."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def feistel_permutation(index: np.ndarray, size: int, key: bytes) -> np.ndarray:
    """Maps indices by a pseudorandom permutation of [0, size).

    A Feistel network on the next even number of bits, repeated until the image is inside the range: exact, without a
    table, and fixed by this code (NumPy's generators promise no stable stream).

    Args:
        index: Indices in [0, size), any shape.
        size: Size of the range.
        key: Names the permutation.

    Returns:
        The images, int64, of the shape of `index`.
    """
    half = max(1, (max(size - 1, 1).bit_length() + 1) // 2)
    mask = np.uint64((1 << half) - 1)
    keys = np.frombuffer(hashlib.sha256(key).digest() + hashlib.sha256(key + b"+").digest(), "<u8")[:FEISTEL_ROUNDS]
    out = index.astype(np.uint64)
    outside = np.ones(out.shape, bool)
    while outside.any():
        left, right = out[outside] >> np.uint64(half), out[outside] & mask
        for round_key in keys:
            left, right = right, left ^ (splitmix64(right ^ round_key) & mask)
        out[outside] = (left << np.uint64(half)) | right
        outside = out >= size
    return out.astype(np.int64)


@functools.lru_cache(maxsize=16)
def permutation_table(size: int, key: bytes) -> np.ndarray:
    """Returns `feistel_permutation` of every index, cached: short epochs look up the same table for each batch.

    Args:
        size: Size of the range.
        key: Names the permutation.
    """
    table = feistel_permutation(np.arange(size, dtype=np.int64), size, key)
    table.flags.writeable = False
    return table


def permute(index: np.ndarray, size: int, key: bytes) -> np.ndarray:
    """Maps indices by `feistel_permutation`, through a table where that is small.

    Args:
        index: Indices in [0, size).
        size: Size of the range.
        key: Names the permutation.
    """
    return permutation_table(size, key)[index] if size <= MAX_TABLE_SIZE else feistel_permutation(index, size, key)


def count_windows(count: int, length: int, stride: int | None = None) -> int:
    """Returns how many windows of length + 1 tokens a split has.

    Args:
        count: Tokens of the split.
        length: Targets of a window, L.
        stride: Tokens from the start of one window to the next. L unless given, so that each token is a target once;
            L + 1 for examples, which share no token.
    """
    return max(0, (count - 1 - length) // (stride or length) + 1)


def window_order(
    tokens: TokenFile,
    *,
    seed: int,
    length: int,
    rows: np.ndarray,
    unique: int | None = None,
    stride: int | None = None,
) -> np.ndarray:
    """Returns the window that each row of a run reads: every window once per epoch, each epoch in another order.

    Args:
        tokens: The token file.
        seed: Seed of the run.
        length: Targets of a window, L.
        rows: Numbers of the rows, from the start of the run.
        unique: Unique training tokens that the run may read. Its windows are a random subset of the split, the same for
            every seed, and a smaller subset is part of a larger one. None: all tokens.
        stride: As for `count_windows`.
    """
    available = count_windows(len(tokens.train), length, stride)
    size = available if unique is None else min(available, unique // length)
    epochs, positions = rows // size, rows % size
    out = np.empty_like(rows)
    for epoch in np.unique(epochs):
        in_epoch = epochs == epoch
        out[in_epoch] = permute(positions[in_epoch], size, f"{tokens.content_hash} {seed} {length} {epoch}".encode())
    return out if unique is None else unique_windows(tokens, out, available, length)


def unique_windows(tokens: TokenFile, index: np.ndarray, available: int, length: int) -> np.ndarray:
    """Returns windows of the subset that a run of few unique tokens reads.

    Args:
        tokens: The token file.
        index: Indices into the subset.
        available: Windows of the whole split.
        length: Targets of a window, L.
    """
    return permute(index, available, f"{tokens.content_hash} {length} unique".encode())


def training_windows(
    tokens: TokenFile,
    *,
    seed: int,
    length: int,
    rows: np.ndarray,
    unique: int | None = None,
    stride: int | None = None,
) -> np.ndarray:
    """Reads rows of a run, whatever its batch size.

    Args:
        tokens: The token file.
        seed: Seed of the run.
        length: Targets of a window, L.
        rows: Numbers of the rows, from the start of the run.
        unique: As for `window_order`.
        stride: As for `count_windows`.

    Returns:
        Tokens, int32 (S, L + 1); inputs are [:, :-1], targets [:, 1:].
    """
    index = window_order(tokens, seed=seed, length=length, rows=rows, unique=unique, stride=stride)
    return _gather(tokens.train, index * (stride or length), length)


def fixed_training_windows(
    tokens: TokenFile, *, length: int, sequences: int, unique: int | None = None, stride: int | None = None
) -> np.ndarray:
    """Reads windows evenly spread over what a run trains on, the same for every seed.

    Args:
        tokens: The token file.
        length: Targets of a window, L.
        sequences: Number of windows; all of them where there are fewer.
        unique: As for `window_order`.
        stride: As for `count_windows`.

    Returns:
        Tokens, int32 (S, L + 1).
    """
    available = count_windows(len(tokens.train), length, stride)
    size = available if unique is None else min(available, unique // length)
    count = min(sequences, size)
    index = np.arange(count, dtype=np.int64) * size // count
    index = index if unique is None else unique_windows(tokens, index, available, length)
    return _gather(tokens.train, index * (stride or length), length)


def validation_windows_at(tokens: TokenFile, *, length: int, rows: np.ndarray, stride: int | None = None) -> np.ndarray:
    """Reads windows of the validation split by their number.

    Args:
        tokens: The token file.
        length: Targets of a window, L.
        rows: Numbers of the windows, from the start of the split.
        stride: As for `count_windows`.

    Returns:
        Tokens, int32 (S, L + 1).
    """
    return _gather(tokens.validation, rows * (stride or length), length)


def validation_windows(tokens: TokenFile, *, length: int, sequences: int, stride: int | None = None) -> np.ndarray:
    """Reads windows evenly spread over the validation split.

    Args:
        tokens: The token file.
        length: Targets of a window, L.
        sequences: Number of windows; all of them where there are fewer.
        stride: As for `count_windows`.

    Returns:
        Tokens, int32 (S, L + 1).

    Raises:
        CorpusError: The split is shorter than one window.
    """
    available = count_windows(len(tokens.validation), length, stride)
    count = min(sequences, available)
    if not count:
        raise CorpusError(_too_short(tokens, "validation", len(tokens.validation), length))
    rows = np.arange(count, dtype=np.int64) * available // count
    return validation_windows_at(tokens, length=length, rows=rows, stride=stride)


def check_token_file(tokens: TokenFile, *, vocab: int, length: int, document_end: int | None = None) -> None:
    """Checks that a model can be trained on a token file.

    Args:
        tokens: The token file.
        vocab: Vocabulary size of the model.
        length: Targets of a window, L.
        document_end: Token at which the model separates documents; None where it does not.

    Raises:
        CorpusError: The vocabulary is too small, the documents end in another token, or a split is shorter than one
            window.
    """
    if vocab < tokens.vocab:
        raise CorpusError(
            f"model.vocab = {vocab} is smaller than the vocabulary of {tokens.path}: set it to at least {tokens.vocab}"
        )
    if document_end is not None and document_end != tokens.eod:
        ends = "are one stream" if tokens.eod is None else f"end in token {tokens.eod}"
        raise CorpusError(f"data.document_end = {document_end}: the documents of {tokens.path} {ends}")
    for split, count in zip(("train", "validation"), tokens.counts, strict=True):
        if not count_windows(count, length):
            raise CorpusError(_too_short(tokens, split, count, length))


def _too_short(tokens: TokenFile, split: str, count: int, length: int) -> str:
    return f"{tokens.path}: the {split} split has {count} tokens, fewer than one window of {length + 1}"


def _gather(split: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    return split[starts[:, None] + np.arange(length + 1)[None, :]].astype(np.int32)

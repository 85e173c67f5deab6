"""Pseudorandom permutations of a range, computed for each index alone: the order in which a run reads its windows."""

from __future__ import annotations

import functools
import hashlib

import numpy as np

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
    return keyed_permutation(index, size, round_keys(key)[:, None])


def round_keys(key: bytes) -> np.ndarray:
    """Returns the keys of the rounds of a permutation, uint64 (FEISTEL_ROUNDS,).

    Args:
        key: Names the permutation.
    """
    return np.frombuffer(hashlib.sha256(key).digest() + hashlib.sha256(key + b"+").digest(), "<u8")[:FEISTEL_ROUNDS]


def keyed_permutation(index: np.ndarray, size: int, keys: np.ndarray) -> np.ndarray:
    """Maps indices as `feistel_permutation` does, each by a permutation of its own.

    Args:
        index: Indices in [0, size), any shape.
        size: Size of the range.
        keys: `round_keys` of each index, uint64 (FEISTEL_ROUNDS, index.size), or of all (FEISTEL_ROUNDS, 1).

    Returns:
        The images, int64, of the shape of `index`.
    """
    half = max(1, (max(size - 1, 1).bit_length() + 1) // 2)
    mask = np.uint64((1 << half) - 1)
    out = index.astype(np.uint64).ravel()
    outside = np.ones(out.shape, bool)
    while outside.any():
        left, right = out[outside] >> np.uint64(half), out[outside] & mask
        for round_key in keys if keys.shape[1] == 1 else keys[:, outside]:
            left, right = right, left ^ (splitmix64(right ^ round_key) & mask)
        out[outside] = (left << np.uint64(half)) | right
        outside = out >= size
    return out.astype(np.int64).reshape(index.shape)


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

"""Checksums of device arrays that do not depend on how an array is laid out over devices and hosts."""

from __future__ import annotations

import functools
import hashlib
import math
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from scaling.distributed import collectives

BLOCK_ELEMENTS = 1 << 22  # elements widened to 64 bits at a time


@functools.lru_cache(maxsize=64)
def position_weights(axis: int, size: int) -> np.ndarray:
    """Returns an odd number for each position along an axis: SplitMix64 (Steele 2014) of axis and position.

    Args:
        axis: Index of the axis.
        size: Positions along it.

    Returns:
        uint64 (size,).
    """
    x = np.arange(size, dtype=np.uint64) + np.uint64(((axis + 1) << 40) + 1)
    for shift, factor in ((0, 0x9E3779B97F4A7C15), (30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ (x >> np.uint64(shift)) if shift else x) * np.uint64(factor)
    return (x ^ (x >> np.uint64(31))) | np.uint64(1)


def local_checksum(array: jax.Array) -> int:
    """Returns this host's part of an array's checksum: Σ bits of an element · weights of its position, modulo 2^64.

    A multilinear hash (Carter & Wegman 1979): parts add up to the same sum however the array is cut, and a changed bit
    always changes it.
    """
    total = 0
    for shard in array.addressable_shards:
        if shard.replica_id == 0:
            data = np.asarray(shard.data)
            bits = np.ascontiguousarray(data).view(f"u{data.dtype.itemsize}")
            weights = [
                position_weights(axis, size)[index]
                for axis, (size, index) in enumerate(zip(array.shape, shard.index, strict=True))
            ]
            total += _weighted_sum(bits, weights)
    return total % 2**64


def _weighted_sum(bits: np.ndarray, weights: list[np.ndarray]) -> int:
    """Returns Σ bits · weights of each axis, modulo 2^64, in blocks of rows that keep the widened copy small."""
    if not weights:
        return int(bits.item())
    total, block = 0, max(1, BLOCK_ELEMENTS // max(1, math.prod(bits.shape[1:])))
    for start in range(0, bits.shape[0], block):
        rows = slice(start, start + block)
        block_sum = bits[rows].astype(np.uint64)
        for weight in reversed([weights[0][rows], *weights[1:]]):
            block_sum = np.asarray(np.sum(block_sum * weight, axis=-1, dtype=np.uint64))
        total += int(block_sum)
    return total % 2**64


def array_checksums(arrays: dict[str, jax.Array]) -> dict[str, str]:
    """Returns type, shape and checksum of each array, the same on every host and for every mesh."""
    parts = collectives.gather([local_checksum(array) for array in arrays.values()])
    totals = (sum(host_parts) % 2**64 for host_parts in zip(*parts, strict=True))
    return {
        name: f"{array.dtype}{array.shape} {total:016x}"
        for (name, array), total in zip(arrays.items(), totals, strict=True)
    }


def altered_arrays(manifest: Any, arrays: dict[str, jax.Array]) -> list[str]:
    """Lists the arrays that differ from what was saved.

    Args:
        manifest: Manifest of the checkpoint, with `sums`; of an old one with `arrays`, SHA-256 of whole arrays.
        arrays: The restored arrays by name. Orbax returns something else for those that its metadata do not describe.
    """
    if missing := [name for name, array in arrays.items() if not isinstance(array, jax.Array)]:
        return missing
    if "sums" in manifest:
        return [name for name, checksum in array_checksums(arrays).items() if manifest["sums"].get(name) != checksum]
    return [name for name, array in arrays.items() if manifest["arrays"].get(name) != sha256_digest(array)]


def sha256_digest(array: Any) -> str:
    """Returns SHA-256 of type, shape and bytes of a whole array, as manifests had it before multi-host checkpoints."""
    host_array = np.ascontiguousarray(multihost_utils.process_allgather(array, tiled=True))
    return hashlib.sha256(f"{host_array.dtype}{host_array.shape}".encode() + host_array.tobytes()).hexdigest()

"""Checksums of device arrays that do not depend on how an array is laid out over devices and hosts."""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from scaling.distributed import collectives

BLOCK_ELEMENTS = 1 << 22  # elements that NumPy widens to 64 bits at a time
BLOCK_ELEMENTS_CPU = 1 << 16  # elements of a block of rows in a program for a CPU: their sums fit in its cache
DEVICE_BYTES = 1 << 20  # smallest shard whose device computes the checksum
ChecksumFunction = Callable[[jax.Array, list[np.ndarray]], "jax.Array | int"]


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
    return total(shard_checksums(array))


def total(parts: list[jax.Array | int]) -> int:
    """Returns the sum of the parts of a checksum modulo 2^64; waits for those that devices compute."""
    return sum(int(part) for part in parts) % 2**64


def shard_checksums(array: jax.Array, compute: ChecksumFunction | None = None) -> list[jax.Array | int]:
    """Starts to compute the checksums of an array's shards on this host, one for each part of the array.

    The device of a large shard computes its checksum, without a copy to the host and without waiting; that of a small
    one is computed here, since a program for each of many small shapes would take longer to compile.

    Args:
        array: The array.
        compute: `device_checksum` or `host_checksum`, for every shard; None: chosen by size.
    """
    parts: list[jax.Array | int] = []
    for shard in array.addressable_shards:
        if shard.replica_id == 0:
            weights = [
                position_weights(axis, size)[index]
                for axis, (size, index) in enumerate(zip(array.shape, shard.index, strict=True))
            ]
            is_large = shard.data.nbytes >= DEVICE_BYTES and array.ndim
            parts.append((compute or (device_checksum if is_large else host_checksum))(shard.data, weights))
    return parts


def device_checksum(data: jax.Array, weights: list[np.ndarray]) -> jax.Array:
    """Starts to compute the checksum of one device's data on that device.

    Args:
        data: The data of a shard, on one device.
        weights: Weights of its positions along each axis, uint64.

    Returns:
        uint64 (), on the device.
    """
    [device] = data.devices()
    elements = BLOCK_ELEMENTS_CPU if device.platform == "cpu" else data.size
    rows = min(data.shape[0], max(1, elements // max(1, math.prod(data.shape[1:]))))
    with jax.enable_x64(True):
        return _device_checksum(data, *jax.device_put(weights, device), rows=rows)


@functools.partial(jax.jit, static_argnames="rows")
def _device_checksum(data: jax.Array, *weights: jax.Array, rows: int) -> jax.Array:
    """Computes Σ bits · weights: blocks of rows are added up elementwise, which a CPU does with vector instructions."""
    if data.dtype == jnp.bool_:
        data = data.astype(jnp.uint8)
    bits = jax.lax.bitcast_convert_type(data, jnp.dtype(f"uint{8 * data.dtype.itemsize}"))
    blocks = data.shape[0] // rows if rows < data.shape[0] else 0

    def weighted_rows(start: jax.Array | int, count: int) -> jax.Array:
        block = jax.lax.dynamic_slice_in_dim(bits, start, count, 0).astype(jnp.uint64)
        weight = jax.lax.dynamic_slice_in_dim(weights[0], start, count, 0)
        return block * weight.reshape(count, *(1 for _ in data.shape[1:]))

    def weighted_sum(sums: jax.Array) -> jax.Array:
        for weight in reversed(weights[1:]):
            sums = jnp.sum(sums * weight.reshape(*(1 for _ in sums.shape[1:]), -1), axis=-1)
        return jnp.sum(sums)

    empty = jnp.zeros((rows, *data.shape[1:]), jnp.uint64)
    whole = jax.lax.fori_loop(0, blocks, lambda i, sums: sums + weighted_rows(i * rows, rows), empty)
    rest = weighted_rows(blocks * rows, data.shape[0] - blocks * rows)
    return weighted_sum(whole) + weighted_sum(rest)


def host_checksum(data: jax.Array, weights: list[np.ndarray]) -> int:
    """Returns the checksum of one device's data, computed by NumPy.

    Args:
        data: The data of a shard, on one device.
        weights: Weights of its positions along each axis, uint64.
    """
    values = np.asarray(data)
    bits = np.ascontiguousarray(values).view(f"u{values.dtype.itemsize}").reshape(values.shape)
    return _weighted_sum(bits, weights)


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


def array_headers(arrays: dict[str, jax.Array]) -> dict[str, str]:
    """Returns type and shape of each array, as they precede its checksum."""
    return {name: f"{array.dtype}{array.shape}" for name, array in arrays.items()}


def combined_checksums(headers: dict[str, str], parts: list[list[int]]) -> dict[str, str]:
    """Returns type, shape and checksum of each array.

    Args:
        headers: Type and shape of each array.
        parts: Checksums of each host's part of each array.
    """
    totals = (sum(host_parts) % 2**64 for host_parts in zip(*parts, strict=True))
    return {name: f"{header} {total:016x}" for (name, header), total in zip(headers.items(), totals, strict=True)}


def array_checksums(arrays: dict[str, jax.Array]) -> dict[str, str]:
    """Returns type, shape and checksum of each array, the same on every host and for every mesh."""
    started = [shard_checksums(array) for array in arrays.values()]
    return combined_checksums(array_headers(arrays), collectives.gather([total(parts) for parts in started]))


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

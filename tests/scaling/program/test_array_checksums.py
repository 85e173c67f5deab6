"""Checksums of arrays: the same on a device as by NumPy, however an array is cut."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from scaling.program import array_checksums

SHAPES = ((1,), (7,), (70_001,), (301, 37), (5, 300, 70), (3, 5, 7, 11))
TYPES = ("float32", "bfloat16", "float16", "int32", "uint8", "bool", "float8_e4m3fn")
# Computed by the code of November 2026 (commit 29ecc66), which had no function for devices.
EARLIER = {
    "float32": "float32(6, 5) 6100a9701bdc0000",
    "bfloat16": "bfloat16(6, 5) 52a06100a9701bdc",
    "int32": "int32(6, 5) fc18a4b465ce4c6d",
}


def values(dtype: str, shape: tuple[int, ...]) -> jax.Array:
    numbers = np.random.default_rng(len(shape)).standard_normal(shape) * 50
    return jnp.asarray(numbers > 0 if dtype == "bool" else numbers).astype(dtype)


def test_checksums_are_those_of_earlier_versions() -> None:
    numbers = np.arange(30).reshape(6, 5) * 1.5 - 7
    arrays = {dtype: jnp.asarray(numbers).astype(dtype) for dtype in EARLIER}
    assert array_checksums.array_checksums(arrays) == EARLIER
    parts = [
        array_checksums.total(array_checksums.shard_checksums(array, array_checksums.device_checksum))
        for array in arrays.values()
    ]
    assert array_checksums.combined_checksums(array_checksums.array_headers(arrays), [parts]) == EARLIER


@pytest.mark.parametrize("dtype", TYPES)
def test_a_device_computes_what_numpy_does(dtype: str) -> None:
    for shape in SHAPES if dtype in ("float32", "bfloat16") else SHAPES[2:4]:
        array = values(dtype, shape)
        by_numpy = array_checksums.shard_checksums(array, array_checksums.host_checksum)
        on_device = array_checksums.shard_checksums(array, array_checksums.device_checksum)
        assert array_checksums.total(on_device) == array_checksums.total(by_numpy), shape


def test_shards_add_up_to_the_checksum_of_the_whole_on_every_mesh() -> None:
    array = values("float32", (64, 24))
    whole = array_checksums.local_checksum(array)
    mesh = Mesh(np.array(jax.devices()).reshape(4, 2), ("a", "b"))
    for spec in (("a", "b"), ("b", None), (None, "a"), (("a", "b"), None), (None, None)):
        sharded = jax.device_put(array, NamedSharding(mesh, PartitionSpec(*spec)))
        for compute in (array_checksums.host_checksum, array_checksums.device_checksum):
            parts = array_checksums.shard_checksums(sharded, compute)
            assert array_checksums.total(parts) == whole, spec


def test_a_changed_bit_changes_the_sum_on_a_device() -> None:
    array = values("float32", (301, 37))
    whole = array_checksums.total(array_checksums.shard_checksums(array, array_checksums.device_checksum))
    bits = np.array(array).view(np.uint32)
    for row, column, bit in ((0, 0, 0), (300, 36, 31), (150, 3, 22)):
        changed = bits.copy()
        changed[row, column] ^= np.uint32(1 << bit)
        changed_array = jnp.asarray(changed.view(np.float32))
        assert (
            array_checksums.total(array_checksums.shard_checksums(changed_array, array_checksums.device_checksum))
            != whole
        )


def test_a_large_array_is_summed_on_its_device_and_after_its_donation() -> None:
    """A step that takes the array's memory follows at once, as in training."""
    array = values("float32", (1024, 300)).block_until_ready()
    expected = array_checksums.total(array_checksums.shard_checksums(array, array_checksums.host_checksum))
    parts = array_checksums.shard_checksums(array)
    assert all(isinstance(part, jax.Array) for part in parts)
    step = jax.jit(lambda x: x + 1, donate_argnums=0)
    for _ in range(3):
        array = step(array)
    assert array_checksums.total(parts) == expected

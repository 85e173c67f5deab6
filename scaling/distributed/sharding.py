"""The device mesh, and the mapping from axes of arrays to axes of the mesh."""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from scaling.config.placement import Placement
from scaling.config.validation import ConfigError

MESH_AXES = ("data", "fsdp", "tensor", "expert")
BATCH_AXES = ("data", "fsdp", "expert")  # mesh axes of the sequences; outside experts the expert axis is one of data
BATCH_SPEC = PartitionSpec(BATCH_AXES)

# The name of a parameter ends in its axes: D width, F hidden units, H query heads · head dimension,
# K key-value heads, V vocabulary, E experts. Axes not listed here are not sharded.
# B is the sequences of arrays that also have an expert axis.
AXIS_RULES: dict[str, Any] = {
    "D": "fsdp", "F": "tensor", "H": "tensor", "K": "tensor", "V": "tensor", "E": "expert", "B": ("data", "fsdp"),
}  # fmt: skip


def make_mesh(placement: Placement) -> Mesh:
    """Returns the mesh of data × fsdp × tensor × expert devices; ConfigError if the devices do not suffice."""
    shape, devices = mesh_shape(placement, jax.device_count()), jax.device_count()
    if jax.process_count() > 1:
        check_all_devices_used(shape, devices, f"the {jax.process_count()} hosts")
    return arrange_devices(jax.devices()[: math.prod(shape)], shape)


def mesh_shape(placement: Placement, devices: int) -> tuple[int, int, int, int]:
    """Returns the sizes of the mesh axes.

    Args:
        placement: The placement.
        devices: Number of available devices.

    Raises:
        ConfigError: The placement needs more devices.
    """
    inner = placement.fsdp * placement.tensor * placement.expert
    data = placement.data or devices // inner
    if not data or data * inner > devices:
        raise ConfigError(
            f"Placement data = {placement.data}, fsdp = {placement.fsdp}, tensor = {placement.tensor}, "
            f"expert = {placement.expert}: needs {max(data, 1) * inner} devices, there are {devices}"
        )
    return data, placement.fsdp, placement.tensor, placement.expert


def check_all_devices_used(shape: tuple[int, ...], devices: int, owner: str) -> None:
    """Raises ConfigError if a mesh leaves some devices out.

    Args:
        shape: Sizes of the mesh axes.
        devices: Number of devices.
        owner: Owner of the devices (hosts or slice), for the message.
    """
    if math.prod(shape) < devices:
        raise ConfigError(
            f"Placement {shape} of (data, fsdp, tensor, expert): must take all {devices} devices of {owner}"
        )


def arrange_devices(devices: list[Any], shape: tuple[int, ...]) -> Mesh:
    """Returns a mesh of devices; on a TPU, neighbours in the mesh are neighbours in the slice.

    Args:
        devices: The devices.
        shape: Sizes of the mesh axes.
    """
    if devices[0].platform == "tpu":
        grid = mesh_utils.create_device_mesh(shape, devices, allow_split_physical_axes=True)
    else:
        grid = np.array(devices).reshape(shape)
    return Mesh(grid, MESH_AXES, axis_types=(AxisType.Auto,) * len(MESH_AXES))


def local_rows(sharding: NamedSharding, size: int) -> np.ndarray:
    """Returns the indices of the sequences of a batch that lie on the devices of this host, in order.

    Args:
        sharding: Sharding of the batch.
        size: Sequences of the batch.
    """
    indices = sharding.addressable_devices_indices_map((size,)).values()
    return np.unique(np.concatenate([np.arange(size)[index] for index in indices if index is not None]))


def place_batch(rows: np.ndarray, sharding: NamedSharding, size: int) -> jax.Array:
    """Puts a batch on the devices.

    Args:
        rows: The sequences of `local_rows` on this host.
        sharding: Sharding of the batch.
        size: Sequences of the batch on all hosts.
    """
    if sharding.is_fully_addressable:
        return jax.device_put(rows, sharding)
    return jax.make_array_from_process_local_data(sharding, rows, (size, *rows.shape[1:]))


def check_batch(mesh: Mesh, batch: int) -> None:
    """Raises ConfigError unless the batch size is a multiple of the data, fsdp and expert devices.

    Args:
        mesh: The mesh.
        batch: Sequences per step.
    """
    rows = math.prod(mesh.shape[axis] for axis in BATCH_AXES)
    if batch % rows:
        raise ConfigError(f"RunConfig.batch = {batch}: must be a multiple of the {rows} data, fsdp and expert devices")


def check_experts(mesh: Mesh, experts: int) -> None:
    """Raises ConfigError unless the number of experts is a multiple of the expert devices.

    Args:
        mesh: The mesh.
        experts: Experts of a layer, 0 for a dense model.
    """
    devices = mesh.shape["expert"]
    if devices > 1 and (not experts or experts % devices):
        raise ConfigError(f"Placement.expert = {devices}: must divide the model's experts = {experts}")


def partition_spec(path: Any, shape: tuple[int, ...], mesh: Mesh) -> PartitionSpec:
    """Returns the sharding of a parameter; an axis is not sharded if the devices do not divide its size.

    Args:
        path: Path of the parameter in a JAX tree; the last name with an axis suffix determines its axes.
        shape: Its shape.
        mesh: The mesh.
    """
    names = [str(getattr(key, "key", getattr(key, "name", ""))) for key in path]
    axes = next((name.rpartition("_")[2] for name in reversed(names) if "_" in name and name[-1].isalpha()), "")
    if not axes or len(axes) > len(shape) or len(axes) == 1:  # scalars and gains are replicated
        return PartitionSpec()
    first = {axis: axes.index(axis) for axis in axes}  # a mesh axis shards one axis of an array: of DD the first
    rules = [AXIS_RULES.get(axis) if first[axis] == i else None for i, axis in enumerate(axes)]
    layout = [None] * (len(shape) - len(axes)) + rules
    return PartitionSpec(
        *(axis if axis and size % mesh.shape[axis] == 0 else None for axis, size in zip(layout, shape, strict=True))
    )


def tree_shardings(tree: Any, mesh: Mesh) -> Any:
    """Returns the NamedSharding of each leaf of a tree of parameters or of optimizer state.

    Args:
        tree: Tree of arrays or of their shapes.
        mesh: The mesh.
    """
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: NamedSharding(mesh, partition_spec(path, leaf.shape, mesh)), tree
    )


def constrain_sharding(x: jax.Array, *layout: Any) -> jax.Array:
    """Constrains the sharding of an array within the current mesh; outside a mesh it returns the array unchanged.

    Args:
        x: The array.
        *layout: For each axis, the mesh axis or axes over which it is sharded, or None. An axis is not sharded if the
            devices do not divide its size.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty:
        return x
    devices = [math.prod(mesh.shape[a] for a in ((axes,) if isinstance(axes, str) else axes or ())) for axes in layout]
    spec = (axes if size % count == 0 else None for axes, size, count in zip(layout, x.shape, devices, strict=True))
    return jax.lax.with_sharding_constraint(x, PartitionSpec(*spec))


def shard_sequences(x_BLD: jax.Array) -> jax.Array:
    """Shards the residual stream by sequences only.

    Without this constraint, the compiler may shard the width of the stream like that of the weights.
    """
    return constrain_sharding(x_BLD, BATCH_AXES, None, None)

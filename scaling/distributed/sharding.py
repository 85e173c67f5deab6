"""The mesh, and the one table that says which axis of an array lies along which axis of the mesh."""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from scaling.config.placement import Placement
from scaling.config.validation import ConfigError

MESH = ("data", "fsdp", "tensor", "expert")
ROWS = ("data", "fsdp", "expert")  # sequences: what is no expert's own is computed beside it
BATCH = PartitionSpec(ROWS)

# A parameter's name ends in its axes: D width, F hidden units, H query heads · head size,
# K key-value heads, V vocabulary, E experts. Axes not named here are whole on every device.
# B is no parameter's: the sequences of what has an expert axis beside it.
RULES: dict[str, Any] = {
    "D": "fsdp", "F": "tensor", "H": "tensor", "K": "tensor", "V": "tensor", "E": "expert", "B": ("data", "fsdp"),
}  # fmt: skip


def make_mesh(placement: Placement) -> Mesh:
    """A mesh of data × fsdp × tensor × expert devices; ConfigError where the devices do not divide so."""
    shape, devices = axes(placement, jax.device_count()), jax.device_count()
    if jax.process_count() > 1:
        check_whole(shape, devices, f"the {jax.process_count()} hosts")
    return lay(jax.devices()[: math.prod(shape)], shape)


def axes(placement: Placement, devices: int) -> tuple[int, int, int, int]:
    """Sizes of the mesh's axes over so many devices; ConfigError where they do not divide so."""
    inner = placement.fsdp * placement.tensor * placement.expert
    data = placement.data or devices // inner
    if not data or data * inner > devices:
        raise ConfigError(
            f"Placement data = {placement.data}, fsdp = {placement.fsdp}, tensor = {placement.tensor}, "
            f"expert = {placement.expert}: needs {max(data, 1) * inner} devices, there are {devices}"
        )
    return data, placement.fsdp, placement.tensor, placement.expert


def check_whole(shape: tuple[int, ...], devices: int, whose: str) -> None:
    """ConfigError where a mesh leaves some devices out."""
    if math.prod(shape) < devices:
        raise ConfigError(
            f"Placement {shape} of (data, fsdp, tensor, expert): must take all {devices} devices of {whose}"
        )


def lay(devices: list[Any], shape: tuple[int, ...]) -> Mesh:
    """A mesh of those devices; on a TPU neighbours in it are neighbours in the pod."""
    if devices[0].platform == "tpu":
        grid = mesh_utils.create_device_mesh(shape, devices, allow_split_physical_axes=True)
    else:
        grid = np.array(devices).reshape(shape)
    return Mesh(grid, MESH, axis_types=(AxisType.Auto,) * len(MESH))


def local_rows(sharding: NamedSharding, size: int) -> np.ndarray:
    """Which of a batch's `size` sequences lie on this host's devices, in order."""
    places = sharding.addressable_devices_indices_map((size,)).values()
    return np.unique(np.concatenate([np.arange(size)[place] for place in places if place is not None]))


def place(rows: np.ndarray, sharding: NamedSharding, size: int) -> jax.Array:
    """A batch of `size` sequences on the devices, of which this host brings its `local_rows`."""
    if sharding.is_fully_addressable:
        return jax.device_put(rows, sharding)
    return jax.make_array_from_process_local_data(sharding, rows, (size, *rows.shape[1:]))


def check_batch(mesh: Mesh, batch: int) -> None:
    """ConfigError unless the sequences of a batch divide over the data, fsdp and expert devices."""
    rows = math.prod(mesh.shape[axis] for axis in ROWS)
    if batch % rows:
        raise ConfigError(f"RunConfig.batch = {batch} does not divide over {rows} data, fsdp and expert devices")


def check_experts(mesh: Mesh, experts: int) -> None:
    """ConfigError unless the model's experts divide over the expert devices."""
    over = mesh.shape["expert"]
    if over > 1 and (not experts or experts % over):
        raise ConfigError(f"Placement.expert = {over}: must divide the model's experts = {experts}")


def spec(path: Any, shape: tuple[int, ...], mesh: Mesh) -> PartitionSpec:
    """How an array of a parameter's name and shape is laid out; an axis that does not divide stays whole."""
    names = [str(getattr(key, "key", getattr(key, "name", ""))) for key in path]
    axes = next((name.rpartition("_")[2] for name in reversed(names) if "_" in name and name[-1].isalpha()), "")
    if not axes or len(axes) > len(shape) or len(axes) == 1:  # scalars and gains: on every device
        return PartitionSpec()
    layout = [None] * (len(shape) - len(axes)) + [RULES.get(axis) for axis in axes]
    return PartitionSpec(
        *(axis if axis and size % mesh.shape[axis] == 0 else None for axis, size in zip(layout, shape, strict=True))
    )


def shardings(tree: Any, mesh: Mesh) -> Any:
    """A NamedSharding for each leaf of a tree of parameters or of optimiser state."""
    return jax.tree_util.tree_map_with_path(lambda path, leaf: NamedSharding(mesh, spec(path, leaf.shape, mesh)), tree)


def constrain(x: jax.Array, *layout: Any) -> jax.Array:
    """`x` laid out over the mesh in force as `layout` says, one entry an axis; outside a mesh, `x` as it is.

    An axis that does not divide stays whole.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty:
        return x
    sizes = [math.prod(mesh.shape[a] for a in ((at,) if isinstance(at, str) else at or ())) for at in layout]
    kept = (at if size % over == 0 else None for at, size, over in zip(layout, x.shape, sizes, strict=True))
    return jax.lax.with_sharding_constraint(x, PartitionSpec(*kept))


def rows(x_BLD: jax.Array) -> jax.Array:
    """The residual stream with its sequences over the data, fsdp and expert devices, whole otherwise.

    Without it the compiler may spread the stream's width as the weights' is.
    """
    return constrain(x_BLD, ROWS, None, None)

"""How long training waits for checkpoints, and the rate of their checksums, on this machine.

In one process and in turn: the synchronous save of earlier versions (Orbax writes, then NumPy computes the checksums,
and training waits for both), the save in the background, and Orbax alone. The state is that of a model with Adam, in
float32; the folder is written anew each time. Times are medians.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from scaling.bench.bench import bench_config
from scaling.config.placement import Placement
from scaling.config.validation import ConfigError
from scaling.distributed.sharding import MESH_AXES, make_mesh
from scaling.program import array_checksums, checkpoint_writer
from scaling.program.build import abstract_arguments
from scaling.program.checkpoint_files import BucketCheckpoint, CheckpointFiles, LocalCheckpoint, named_leaves
from scaling.program.orbax_buckets import bucket_scheme, enable_buckets
from scaling.program.orbax_messages import silence_orbax
from scaling.program.step import program_functions, program_shape
from scaling.store.remote.files import RemoteFiles

SHAPE = (768, 14)  # width and layers of about 100 million parameters
CURVE = [{"step": 1.0, "loss": 1.0}]


@dataclass(frozen=True)
class CheckpointBench:
    """What is measured.

    Attributes:
        width: Width of the model.
        layers: Number of layers.
        rounds: Saves of each kind.
        folder: Folder or address that checkpoints are written to; empty: a temporary folder.
    """

    width: int = SHAPE[0]
    layers: int = SHAPE[1]
    rounds: int = 3
    folder: str = ""


def measure(bench: CheckpointBench) -> dict[str, Any]:
    """Measures saves and checksums of one size.

    Args:
        bench: What is measured.

    Returns:
        `parameters`, `bytes` of the state, and by kind of save (`synchronous`, `background`, `orbax`) seconds that
        training waits (`wait_seconds`) and until the checkpoint is complete (`seconds`); `checksums`: bytes per second
        of wall-clock and of CPU time, computed on the devices and by NumPy.

    Raises:
        ConfigError: Checkpoints cannot be written at the address.
    """
    silence_orbax()
    with tempfile.TemporaryDirectory() as temporary:
        folder = bench.folder or temporary
        state = _state(bench)
        arrays = named_leaves(state)
        params = sum(array.size for name, array in arrays.items() if name.startswith("params."))
        sides: dict[str, Callable[[CheckpointFiles], float]] = {
            "synchronous": lambda files: _save_synchronously(files, arrays),
            "background": lambda files: _save_in_background(files, state),
            "orbax": lambda files: _save_by_orbax(files, arrays),
        }
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
        for turn in range(bench.rounds + 1):  # the first one compiles the programs of the checksums
            for name, save in sides.items():
                files = _checkpoint(folder, f"{turn:08d}-{name}")
                began = time.perf_counter()
                waited = save(files)
                times[name].append((waited, time.perf_counter() - began))
                _remove(files)
        result: dict[str, Any] = {"parameters": params, "bytes": sum(array.nbytes for array in arrays.values())}
        for name, turns in times.items():
            waits, totals = zip(*turns[1:], strict=True)
            result[name] = {"wait_seconds": statistics.median(waits), "seconds": statistics.median(totals)}
        return result | {"checksums": _checksum_rates(arrays, bench.rounds)}


def _state(bench: CheckpointBench) -> Any:
    """Returns a state of random numbers, which Orbax cannot compress."""
    placement = Placement(data=jax.device_count())
    config, mesh = bench_config(bench.width, bench.layers, 128, 8 * jax.device_count()), make_mesh(placement)
    shape = program_shape(config, placement, tuple(mesh.shape[axis] for axis in MESH_AXES))
    abstract, _, _ = abstract_arguments(shape, mesh, program_functions(shape))
    keys = iter(jax.random.split(jax.random.key(0), len(jax.tree.leaves(abstract))))

    def numbers(leaf: jax.ShapeDtypeStruct) -> jax.Array:
        values = jax.random.normal(next(keys), leaf.shape).astype(leaf.dtype)
        return jax.device_put(values, leaf.sharding)

    return jax.block_until_ready(jax.tree.map(numbers, abstract))


def _checkpoint(folder: str, name: str) -> CheckpointFiles:
    if "://" not in folder:
        return LocalCheckpoint(Path(folder) / name)
    if not bucket_scheme(folder):
        raise ConfigError(f"--folder {folder}: must be a folder, or an address at gs:// or s3://")
    enable_buckets()
    return BucketCheckpoint(RemoteFiles(folder), name)


def _remove(files: CheckpointFiles) -> None:
    if isinstance(files, LocalCheckpoint):
        for path in (files.path, *files.path.parent.glob(f".writing-*{files.name}")):
            shutil.rmtree(path, ignore_errors=True)
    else:
        files.remote.remove(files.folder)


def _save_synchronously(files: CheckpointFiles, arrays: dict[str, jax.Array]) -> float:
    """Saves as earlier versions did; returns the seconds that training waits, which are all."""
    began = time.perf_counter()
    folder = files.start(sum(array.nbytes for array in arrays.values()))
    with ocp.StandardCheckpointer(**checkpoint_writer.orbax_options(files)) as orbax:
        orbax.save(files.arrays_to_write(folder), arrays)
    sums = [sum(map(int, _host_checksums(array))) for array in arrays.values()]
    manifest = array_checksums.combined_checksums(array_checksums.array_headers(arrays), [sums])
    files.finish(folder, {"name": files.name, "step": 1, "sums": manifest, "cost": {}, "curve": ""}, b"")
    return time.perf_counter() - began


def _save_in_background(files: CheckpointFiles, state: Any) -> float:
    """Saves in the background; returns the seconds that training waits."""
    writer, began = checkpoint_writer.CheckpointWriter(), time.perf_counter()
    writer.save(checkpoint_writer.Checkpoint(files, 1, CURVE, {}), state)
    waited = time.perf_counter() - began
    writer.wait()
    return waited


def _save_by_orbax(files: CheckpointFiles, arrays: dict[str, jax.Array]) -> float:
    """Saves the arrays by Orbax alone, without checksums; returns the seconds that training would wait."""
    folder = files.start(0)
    began = time.perf_counter()
    with ocp.StandardCheckpointer(**checkpoint_writer.orbax_options(files)) as orbax:
        orbax.save(files.arrays_to_write(folder), arrays)
        waited = time.perf_counter() - began
    return waited


def _host_checksums(array: jax.Array) -> list[jax.Array | int]:
    return array_checksums.shard_checksums(array, array_checksums.host_checksum)


def _checksum_rates(arrays: dict[str, jax.Array], rounds: int) -> dict[str, float]:
    """Returns bytes per second of checksums on the devices and by NumPy, of wall-clock and of CPU time."""
    sides: dict[str, Callable[[], list[jax.Array | int]]] = {
        "device": lambda: [part for array in arrays.values() for part in array_checksums.shard_checksums(array)],
        "numpy": lambda: [part for array in arrays.values() for part in _host_checksums(array)],
    }
    size = sum(array.nbytes for array in arrays.values())
    times: dict[str, list[float]] = {f"{side}{kind}": [] for side in sides for kind in ("", "_cpu")}
    for _ in range(rounds):
        for side, compute in sides.items():
            began, cpu = time.perf_counter(), time.process_time()
            for part in compute():
                int(part)
            times[side].append(time.perf_counter() - began)
            times[f"{side}_cpu"].append(time.process_time() - cpu)
    return {f"{name}_bytes_per_second": size / statistics.median(values) for name, values in times.items()}


def as_table(result: dict[str, Any]) -> str:
    """Formats the result for a terminal."""
    lines = [f"{result['parameters']:,} parameters with Adam, {result['bytes'] / 1e9:.2f} GB"]
    lines.append(f"{'save':>24} {'training waits':>15} {'complete after':>15}")
    titles = {"synchronous": "synchronous, as before", "background": "in the background", "orbax": "Orbax alone"}
    for name, title in titles.items():
        row = result[name]
        lines.append(f"{title:>24} {row['wait_seconds']:13.2f} s {row['seconds']:13.2f} s")
    rates = result["checksums"]
    lines.append(
        "checksums: "
        + ", ".join(
            f"{title} {rates[f'{side}_bytes_per_second'] / 1e9:.2f} GB/s "
            f"({rates[f'{side}_cpu_bytes_per_second'] / 1e9:.2f} GB per second of CPU time)"
            for side, title in (("device", "on the devices"), ("numpy", "by NumPy"))
        )
    )
    return "\n".join(lines)

"""Checkpoints: the state after some step, with the curve up to it, named by what led there.

    FOLDER/STEP-PREFIX_ID/state/         Orbax
                          curve.parquet
                          manifest.json  a checksum of each array, SHA-256 of the curve

A checkpoint's name holds prefix_id(config, step), so any run with that prefix may start from it:
resuming and branching are one mechanism. A folder gets its name only when everything in it is
written and synced, and nothing in it is trusted without its checksum. Many hosts write one checkpoint
together, each what its devices hold, and any other number of hosts or mesh of devices may load it.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import math
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils

from scaling.config.run import RunConfig, prefix_id
from scaling.distributed import collectives
from scaling.program.step import compute_dtype
from scaling.store.files import Here, StoreError, alive, read_json, read_parquet, write_json, write_parquet

Rows = list[dict[str, float]]
Entries = Callable[[Path], list[Path]]


class CheckpointError(RuntimeError):
    """A checkpoint that could not be written or does not load: one line that names it."""


def path(folder: Path, config: RunConfig, step: int) -> Path:
    """Where the checkpoint of this prefix lies in `folder`."""
    return folder / f"{step:08d}-{_prefix(config, step)}"


def _prefix(config: RunConfig, step: int) -> str:
    """prefix_id, and what `auto` came to where that is not a CPU's: bfloat16 and float32 share no trajectory."""
    dtype = compute_dtype(config.precision)
    return prefix_id(config, step) + (f"-{dtype}" if config.precision == "auto" and dtype != "float32" else "")


def _named(state: Any) -> dict[str, Any]:
    leaves = jax.tree_util.tree_flatten_with_path(state)[0]
    return {jax.tree_util.keystr(at, simple=True, separator="."): leaf for at, leaf in leaves}


@functools.lru_cache(maxsize=64)
def _weights(axis: int, size: int) -> np.ndarray:
    """Odd numbers for the places along an axis, uint64 (size,): SplitMix64 (Steele 2014) of axis and place."""
    x = np.arange(size, dtype=np.uint64) + np.uint64(((axis + 1) << 40) + 1)
    for shift, factor in ((0, 0x9E3779B97F4A7C15), (30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ (x >> np.uint64(shift)) if shift else x) * np.uint64(factor)
    return (x ^ (x >> np.uint64(31))) | np.uint64(1)


def _share(array: jax.Array) -> int:
    """This host's part of an array's sum: each element's bits, times its place's weights, modulo 2^64.

    A multilinear hash (Carter & Wegman 1979): parts add up to the same sum however the array is cut, and a
    changed bit always changes it.
    """
    total = 0
    for part in array.addressable_shards:
        if part.replica_id == 0:
            bits = np.asarray(part.data)
            bits = np.ascontiguousarray(bits).view(f"u{bits.dtype.itemsize}").reshape(1, *bits.shape)
            weights = [_weights(i, n)[at] for i, (n, at) in enumerate(zip(array.shape, part.index, strict=True))]
            rows = max(1, BLOCK // max(1, math.prod(bits.shape[2:])))  # keeps what is widened to 64 bits small
            for start in range(0, bits.shape[1] if weights else 1, rows):
                words = bits[:, start : start + rows] if weights else bits
                words = words.astype(np.uint64)
                for axis in reversed(range(len(weights))):
                    weight = weights[axis] if axis else weights[0][start : start + rows]
                    words = np.asarray(np.sum(words * weight, axis=-1, dtype=np.uint64))
                total += int(words[0])
    return total % 2**64


BLOCK = 1 << 22  # elements


def _sums(arrays: dict[str, jax.Array]) -> dict[str, str]:
    """Type, shape and sum of each array, whatever mesh it lies on; on every host."""
    parts = collectives.gather([_share(array) for array in arrays.values()])
    totals = (sum(of) % 2**64 for of in zip(*parts, strict=True))
    return {
        name: f"{array.dtype}{array.shape} {total:016x}"
        for (name, array), total in zip(arrays.items(), totals, strict=True)
    }


def _altered(manifest: Any, arrays: dict[str, jax.Array]) -> list[str]:
    """Arrays that are not what was saved."""
    if "sums" in manifest:
        return [name for name, found in _sums(arrays).items() if manifest["sums"].get(name) != found]
    return [name for name, array in arrays.items() if manifest["arrays"].get(name) != _digest(array)]


def _digest(array: Any) -> str:
    """SHA-256 of a whole array: what manifests held before many hosts wrote them."""
    host = np.ascontiguousarray(multihost_utils.process_allgather(array, tiled=True))
    return hashlib.sha256(f"{host.dtype}{host.shape}".encode() + host.tobytes()).hexdigest()


def save(folder: Path, config: RunConfig, step: int, state: Any, rows: Rows) -> Path:
    """Writes the checkpoint, whole or not at all; does nothing where it is there already."""
    final = path(folder, config, step)
    arrays = _named(state)
    temporary: Path | None = None
    try:
        made = collectives.agree(lambda: _room(final, sum(array.nbytes for array in arrays.values())))
        if made is None:
            return final
        temporary = Path(made)
        with ocp.StandardCheckpointer() as orbax:
            orbax.save(temporary.absolute() / "state", arrays)
        sums = _sums(arrays)
        collectives.agree(functools.partial(_seal, temporary, final, step, sums, rows))
    except Exception as error:
        if temporary is not None and collectives.first():
            shutil.rmtree(temporary, ignore_errors=True)
        reason = collectives.told(error)
        if isinstance(reason, collectives.HostLost):
            raise reason from error
        raise CheckpointError(f"checkpoint {final} could not be written: {_one_line(error)}") from error
    return final


def _room(final: Path, needed: int) -> str | None:
    """A new folder to write the checkpoint in; None where the checkpoint is there already."""
    if final.exists():
        return None
    temporary = final.parent / f".writing-{socket.gethostname()}-{os.getpid()}-{final.name}"
    shutil.rmtree(temporary, ignore_errors=True)  # in a container, one that was killed may have had our number
    temporary.mkdir(parents=True)
    try:
        _check_room(temporary, needed)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return str(temporary)


def _seal(temporary: Path, final: Path, step: int, sums: dict[str, str], rows: Rows) -> None:
    """Adds the curve and the manifest, and gives the whole its name."""
    write_parquet(temporary / "curve.parquet", rows)
    curve = hashlib.sha256((temporary / "curve.parquet").read_bytes()).hexdigest()
    write_json(temporary / "manifest.json", {"step": step, "curve": curve, "sums": sums})
    _name(temporary, final)


def _check_room(folder: Path, needed: int) -> None:
    """OSError where the disk has no room: said before Orbax's threads say it in their many ways."""
    free = shutil.disk_usage(folder).free
    if free < 1.1 * needed:
        raise OSError(errno.ENOSPC, f"No space left on device: {needed:,} bytes are needed, {free:,} are free")


def _name(temporary: Path, final: Path) -> None:
    """Gives a whole checkpoint its name; where another process was first with the same, its stays."""
    try:
        os.replace(temporary, final)
    except OSError:
        if not final.exists():
            raise
        shutil.rmtree(temporary, ignore_errors=True)


def entries_here(folder: Path) -> list[Path]:
    """What may be checkpoints in a folder of this machine."""
    return Here().entries(folder)


def candidates(folders: Iterable[Path], config: RunConfig, entries: Entries = entries_here) -> list[tuple[int, Path]]:
    """Checkpoints that this run may start from, newest step first."""
    found = []
    for folder in folders:
        for entry in entries(folder):
            step, _, prefix = entry.name.partition("-")
            if step.isdigit() and int(step) <= config.steps and _prefix(config, int(step)) == prefix:
                found.append((int(step), entry))
    return sorted(found, key=lambda pair: pair[0], reverse=True)


def of_run(folders: Iterable[Path], config: RunConfig, entries: Entries = entries_here) -> list[tuple[int, Path]]:
    """Checkpoints of this run's trajectory, newest step first, whatever precision `auto` came to."""
    found = []
    for folder in folders:
        for entry in entries(folder):
            step, prefix, *_ = entry.name.split("-")
            if step.isdigit() and int(step) <= config.steps and prefix_id(config, int(step)) == prefix:
                found.append((int(step), entry))
    return sorted(found, key=lambda pair: pair[0], reverse=True)


def load(checkpoint: Path, abstract: Any) -> tuple[Any, Rows]:
    """State (laid out as `abstract` says) and curve; CheckpointError where a byte differs from what was saved."""
    manifest, arrays, curve, failed = _read(checkpoint, abstract)
    reasons = [reason for reason in collectives.gather(str(failed or "")) if reason]
    if reasons:
        raise CheckpointError(f"checkpoint {checkpoint} does not load: {reasons[0]}") from failed
    altered = _altered(manifest, arrays)
    if altered or manifest["curve"] != hashlib.sha256(curve).hexdigest():
        raise CheckpointError(f"checkpoint {checkpoint} is altered: {', '.join(altered) or 'curve'}")
    tree = jax.tree.structure(abstract)
    return jax.tree.unflatten(tree, [arrays[name] for name in _named(abstract)]), read_parquet(
        checkpoint / "curve.parquet"
    )


def load_params(checkpoint: Path, abstract: Any) -> Any:
    """The parameters alone, laid out as `abstract` says; CheckpointError as from `load`."""
    wanted = _named({"params": abstract})
    try:
        manifest = read_json(checkpoint / "manifest.json")
        with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as orbax:
            layout = ocp.checkpoint_utils.construct_restore_args(wanted)
            some = ocp.args.PyTreeRestore(item=wanted, restore_args=layout, partial_restore=True)
            arrays = orbax.restore(checkpoint.absolute() / "state", args=some)
    except Exception as error:  # as in _read
        raise CheckpointError(f"checkpoint {checkpoint} does not load: {_one_line(error)}") from error
    altered = _altered(manifest, arrays)
    if altered:
        raise CheckpointError(f"checkpoint {checkpoint} is altered: {', '.join(altered)}")
    return jax.tree.unflatten(jax.tree.structure(abstract), [arrays[name] for name in wanted])


def _read(checkpoint: Path, abstract: Any) -> tuple[Any, dict[str, jax.Array], bytes, Exception | None]:
    """Manifest, arrays and curve as they are on disk; or what kept them from being read, said in one line."""
    try:
        manifest = read_json(checkpoint / "manifest.json")
        with ocp.StandardCheckpointer() as orbax:
            arrays = orbax.restore(checkpoint.absolute() / "state", _named(abstract))
        return manifest, arrays, (checkpoint / "curve.parquet").read_bytes(), None
    except Exception as error:  # Orbax, TensorStore and the file system each have their own ways to fail
        reason = collectives.told(error)
        if isinstance(reason, collectives.HostLost):
            raise reason from error
        failed = CheckpointError(_one_line(error))
        failed.__cause__ = error
        return None, {}, b"", failed


def set_aside(checkpoint: Path) -> None:
    """Takes a checkpoint that does not load out of the way of the one that will replace it."""
    aside = checkpoint.with_name(f".damaged-{time.time_ns()}-{checkpoint.name}")
    with contextlib.suppress(FileNotFoundError):  # another process was first
        os.replace(checkpoint, aside)


def sweep_up(folder: Path) -> None:
    """Removes what processes of this machine that are gone had half written; another host's may be at work."""
    mine = f".writing-{socket.gethostname()}-"
    for left in folder.glob(".writing-*"):
        pid = left.name.removeprefix(mine).partition("-")[0]
        if left.name.startswith(mine) and not alive(int(pid)):
            shutil.rmtree(left, ignore_errors=True)


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, OSError):
        return error.strerror or text
    if "No space left on device" in text:  # TensorStore wraps it in some thousand characters
        return "No space left on device"
    return text if len(text) < 300 else text[:300] + " …"


__all__ = [
    "CheckpointError", "StoreError", "candidates", "load", "load_params", "of_run", "path", "save", "set_aside",
    "sweep_up",
]  # fmt: skip

"""Checkpoints: the state after some step, with the curve up to it, named by what led there.

    FOLDER/STEP-PREFIX_ID/state/         Orbax
                          curve.parquet
                          manifest.json  SHA-256 of each array and of the curve

A checkpoint's name holds prefix_id(config, step), so any run with that prefix may start from it:
resuming and branching are one mechanism. A folder gets its name only when everything in it is
written and synced, and nothing in it is trusted without its checksum.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import socket
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from scaling.config import RunConfig, prefix_id
from scaling.program import compute_dtype
from scaling.record import StoreError, alive, read_json, read_parquet, write_json, write_parquet

Rows = list[dict[str, float]]


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


def _digest(array: Any) -> str:
    host = np.ascontiguousarray(jax.device_get(array))
    return hashlib.sha256(f"{host.dtype}{host.shape}".encode() + host.tobytes()).hexdigest()


def save(folder: Path, config: RunConfig, step: int, state: Any, rows: Rows) -> Path:
    """Writes the checkpoint, whole or not at all; does nothing where it is there already."""
    final = path(folder, config, step)
    if final.exists():
        return final
    temporary = folder / f".writing-{socket.gethostname()}-{os.getpid()}-{final.name}"
    shutil.rmtree(temporary, ignore_errors=True)  # in a container, one that was killed may have had our number
    arrays = _named(state)
    try:
        temporary.mkdir(parents=True)
        _check_room(temporary, sum(array.nbytes for array in arrays.values()))
        with ocp.StandardCheckpointer() as orbax:
            orbax.save(temporary.absolute() / "state", arrays)
        write_parquet(temporary / "curve.parquet", rows)
        curve = hashlib.sha256((temporary / "curve.parquet").read_bytes()).hexdigest()
        manifest = {"step": step, "curve": curve, "arrays": {name: _digest(a) for name, a in arrays.items()}}
        write_json(temporary / "manifest.json", manifest)
        _name(temporary, final)
    except Exception as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise CheckpointError(f"checkpoint {final} could not be written: {_one_line(error)}") from error
    return final


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


def candidates(folders: Iterable[Path], config: RunConfig) -> list[tuple[int, Path]]:
    """Checkpoints that this run may start from, newest step first."""
    found = []
    for folder in folders:
        for entry in folder.glob("[0-9]*-*"):
            step, _, prefix = entry.name.partition("-")
            if step.isdigit() and int(step) <= config.steps and _prefix(config, int(step)) == prefix:
                found.append((int(step), entry))
    return sorted(found, key=lambda pair: pair[0], reverse=True)


def load(checkpoint: Path, abstract: Any) -> tuple[Any, Rows]:
    """State (laid out as `abstract` says) and curve; CheckpointError where a byte differs from what was saved."""
    try:
        manifest = read_json(checkpoint / "manifest.json")
        with ocp.StandardCheckpointer() as orbax:
            arrays = orbax.restore(checkpoint.absolute() / "state", _named(abstract))
        curve = (checkpoint / "curve.parquet").read_bytes()
    except Exception as error:  # Orbax, TensorStore and the file system each have their own ways to fail
        raise CheckpointError(f"checkpoint {checkpoint} does not load: {_one_line(error)}") from error
    altered = [name for name, array in arrays.items() if manifest["arrays"].get(name) != _digest(array)]
    if altered or manifest["curve"] != hashlib.sha256(curve).hexdigest():
        raise CheckpointError(f"checkpoint {checkpoint} is altered: {', '.join(altered) or 'curve'}")
    tree = jax.tree.structure(abstract)
    return jax.tree.unflatten(tree, [arrays[name] for name in _named(abstract)]), read_parquet(
        checkpoint / "curve.parquet"
    )


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


__all__ = ["CheckpointError", "StoreError", "candidates", "load", "path", "save", "set_aside", "sweep_up"]

"""Checkpoints: the training state after a step, with the curve up to it.

    FOLDER/STEP-PREFIX_ID/state/         written by Orbax
                          curve.parquet
                          manifest.json  its name, a checksum of each array, SHA-256 of the curve, the run's cost

The name of a checkpoint contains prefix_id(config, step), so any run with that prefix can start from it: resuming and
branching use the same mechanism. A folder is renamed to its final name only after all its files are written and synced,
and its content is used only if the checksums match. Several hosts write one checkpoint together, each the shards on its
devices; any number of hosts and any device mesh can restore it.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from scaling.config.os_errors import reason_of_os_error
from scaling.config.run import RunConfig, prefix_id
from scaling.config.validation import one_line
from scaling.distributed import collectives
from scaling.program.array_checksums import altered_arrays, array_checksums
from scaling.program.orbax_messages import silence_orbax
from scaling.program.step import compute_dtype
from scaling.store.files import process_exists, read_json, write_json
from scaling.store.origin.machine import machine_alias
from scaling.store.verification import parquet

FREE_SPACE_FACTOR = 1.1  # free bytes required before writing, relative to the bytes of the arrays
MAX_MESSAGE_LENGTH = 300  # characters of a message of Orbax or TensorStore
Curve = list[dict[str, float]]
ListCheckpoints = Callable[[Path], list[Path]]


class CheckpointError(RuntimeError):
    """A checkpoint that could not be written or restored; the message is one line that names it."""


def checkpoint_path(folder: Path, config: RunConfig, step: int) -> Path:
    """Returns the path of a run's checkpoint.

    Args:
        folder: Folder of checkpoints.
        config: The run.
        step: Steps done.
    """
    return folder / f"{step:08d}-{_trajectory_id(config, step)}"


def _trajectory_id(config: RunConfig, step: int, dtype: str | None = None) -> str:
    """Returns prefix_id, followed by the dtype if precision `auto` is not float32, which changes the trajectory."""
    dtype = dtype or compute_dtype(config.precision)
    return prefix_id(config, step) + (f"-{dtype}" if config.precision == "auto" and dtype != "float32" else "")


def _named_leaves(state: Any) -> dict[str, Any]:
    leaves = jax.tree_util.tree_flatten_with_path(state)[0]
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


def save_checkpoint(
    folder: Path, config: RunConfig, step: int, state: Any, curve: Curve, cost: dict[str, float] | None = None
) -> Path:
    """Writes a checkpoint atomically; an existing one is kept unchanged.

    Args:
        folder: Folder of checkpoints.
        config: The run.
        step: Steps done.
        state: Tree of arrays; with several hosts, each host passes the same global arrays.
        curve: Rows of the curve up to this step.
        cost: What the run has cost so far, for `saved_cost`.

    Returns:
        The path of the checkpoint.

    Raises:
        CheckpointError: It could not be written.
        HostLostError: Another host was lost.
    """
    final = checkpoint_path(folder, config, step)
    arrays = _named_leaves(state)
    temporary: Path | None = None
    silence_orbax()
    try:
        size = sum(array.nbytes for array in arrays.values())
        created = collectives.call_on_main_host(lambda: _make_folder(final, size))
        if created is None:
            return final
        temporary = Path(created)
        with ocp.StandardCheckpointer() as orbax:
            orbax.save(temporary.absolute() / "state", arrays)
        facts = {"name": final.name, "step": step, "sums": array_checksums(arrays), "cost": cost or {}}
        collectives.call_on_main_host(functools.partial(_finish_checkpoint, temporary, final, facts, curve))
    except Exception as error:
        if temporary is not None and collectives.is_main_host():
            shutil.rmtree(temporary, ignore_errors=True)
        reason = collectives.as_host_lost(error)
        if isinstance(reason, collectives.HostLostError):
            raise reason from error
        raise CheckpointError(f"checkpoint {final} could not be written: {_short_message(error)}") from error
    return final


def _make_folder(final: Path, size: int) -> str | None:
    """Makes the temporary folder of a checkpoint of `size` bytes; None where the checkpoint exists already."""
    if final.exists():
        return None
    temporary = final.parent / f".writing-{machine_alias()}-{os.getpid()}-{final.name}"
    shutil.rmtree(temporary, ignore_errors=True)  # in a container, a killed process may have had the same id
    temporary.mkdir(parents=True)
    try:
        _check_free_space(temporary, size)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return str(temporary)


def _check_free_space(folder: Path, size: int) -> None:
    """Raises OSError if too little disk space is free, because Orbax's threads would report it inconsistently."""
    free = shutil.disk_usage(folder).free
    if free < FREE_SPACE_FACTOR * size:
        reason = f"No space left on device: {size:,} bytes are needed, {free:,} are free"
        raise OSError(errno.ENOSPC, reason, str(folder.parent))


def _finish_checkpoint(temporary: Path, final: Path, facts: dict[str, Any], curve: Curve) -> None:
    """Adds the curve and the manifest with its facts, then renames the folder."""
    for note in temporary.rglob("commit_success.txt"):  # Orbax writes the path of this machine into it
        note.write_text("")
    parquet.write_rows(temporary / "curve.parquet", curve)
    curve_sha256 = hashlib.sha256((temporary / "curve.parquet").read_bytes()).hexdigest()
    write_json(temporary / "manifest.json", {**facts, "curve": curve_sha256})
    _rename_folder(temporary, final)


def _rename_folder(temporary: Path, final: Path) -> None:
    """Renames a complete checkpoint to its final name; if another process was first, its checkpoint is kept."""
    try:
        os.replace(temporary, final)
    except OSError:
        if not final.exists():
            raise
        shutil.rmtree(temporary, ignore_errors=True)


def compatible_checkpoints(
    folders: Iterable[Path], config: RunConfig, list_checkpoints: ListCheckpoints, dtypes: Sequence[str] = ()
) -> list[tuple[int, Path]]:
    """Lists the checkpoints on a run's trajectory, newest first.

    Args:
        folders: Folders of checkpoints.
        config: The run.
        list_checkpoints: Lists the checkpoints in a folder.
        dtypes: Types of the products and activations under precision `auto`; by default this machine's, with which the
            run can be continued here. A checkpoint of another type can only be evaluated.

    Returns:
        Steps done, and path.
    """
    checkpoints = []
    for path in (path for folder in folders for path in list_checkpoints(folder)):
        number, _, trajectory = path.name.partition("-")
        if not number.isdigit() or int(number) > config.steps:
            continue
        step = int(number)
        if trajectory in {_trajectory_id(config, step, dtype) for dtype in dtypes or (None,)}:
            checkpoints.append((step, path))
    return sorted(checkpoints, key=lambda entry: entry[0], reverse=True)


def restore_checkpoint(checkpoint: Path, abstract: Any) -> tuple[Any, Curve]:
    """Reads the state and the curve of a checkpoint and verifies every byte.

    Args:
        checkpoint: Path of the checkpoint.
        abstract: Tree of `jax.ShapeDtypeStruct` with the shardings that the state is restored to.

    Returns:
        The state, and the curve up to the step of the checkpoint.

    Raises:
        CheckpointError: It cannot be read, or differs from the saved arrays; raised on all hosts if it fails on one.
        HostLostError: Another host was lost.
    """
    manifest, arrays, curve, failure = _read_checkpoint(checkpoint, abstract)
    reasons = [reason for reason in collectives.gather(str(failure or "")) if reason]
    if reasons:
        raise CheckpointError(f"checkpoint {checkpoint} does not load: {reasons[0]}") from failure
    altered = altered_arrays(manifest, arrays)
    if altered or manifest["curve"] != hashlib.sha256(curve).hexdigest():
        raise CheckpointError(f"checkpoint {checkpoint} is altered: {', '.join(altered) or 'curve'}")
    state = jax.tree.unflatten(jax.tree.structure(abstract), [arrays[name] for name in _named_leaves(abstract)])
    return state, parquet.read_rows(checkpoint / "curve.parquet")


def saved_cost(checkpoint: Path) -> dict[str, float]:
    """Returns the cost that was saved with a checkpoint that has been restored; empty for one of an earlier version."""
    cost = _read_manifest(checkpoint).get("cost", {})
    items = cost.items() if isinstance(cost, dict) else ()
    return {name: value for name, value in items if type(value) in (int, float)}


def restore_params(checkpoint: Path, abstract: Any) -> Any:
    """Reads only the parameters of a checkpoint and verifies them.

    Args:
        checkpoint: Path of the checkpoint.
        abstract: Tree of `jax.ShapeDtypeStruct` with the shardings that the parameters are restored to.

    Raises:
        CheckpointError: They cannot be read, or differ from what was saved.
    """
    leaves = _named_leaves({"params": abstract})
    silence_orbax()
    try:
        manifest = _read_manifest(checkpoint)
        with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as orbax:
            layout = ocp.checkpoint_utils.construct_restore_args(leaves)
            arguments = ocp.args.PyTreeRestore(item=leaves, restore_args=layout, partial_restore=True)
            arrays = orbax.restore(checkpoint.absolute() / "state", args=arguments)
    except Exception as error:  # Orbax, TensorStore and the file system each fail in their own ways
        raise CheckpointError(f"checkpoint {checkpoint} does not load: {_short_message(error)}") from error
    if altered := altered_arrays(manifest, arrays):
        raise CheckpointError(f"checkpoint {checkpoint} is altered: {', '.join(altered)}")
    return jax.tree.unflatten(jax.tree.structure(abstract), [arrays[name] for name in leaves])


def _read_checkpoint(
    checkpoint: Path, abstract: Any
) -> tuple[Any, dict[str, jax.Array], bytes, CheckpointError | None]:
    """Returns manifest, arrays and curve as stored, and the error (for the other hosts) if they cannot be read."""
    silence_orbax()
    try:
        manifest = _read_manifest(checkpoint)
        with ocp.StandardCheckpointer() as orbax:
            arrays = orbax.restore(checkpoint.absolute() / "state", _named_leaves(abstract))
        return manifest, arrays, (checkpoint / "curve.parquet").read_bytes(), None
    except Exception as error:  # Orbax, TensorStore and the file system each fail in their own ways
        reason = collectives.as_host_lost(error)
        if isinstance(reason, collectives.HostLostError):
            raise reason from error
        failure = CheckpointError(_short_message(error))
        failure.__cause__ = error
        return None, {}, b"", failure


def _read_manifest(checkpoint: Path) -> dict[str, Any]:
    """Reads the manifest; CheckpointError where it is not that of a checkpoint of this name, which older ones lack."""
    manifest = read_json(checkpoint / "manifest.json")
    sums = manifest.get("sums", manifest.get("arrays")) if isinstance(manifest, dict) else None
    if not isinstance(sums, dict) or not isinstance(manifest.get("curve"), str):
        raise CheckpointError("manifest.json is not a manifest")
    name = manifest.get("name", checkpoint.name)
    step = int(checkpoint.name.partition("-")[0])
    if name != checkpoint.name or manifest.get("step", step) != step:
        raise CheckpointError(f"manifest.json is that of checkpoint {name}, step {manifest.get('step')}")
    return manifest


def rename_damaged(checkpoint: Path) -> None:
    """Renames a checkpoint that does not load, so that a new checkpoint can have its name."""
    renamed = checkpoint.with_name(f".damaged-{time.time_ns()}-{checkpoint.name}")
    with contextlib.suppress(FileNotFoundError):  # another process was first
        os.replace(checkpoint, renamed)


def remove_abandoned_checkpoints(folder: Path) -> None:
    """Removes partial checkpoints of ended processes of this machine, not those of other hosts."""
    for host in (machine_alias(), socket.gethostname()):  # earlier versions used the name of the host
        prefix = f".writing-{host}-"
        for path in folder.glob(f"{prefix}*"):
            pid = path.name.removeprefix(prefix).partition("-")[0]
            if not process_exists(int(pid)):
                shutil.rmtree(path, ignore_errors=True)


def _short_message(error: Exception) -> str:
    text = one_line(error)
    if isinstance(error, OSError):
        return reason_of_os_error(error)
    if "No space left on device" in text:  # TensorStore's message has thousands of characters
        return reason_of_os_error(OSError(errno.ENOSPC, "No space left on device"))
    return text if len(text) < MAX_MESSAGE_LENGTH else text[:MAX_MESSAGE_LENGTH] + " …"

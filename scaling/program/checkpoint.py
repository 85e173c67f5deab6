"""Checkpoints: the training state after a step, with the curve up to it.

    FOLDER/STEP-PREFIX_ID/state/         written by Orbax
                          curve.parquet
                          manifest.json  its name, a checksum of each array, SHA-256 of the curve, the run's cost

The name of a checkpoint contains prefix_id(config, step), so any run with that prefix can start from it: resuming and
branching use the same mechanism. A checkpoint appears under its name only after all its files are written
(`checkpoint_files`), and its content is used only if the checksums match. Several hosts write one checkpoint together
(`checkpoint_writer`), each the shards on its devices; any number of hosts and any device mesh can restore it.
"""

from __future__ import annotations

import hashlib
import shutil
import socket
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from scaling.config.run import RunConfig, prefix_id
from scaling.distributed import collectives
from scaling.program.array_checksums import altered_arrays
from scaling.program.checkpoint_files import (
    CURVE,
    MANIFEST,
    BucketCheckpoint,
    CheckpointError,
    CheckpointFiles,
    LocalCheckpoint,
    named_leaves,
    orbax_options,
    short_message,
)
from scaling.program.checkpoint_writer import Checkpoint, CheckpointWriter, Curve
from scaling.program.orbax_messages import silence_orbax
from scaling.program.step import compute_dtype
from scaling.store.files import StoreError, parse_json, process_exists
from scaling.store.origin.machine import machine_alias
from scaling.store.verification import parquet

ListCheckpoints = Callable[[Path], list[Path]]


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


def save_checkpoint(
    folder: Path, config: RunConfig, step: int, state: Any, curve: Curve, cost: dict[str, float] | None = None
) -> Path:
    """Writes a checkpoint in a local folder atomically and waits for it; an existing one is kept unchanged.

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
    path, writer = checkpoint_path(folder, config, step), CheckpointWriter()
    writer.save(Checkpoint(LocalCheckpoint(path), step, curve, cost or {}), state)
    writer.wait()
    return path


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


def restore_checkpoint(checkpoint: CheckpointFiles | Path, abstract: Any) -> tuple[Any, Curve]:
    """Reads the state and the curve of a checkpoint and verifies every byte.

    Args:
        checkpoint: Files of the checkpoint, or its path.
        abstract: Tree of `jax.ShapeDtypeStruct` with the shardings that the state is restored to.

    Returns:
        The state, and the curve up to the step of the checkpoint.

    Raises:
        CheckpointError: It cannot be read, or differs from the saved arrays; raised on all hosts if it fails on one.
        StoreError: Its bucket cannot be reached; raised on all hosts too.
        HostLostError: Another host was lost.
    """
    files = LocalCheckpoint(checkpoint) if isinstance(checkpoint, Path) else checkpoint
    manifest, arrays, curve, failure = _read_checkpoint(files, abstract)
    is_unreachable = failure is not None and not _is_reachable(files)
    reasons = collectives.gather([str(failure or ""), is_unreachable])
    if reason := next((reason for reason, unreachable in reasons if unreachable), ""):
        raise StoreError(f"checkpoint {files} cannot be read now: {reason}") from failure
    if reason := next((reason for reason, _ in reasons if reason), ""):
        raise CheckpointError(f"checkpoint {files} does not load: {reason}") from failure
    altered = altered_arrays(manifest, arrays)
    if altered or manifest["curve"] != hashlib.sha256(curve).hexdigest():
        raise CheckpointError(f"checkpoint {files} is altered: {', '.join(altered) or 'curve'}")
    state = jax.tree.unflatten(jax.tree.structure(abstract), [arrays[name] for name in named_leaves(abstract)])
    return state, parquet.table_rows(parquet.parse_table(Path(f"{files}/{CURVE}"), curve))


def saved_cost(checkpoint: CheckpointFiles | Path) -> dict[str, float]:
    """Returns the cost that was saved with a checkpoint that has been restored; empty for one of an earlier version."""
    files = LocalCheckpoint(checkpoint) if isinstance(checkpoint, Path) else checkpoint
    cost = _read_manifest(files).get("cost", {})
    items = cost.items() if isinstance(cost, dict) else ()
    return {name: value for name, value in items if type(value) in (int, float)}


def restore_params(checkpoint: CheckpointFiles | Path, abstract: Any) -> Any:
    """Reads only the parameters of a checkpoint and verifies them.

    Args:
        checkpoint: Files of the checkpoint, or its path.
        abstract: Tree of `jax.ShapeDtypeStruct` with the shardings that the parameters are restored to.

    Raises:
        CheckpointError: They cannot be read, or differ from what was saved.
        StoreError: Its bucket cannot be reached.
    """
    files = LocalCheckpoint(checkpoint) if isinstance(checkpoint, Path) else checkpoint
    leaves = named_leaves({"params": abstract})
    silence_orbax()
    try:
        manifest = _read_manifest(files)
        with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(), **orbax_options(files)) as orbax:
            layout = ocp.checkpoint_utils.construct_restore_args(leaves)
            arguments = ocp.args.PyTreeRestore(item=leaves, restore_args=layout, partial_restore=True)
            arrays = orbax.restore(files.arrays(manifest), args=arguments)
    except Exception as error:  # Orbax, TensorStore and the file system each fail in their own ways
        if not _is_reachable(files):
            raise StoreError(f"checkpoint {files} cannot be read now: {short_message(error)}") from error
        raise CheckpointError(f"checkpoint {files} does not load: {short_message(error)}") from error
    if altered := altered_arrays(manifest, arrays):
        raise CheckpointError(f"checkpoint {files} is altered: {', '.join(altered)}")
    return jax.tree.unflatten(jax.tree.structure(abstract), [arrays[name] for name in leaves])


def _read_checkpoint(
    files: CheckpointFiles, abstract: Any
) -> tuple[Any, dict[str, jax.Array], bytes, CheckpointError | None]:
    """Returns manifest, arrays and curve as stored, and the error (for the other hosts) if they cannot be read."""
    silence_orbax()
    try:
        manifest = _read_manifest(files)
        with ocp.StandardCheckpointer(**orbax_options(files)) as orbax:
            arrays = orbax.restore(files.arrays(manifest), named_leaves(abstract))
        return manifest, arrays, files.read(CURVE), None
    except Exception as error:  # Orbax, TensorStore and the file system each fail in their own ways
        reason = collectives.as_host_lost(error)
        if isinstance(reason, collectives.HostLostError):
            raise reason from error
        failure = CheckpointError(short_message(error))
        failure.__cause__ = error
        return None, {}, b"", failure


def _is_reachable(files: CheckpointFiles) -> bool:
    """Returns whether a checkpoint's files can be read at all; those of a bucket that cannot may be intact."""
    if isinstance(files, BucketCheckpoint):
        try:
            files.read(MANIFEST)
        except FileNotFoundError:
            return True
        except OSError:
            return False
    return True


def _read_manifest(files: CheckpointFiles) -> dict[str, Any]:
    """Reads the manifest; CheckpointError where it is not that of a checkpoint of this name, which older ones lack."""
    manifest = parse_json(f"{files}/{MANIFEST}", files.read(MANIFEST))
    sums = manifest.get("sums", manifest.get("arrays")) if isinstance(manifest, dict) else None
    if not isinstance(sums, dict) or not isinstance(manifest.get("curve"), str):
        raise CheckpointError("manifest.json is not a manifest")
    name = manifest.get("name", files.name)
    step = int(files.name.partition("-")[0])
    if name != files.name or manifest.get("step", step) != step:
        raise CheckpointError(f"manifest.json is that of checkpoint {name}, step {manifest.get('step')}")
    return manifest


def remove_abandoned_checkpoints(folder: Path) -> None:
    """Removes partial checkpoints of ended processes of this machine, not those of other hosts."""
    for host in (machine_alias(), socket.gethostname()):  # earlier versions used the name of the host
        prefix = f".writing-{host}-"
        for path in folder.glob(f"{prefix}*"):
            pid = path.name.removeprefix(prefix).partition("-")[0]
            if not process_exists(int(pid)):
                shutil.rmtree(path, ignore_errors=True)

"""Parameters of runs in the store: their checkpoint, their shapes, and the hash that names them.

Runs that start from the parameters of others name them by this hash (`RunConfig.init`), as they name their tokens.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import jax
from flax import nnx

from scaling.config.model import ModelConfig
from scaling.config.validation import require
from scaling.program import checkpoint
from scaling.program.array_checksums import array_checksums
from scaling.program.checkpoint_files import MANIFEST, CheckpointFiles, named_leaves, open_checkpoint
from scaling.program.step import init_model
from scaling.store.damaged import newest_row
from scaling.store.files import DamagedFileError, StoreError, parse_json
from scaling.store.record import Record, Store

COMPUTE_DTYPES = ("float32", "bfloat16")  # of products and activations
PREFIX = "params."  # of the parameters' names in a checkpoint


def abstract_parameters(model: ModelConfig) -> Any:
    """Returns the tree of shapes of a model's parameters on one device.

    Args:
        model: The model.
    """
    state = nnx.split(nnx.eval_shape(lambda: init_model(model, nnx.Rngs(0))))[1]
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device), nnx.to_pure_dict(state)
    )


def nested(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the tree of leaves with dotted names."""
    tree: dict[str, Any] = {}
    for name, leaf in leaves.items():
        *parents, last = name.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = leaf
    return tree


def parameter_hash(sums: Mapping[str, str]) -> str:
    """Returns the hash that names parameters, 64 hex digits, the same however they are laid out over devices.

    Args:
        sums: Type, shape and checksum of each parameter by its dotted name (`array_checksums`).
    """
    return hashlib.sha256(json.dumps(dict(sums), sort_keys=True).encode()).hexdigest()


def saved_parameter_hash(files: CheckpointFiles, model: ModelConfig) -> str:
    """Returns the hash of the parameters in a checkpoint; reads them only if it is of an early version.

    Args:
        files: The checkpoint.
        model: The model.

    Raises:
        CheckpointError: It cannot be read.
        DamagedFileError: Its manifest is damaged.
        OSError: Its manifest cannot be read.
    """
    sums = _parameter_sums(files)
    if sums is None:
        sums = array_checksums(named_leaves(checkpoint.restore_params(files, abstract_parameters(model))))
    return parameter_hash(sums)


def parameter_shapes(files: CheckpointFiles) -> dict[str, str]:
    """Returns type and shape of each parameter in a checkpoint by its dotted name, as text; none of an early version.

    Args:
        files: The checkpoint.

    Raises:
        DamagedFileError: Its manifest is damaged.
        OSError: Its manifest cannot be read.
    """
    return {name: text.rpartition(" ")[0] for name, text in (_parameter_sums(files) or {}).items()}


def _parameter_sums(files: CheckpointFiles) -> dict[str, str] | None:
    """Returns type, shape and checksum of each parameter; None of a checkpoint of an early version."""
    manifest = parse_json(f"{files}/{MANIFEST}", files.read(MANIFEST))
    sums = manifest.get("sums") if isinstance(manifest, dict) else None
    if not isinstance(sums, dict):
        return None
    return {name.removeprefix(PREFIX): str(text) for name, text in sums.items() if name.startswith(PREFIX)}


def read_run(store: Store, run: str) -> Record:
    """Returns the record of a run.

    Args:
        store: The store.
        run: Run id, or its first characters.

    Raises:
        StoreError: There is no such run.
    """
    store.fetch_results()
    record = store.read(store.find_run(run))
    if record is None:
        raise StoreError(f"run {run!r} in store {store.root}: has no record")
    return record


def require_text(record: Record) -> None:
    """Raises ConfigError for an imported model without a text: its `data.tokens` is the hash of its tokenizer.

    Args:
        record: Record of the run.
    """
    require(
        "imported" not in record.about or "has_text" in record.about,
        f"run {record.run_id[:12]}: an imported model has no text of its own: import it again with --tokens HASH, the "
        "content hash of a token file of the store",
    )


def find_checkpoint(store: Store, record: Record, step: int | None = None) -> tuple[int, CheckpointFiles]:
    """Finds a checkpoint of a run, and fetches it from a remote store unless it is read there.

    Args:
        store: The store.
        record: Record of the run.
        step: Steps done; None: the last step so far.

    Raises:
        StoreError: There is none of this step; the message lists the other steps.
    """
    folders = [store.run_dir(record.run_id) / "checkpoints", store.checkpoints]
    dtype = record.about.get("precision")
    dtypes = (dtype,) if dtype in COMPUTE_DTYPES else COMPUTE_DTYPES
    checkpoints = checkpoint.compatible_checkpoints(folders, record.config, store.checkpoint_folders, dtypes)
    wanted = last_step(store, record) if step is None else step
    for number, path in checkpoints:
        if number == wanted and store.fetch_checkpoint(path):
            return number, open_checkpoint(store, path)
    steps = ", ".join(str(number) for number in dict(checkpoints)) or "none"
    raise StoreError(
        f"run {record.run_id[:12]} in store {store.root}: {record.status}, no checkpoint of step {wanted}: "
        f"it has checkpoints of steps: {steps}"
    )


def last_step(store: Store, record: Record) -> int:
    """Returns the last step of a run so far, 0 before its first one.

    Args:
        store: The store.
        record: Record of the run.
    """
    if record.status == "done":
        return record.config.steps
    return int((newest_row(store, record.run_id) or record.final).get("step", 0))


def find_parameters(store: Store, name: str, model: ModelConfig) -> CheckpointFiles | None:
    """Finds a checkpoint with given parameters among those that can be read without copying them.

    Args:
        store: The store.
        name: Hash of the parameters.
        model: The model.

    Returns:
        The checkpoint, None if no checkpoint of the store has these parameters.
    """
    folders = [store.checkpoints, *(run / "checkpoints" for run in sorted(store.root.glob("runs/*")))]
    for path in (path for folder in folders for path in store.checkpoint_folders(folder)):
        files = open_checkpoint(store, path)
        try:
            if saved_parameter_hash(files, model) == name:
                return files
        except (DamagedFileError, OSError, checkpoint.CheckpointError):
            continue  # another checkpoint may have them
    return None

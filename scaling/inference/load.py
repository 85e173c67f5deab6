"""Trained models from the store: the parameters of a checkpoint, and the tokeniser of the run's text."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from scaling.config.model import ModelConfig
from scaling.config.run import RunConfig
from scaling.config.validation import require
from scaling.data import tokenizers
from scaling.inference.parameters import read_run
from scaling.inference.sites import SiteEdit
from scaling.models.transformer import Transformer
from scaling.program import checkpoint
from scaling.program.checkpoint_files import open_checkpoint
from scaling.program.step import compute_dtype
from scaling.store.damaged import newest_row
from scaling.store.files import StoreError
from scaling.store.record import Record, Store

COMPUTE_DTYPES = ("float32", "bfloat16")  # of products and activations
NO_CHECKPOINT = "it has none of another step: restore it from a copy, or `python -m scaling train` an unfinished run"


@dataclass(frozen=True)
class TrainedModel:
    """A trained decoder after a number of steps, on one device.

    Attributes:
        record: Record of its run.
        step: Training steps done.
        model: The model's configuration, without an expert capacity: no expert drops a token in inference.
        graph: Graph definition of the model (nnx.split).
        params: Tree of parameters.
        tokenizer: Tokeniser of the text that the run was trained on.
        edit: Edit of the activations of one site, which text generation applies at every token.
    """

    record: Record
    step: int
    model: ModelConfig
    graph: Any
    params: Any
    tokenizer: tokenizers.Tokenizer
    edit: SiteEdit | None = None

    @property
    def config(self) -> RunConfig:
        """Configuration of the run."""
        return self.record.config

    @property
    def dtype(self) -> Any:
        """Type of matrix products and activations."""
        return jnp.dtype(compute_dtype(self.config.precision))


def load_model(store: Store, run: str, step: int | None = None) -> TrainedModel:
    """Loads the model of a run after its last step, or after another one that has a checkpoint.

    Args:
        store: The store.
        run: Run id, or its first characters.
        step: The training steps done; None: the run's last step so far.

    Raises:
        StoreError: There is no such run, or no intact checkpoint of this step.
        DamagedFileError: The record is damaged, or its final scores are not those of its curve.
        ConfigError: The model has an encoder.
    """
    record = read_run(store, run)
    store.check_result(record)
    model, graph, abstract = abstract_model(record)
    step, params = restore_step(store, record, abstract, step)
    store.fetch_tokens(record.config.data.tokens)
    return TrainedModel(record, step, model, graph, params, run_tokenizer(record, store.token_files))


def model_in_training(store: Store, record: Record, step: int, params: Any) -> TrainedModel:
    """Returns the model of a run that is being trained, with its parameters copied to one device.

    Args:
        store: The store that has the run's token file.
        record: Record of the run.
        step: Training steps done.
        params: Tree of parameters, on any mesh.
    """
    model, graph, abstract = abstract_model(record)
    local_params = jax.tree.map(lambda leaf, target: jax.device_put(leaf, target.sharding), params, abstract)
    return TrainedModel(record, step, model, graph, local_params, run_tokenizer(record, store.token_files))


def abstract_model(record: Record) -> tuple[ModelConfig, Any, Any]:
    """Returns a run's model without expert capacity, its graph, and the shapes of its parameters on one device."""
    kind = record.config.model.kind
    require(record.config.sae is None, f"run {record.run_id[:12]}: a sparse autoencoder: must be the run of a model")
    require(kind == "decoder", f"run {record.run_id[:12]}: its model must be a decoder, not {kind!r}")
    model = replace(record.config.model, capacity=None)
    graph, state = nnx.split(nnx.eval_shape(lambda: Transformer(model, rngs=nnx.Rngs(0))))
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    abstract = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device), nnx.to_pure_dict(state)
    )
    return model, graph, abstract


def restore_step(store: Store, record: Record, abstract: Any, step: int | None) -> tuple[int, Any]:
    """Returns a step and the parameters after it.

    Args:
        store: The store.
        record: Record of the run.
        abstract: Shapes of the parameters.
        step: The step; None for the run's last one.

    Raises:
        StoreError: There is no intact checkpoint of this step; the message lists the other steps.
    """
    folders = [store.run_dir(record.run_id) / "checkpoints", store.checkpoints]
    dtype = record.about.get("precision")  # a shared checkpoint of another type is of another trajectory
    dtypes = (dtype,) if dtype in COMPUTE_DTYPES else COMPUTE_DTYPES
    checkpoints = checkpoint.compatible_checkpoints(folders, record.config, store.checkpoint_folders, dtypes)
    model_step, damaged = _last_step(store, record) if step is None else step, ""
    for _, path in [entry for entry in checkpoints if entry[0] == model_step]:
        try:
            if store.fetch_checkpoint(path):
                return model_step, checkpoint.restore_params(open_checkpoint(store, path), abstract)
        except checkpoint.CheckpointError as error:
            damaged = f": {error}"
    name = f"step {model_step}" if step is not None else f"its last step, {model_step}"
    steps = ", ".join(str(other) for other in dict(checkpoints) if other != model_step)
    raise StoreError(
        f"run {record.run_id[:12]} in store {store.root}: {record.status}, no intact checkpoint of {name}{damaged}: "
        + (
            f"restore it from a copy, or choose with --step another one of the steps {steps}"
            if steps
            else NO_CHECKPOINT
        )
    )


def _last_step(store: Store, record: Record) -> int:
    """Returns the last step of a run so far, 0 before its first one."""
    if record.status == "done":
        return record.config.steps
    return int((newest_row(store, record.run_id) or record.final).get("step", 0))


def run_tokenizer(record: Record, folder: Path) -> tokenizers.Tokenizer:
    """Loads the tokeniser of the text that a run was trained on.

    Args:
        record: Record of the run.
        folder: Folder of token files.
    """
    name, facts = record.about.get("tokenizer", ""), record.about.get("corpus_facts", {})
    config = record.config
    return tokenizers.load_tokenizer(name, facts, folder, vocab=config.model.vocab, eod=config.data.document_end)

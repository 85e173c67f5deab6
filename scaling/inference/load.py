"""A run's trained model, read from the store: its newest whole checkpoint, and the tokeniser of its text."""

from __future__ import annotations

import sys
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
from scaling.models.transformer import Transformer
from scaling.program import checkpoint
from scaling.program.step import compute_dtype
from scaling.store.files import StoreError
from scaling.store.record import Record, Store


@dataclass(frozen=True)
class TrainedModel:
    """A model as some step left it, on one device."""

    record: Record
    step: int
    model: ModelConfig  # without capacity: no expert turns a token away
    graph: Any
    params: Any
    tokenizer: tokenizers.Tokenizer

    @property
    def config(self) -> RunConfig:
        return self.record.config

    @property
    def dtype(self) -> Any:
        """Type of products and activations."""
        return jnp.dtype(compute_dtype(self.config.precision))


def load_model(store: Store, run: str, step: int | None = None) -> TrainedModel:
    """The run whose id starts with `run`, at its newest checkpoint that loads; StoreError where there is none.

    step: of the checkpoint after so many steps alone.
    """
    store.fetch_results()
    record = store.read(store.find_run(run))
    if record is None:
        raise StoreError(f"run {run!r} in store {store.root}: has no record")
    model, graph, abstract = abstract_model(record)
    at, params = _newest_params(store, record, abstract, step)
    store.fetch_tokens(record.config.data.tokens)
    return TrainedModel(record, at, model, graph, params, run_tokenizer(record, store.token_files))


def model_in_training(store: Store, record: Record, step: int, params: Any) -> TrainedModel:
    """The model of a run that is being trained, on one device, as its parameters stand."""
    model, graph, abstract = abstract_model(record)
    here = jax.tree.map(lambda leaf, like: jax.device_put(leaf, like.sharding), params, abstract)
    return TrainedModel(record, step, model, graph, here, run_tokenizer(record, store.token_files))


def abstract_model(record: Record) -> tuple[ModelConfig, Any, Any]:
    """A run's model without capacity, its graph, and its parameters' shapes on one device."""
    config = record.config
    require(config.model.kind == "decoder", f"run {record.run_id[:12]}: a decoder is needed, not {config.model.kind!r}")
    model = replace(config.model, capacity=None)
    graph, state = nnx.split(nnx.eval_shape(lambda: Transformer(model, rngs=nnx.Rngs(0))))
    here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    abstract = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=here), nnx.to_pure_dict(state)
    )
    return model, graph, abstract


def _newest_params(store: Store, record: Record, abstract: Any, only: int | None) -> tuple[int, Any]:
    folders = [store.run_dir(record.run_id) / "checkpoints", store.checkpoints]
    there = checkpoint.compatible_checkpoints(folders, record.config, store.checkpoint_folders, any_precision=True)
    for step, found in there:
        if only not in (None, step):
            continue
        try:
            if not store.fetch_checkpoint(found):
                continue
            return step, checkpoint.restore_params(found, abstract)
        except checkpoint.CheckpointError as error:
            print(f"{error}; going on with an older one", file=sys.stderr)
    if only is not None:
        known = ", ".join(str(step) for step, _ in there) or "none"
        raise StoreError(
            f"run {record.run_id[:12]} in store {store.root}: no checkpoint of step {only}: there are {known}"
        )
    raise StoreError(
        f"run {record.run_id[:12]} in store {store.root}: no checkpoint that loads: the run is {record.status}, "
        "`python -m scaling train` saves one"
    )


def run_tokenizer(record: Record, folder: Path) -> tokenizers.Tokenizer:
    """What made the tokens that the run read."""
    name, facts = record.about.get("tokenizer", ""), record.about.get("corpus_facts", {})
    config = record.config
    return tokenizers.load_tokenizer(name, facts, folder, vocab=config.model.vocab, eod=config.data.document_end)

"""The activations that sparse autoencoders are trained on, a pure function of (content, seed, block).

A block has the activations of `SaeConfig.buffer` steps. Its sequences are those of a run with this config, which are
permuted over the whole corpus, and its tokens are shuffled. So a block mixes the documents of some hundred sequences,
memory is bounded, and a run that resumes computes its next block without reading what came before.

Axes: B tokens of a step, D width, L positions, M tokens of a block, P sites, S steps of a block, X columns of a row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from scaling.config.placement import Placement
from scaling.config.run import RunConfig
from scaling.config.validation import ConfigError, require
from scaling.data import examples
from scaling.data.shards.permutation import feistel_permutation
from scaling.inference.activations import sites_activations
from scaling.inference.load import TrainedModel, load_model
from scaling.inference.sae.activation_file import ActivationFile, open_activation_file
from scaling.inference.sites import Site
from scaling.models.transformer import Transformer
from scaling.store.record import Store
from scaling.training.reading import open_corpus

SHUFFLE_STREAM = 1  # separates the shuffling from other uses of the seed


@dataclass(frozen=True)
class Stream:
    """A stream of activations.

    Attributes:
        sites: Layers and sites that are read, P of them.
        training: training(block) -> activations of each site and step, (P, S, B, D), float32 on the device.
        validation: Held-out activations, (P, n, D) on the host.
        tokens: Token file; None if the activations are from a file.
        facts: Facts for the records.
    """

    sites: tuple[Site, ...]
    training: Callable[[int], jax.Array]
    validation: np.ndarray
    tokens: Any
    facts: dict[str, Any]


def open_stream(configs: Sequence[RunConfig], store: Store, placement: Placement) -> Stream:
    """Opens the stream of activations of some autoencoders.

    Args:
        configs: Runs of one `stream_key`.
        store: The store with the model and its text.
        placement: Where the text is read from.

    Raises:
        StoreError: The model has no checkpoint of its last step.
        ConfigError: Its run has another model, or reads other tokens.
        CorpusError: The text is missing.
    """
    config = configs[0]
    sae = config.sae
    assert sae is not None
    sites = tuple(dict.fromkeys(Site(c.sae.layer, c.sae.site) for c in configs if c.sae is not None))
    if sae.model_run is None:
        return _file_stream(config, open_activation_file(store, config.data.tokens), sites)
    model = load_model(store, sae.model_run)
    _check_model(config, model)
    return _model_stream(config, model, sites, store, placement)


def _check_model(config: RunConfig, model: TrainedModel) -> None:
    """Raises ConfigError unless the run reads its activations from a model of the config's shape."""
    name = model.record.run_id[:12]
    for field, given, actual in (
        ("model", config.model, model.config.model),
        ("data.document_end", config.data.document_end, model.config.data.document_end),
        ("precision", config.precision, model.config.precision),
    ):
        require(given == actual, f"RunConfig.{field}: must be that of SaeConfig.model_run = {name}")


def _model_stream(
    config: RunConfig, model: TrainedModel, sites: tuple[Site, ...], store: Store, placement: Placement
) -> Stream:
    tokens, validation_rows, facts = open_corpus(config, store, placement)
    graph = nnx.split(nnx.eval_shape(lambda: Transformer(model.model, rngs=nnx.Rngs(0))))[0]
    compute = jax.jit(partial(sites_activations, graph, config, model.dtype, sites))
    assert config.sae is not None
    batch, buffer = config.batch, config.sae.buffer

    def read(rows_BX: np.ndarray) -> jax.Array:
        """Returns activations (P, B·L, D) of up to `batch` sequences."""
        filled_BX = np.concatenate([rows_BX, np.repeat(rows_BX[:1], batch - len(rows_BX), 0)])
        out_PBLD = compute(model.params, filled_BX[:, : config.data.length])[:, : len(rows_BX)]
        return out_PBLD.reshape(len(sites), -1, config.model.width)

    def training(block: int) -> jax.Array:
        first = block * buffer * batch
        rows_SBX = examples.training_rows(tokens, config, first + np.arange(buffer * batch, dtype=np.int64))
        parts = [read(rows_BX) for rows_BX in rows_SBX.reshape(buffer, batch, -1)]
        return shuffle_block(tuple(parts), config.seed, block)

    held_out = [np.asarray(read(validation_rows[i : i + batch])) for i in range(0, len(validation_rows), batch)]
    facts |= {"model_step": model.step}
    return Stream(sites, training, np.concatenate(held_out, 1), tokens, facts)


@jax.jit
def shuffle_block(parts: tuple[jax.Array, ...], seed: Any, block: Any) -> jax.Array:
    """Returns the tokens of a block in random order, the same at all sites, (P, S, B, D).

    Args:
        parts: Activations of each step's sequences, (P, B, D) each.
        seed: Seed of the run.
        block: Number of the block.
    """
    x_PMD = jnp.concatenate(parts, 1)
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), SHUFFLE_STREAM), block)
    order_M = jax.random.permutation(key, x_PMD.shape[1])
    return x_PMD[:, order_M].reshape(x_PMD.shape[0], len(parts), -1, x_PMD.shape[-1])


def _file_stream(config: RunConfig, file: ActivationFile, sites: tuple[Site, ...]) -> Stream:
    """Returns the stream of a file of activations, whose rows are permuted anew in each epoch."""
    sae = config.sae
    assert sae is not None
    if len(sites) > 1 or file.width != config.model.width or config.data.length != 1:
        raise ConfigError(
            f"{file.path}: activations of width {file.width} of one site: the run must have model.width = {file.width} "
            "and data.length = 1"
        )
    size = sae.buffer * config.batch

    def training(block: int) -> jax.Array:
        rows = block * size + np.arange(size, dtype=np.int64)
        epochs, positions = np.divmod(rows, file.training_rows)
        chosen = np.empty_like(rows)
        for epoch in np.unique(epochs):
            of_epoch = epochs == epoch
            key = f"activations {config.data.tokens} {config.seed} {epoch}"
            chosen[of_epoch] = feistel_permutation(positions[of_epoch], file.training_rows, key.encode())
        return jnp.asarray(file.read(chosen).reshape(1, sae.buffer, config.batch, file.width))

    held_out = file.validation(config.eval.sequences)
    return Stream(sites, training, held_out[None], None, {"activations_file": file.path.name})

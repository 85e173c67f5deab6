"""Intermediate results of a trained model: attention maps of a prompt, activations of a layer.

Axes: B sequences, L positions, M positions attended to, D width, H heads, n positions of all sequences.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from scaling.config.run import RunConfig
from scaling.config.sae import SITES
from scaling.config.validation import require
from scaling.data import examples, windows
from scaling.data.tokens import TokenFile
from scaling.inference import kv_cache
from scaling.inference.load import TrainedModel
from scaling.inference.sites import Site, SiteEdit, layer_edit
from scaling.models.attention.attention import TokenPositions
from scaling.models.attention.positions import document_ids, segment_positions
from scaling.models.transformer import Transformer

SPLITS = ("train", "validation")
BATCH_SEQUENCES = 16  # sequences computed at once


def check_layer(model: TrainedModel, layer: int) -> None:
    """Raises ConfigError if the model has no such layer.

    Args:
        model: The model.
        layer: Index of the layer.
    """
    require(0 <= layer < model.model.layers, f"--layer {layer}: the model has layers 0 to {model.model.layers - 1}")


def attention_maps(model: TrainedModel, prompt: np.ndarray, layer: int) -> np.ndarray:
    """Computes the attention weights of each head of a layer.

    Args:
        model: The model.
        prompt: Tokens of the prompt.
        layer: Index of the layer.

    Returns:
        Weights, float32 (H, L, M): row i is how token i attends to the tokens up to itself.

    Raises:
        ConfigError: The model has no such layer, or the prompt exceeds its learned positions.
    """
    check_layer(model, layer)
    L, limit = len(prompt), model.model.position_length
    require(limit is None or limit >= L, f"--prompt: its {L} tokens exceed the {limit} learned positions of the model")
    kv_cache.check_cacheable(model.model, model.graph, model.params)
    end = model.config.data.document_end

    @jax.jit
    def layer_weights(params: Any, tokens_BL: jax.Array) -> jax.Array:
        transformer = nnx.merge(model.graph, params)
        _, blocks = kv_cache.split_blocks(params, model.model.layers)
        segments_BL = jnp.zeros_like(tokens_BL) if end is None else document_ids(tokens_BL, end)
        slots_BL = jnp.arange(L, dtype=jnp.int32)[None]
        new = kv_cache.NewTokens(tokens_BL, slots_BL, segments_BL, segment_positions(L, segments_BL))
        cache = kv_cache.empty_cache(transformer, 1, L, model.dtype)
        outputs = list(kv_cache.layer_outputs(transformer, blocks[: layer + 1], cache, new, model.dtype))
        return outputs[-1].weights_BHLM[0]

    return np.asarray(layer_weights(model.params, jnp.asarray(prompt)[None]))


def sites_activations(
    graph: Any, config: RunConfig, dtype: Any, sites: Sequence[Site], params: Any, tokens_BL: jax.Array
) -> jax.Array:
    """Computes activations of several sites with one forward pass of training, up to the last of their layers.

    Args:
        graph: Graph definition of the model (nnx.split).
        config: The run.
        dtype: Type of matrix products and activations.
        sites: Where activations are read.
        params: Tree of parameters.
        tokens_BL: Input tokens.

    Returns:
        Activations, float32 (sites, B, L, D).
    """
    transformer = nnx.merge(graph, params)
    layers = max(site.layer for site in sites) + 1
    outputs: dict[Site, jax.Array] = {}
    for layer, activations in enumerate(_layers(transformer, config, dtype, params, tokens_BL, layers)):
        outputs |= {Site(layer, name): x_BLD for name, x_BLD in activations.items()}
    return jnp.stack([outputs[site] for site in sites]).astype(jnp.float32)


def edited_logits(
    graph: Any, config: RunConfig, dtype: Any, edit: SiteEdit | None, params: Any, tokens_BL: jax.Array
) -> jax.Array:
    """Computes the model's logits with the activations of one site replaced.

    Args:
        graph: Graph definition of the model (nnx.split).
        config: The run.
        dtype: Type of matrix products and activations.
        edit: The edit; None: the model's own logits.
        params: Tree of parameters.
        tokens_BL: Input tokens.

    Returns:
        Logits, float32 (B, L, V).
    """
    transformer = nnx.merge(graph, params)
    outputs = list(_layers(transformer, config, dtype, params, tokens_BL, config.model.layers, edit))
    return transformer.logits(transformer.head_inputs(outputs[-1]["residual"]))


def _layers(
    transformer: Transformer, config: RunConfig, dtype: Any, params: Any, tokens_BL: jax.Array, layers: int,
    edit: SiteEdit | None = None,
) -> Iterator[dict[str, jax.Array]]:  # fmt: skip
    """Yields the activations of each layer at every site, by name, of a forward pass of training.

    Args:
        transformer: The model.
        config: The run.
        dtype: Type of matrix products and activations.
        params: Tree of parameters.
        tokens_BL: Input tokens.
        layers: Number of layers that are computed.
        edit: Edit of one site; None: nothing is edited.
    """
    end, L = config.data.document_end, tokens_BL.shape[1]
    segments_BL = None if end is None else document_ids(tokens_BL, end)
    token_positions = TokenPositions(segment_positions(L, segments_BL), segments_BL)
    block_graph, blocks = nnx.split(transformer.blocks)[0], kv_cache.split_blocks(params, config.model.layers)[1]
    x_BLD = transformer.embed(tokens_BL, token_positions, dtype)
    for layer, (state, window) in enumerate(zip(blocks[:layers], config.model.windows, strict=False)):
        block = nnx.merge(block_graph, state)
        attend = partial(block.attention, token_positions=token_positions, window=window)
        x_BLD, branches, _ = block.apply_branches(x_BLD, attend, layer_edit(edit, layer))
        yield dict(zip(SITES, (x_BLD, *branches), strict=True))


def check_token_count(model: TrainedModel, tokens: TokenFile, count: int, split: str) -> None:
    """Raises ConfigError if a split has fewer positions than requested.

    Args:
        model: The model.
        tokens: Token file of the run.
        count: Number of positions.
        split: One of SPLITS.
    """
    require(split in SPLITS, f"--split {split}: must be one of {', '.join(SPLITS)}")
    data = model.config.data
    sequences = windows.count_windows(tokens.counts[SPLITS.index(split)], data.length, data.stride)
    available = sequences * data.length
    require(
        0 < count <= available,
        f"--tokens {count}: the {split} split has {available:,} in {sequences:,} sequences of {data.length}",
    )


def read_rows(config: RunConfig, tokens: TokenFile, split: str, rows: np.ndarray) -> np.ndarray:
    """Reads rows of the run's own text.

    Args:
        config: The run.
        tokens: Its token file.
        split: `train`, in the order of the run; or `validation`, in the order of the text.
        rows: Numbers of the rows.

    Returns:
        int32 (rows, X), whose first L columns are inputs.
    """
    if split == "train":
        return examples.training_rows(tokens, config, rows)
    return windows.validation_windows_at(tokens, length=config.data.length, rows=rows, stride=config.data.stride)


def collect_activations(
    model: TrainedModel, tokens: TokenFile, site: Site, *, count: int, split: str = "train"
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Computes activations on the run's own text.

    Args:
        model: The model.
        tokens: Token file of the run.
        site: Where activations are read.
        count: Number of positions.
        split: `train`, in the order of the run, each sequence once; or `validation`, in the order of the text.

    Yields:
        Activations, float32 (n, D), and their tokens (n,), some thousands at a time.

    Raises:
        ConfigError: The model has no such site, or the split too few positions.
    """
    site.check(model.model)
    check_token_count(model, tokens, count, split)
    config, L = model.config, model.config.data.length
    graph = nnx.split(nnx.eval_shape(lambda: Transformer(config.model, rngs=nnx.Rngs(0))))[0]
    compute = jax.jit(partial(sites_activations, graph, config, model.dtype, (site,)))
    sequences = -(-count // L)
    for start in range(0, sequences, BATCH_SEQUENCES):
        rows = np.arange(start, min(start + BATCH_SEQUENCES, sequences), dtype=np.int64)
        read_BX = read_rows(config, tokens, split, rows)
        inputs_BL = np.zeros((BATCH_SEQUENCES, L), np.int32)  # padded: one shape, compiled once
        inputs_BL[: len(rows)] = read_BX[:, :-1]
        n = min(len(rows) * L, count - start * L)
        activations_nD = np.asarray(compute(model.params, inputs_BL)[0]).reshape(-1, config.model.width)
        yield activations_nD[:n], inputs_BL.reshape(-1)[:n]

"""What a trained model computes on its way: attention maps of a prompt, activations of a layer.

Axes: B sequences, L positions, M positions looked at, D width, H heads, X rows (B · L).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from scaling.config.run import RunConfig
from scaling.config.validation import ConfigError, require
from scaling.data import examples, windows
from scaling.data.tokens import TokenFile
from scaling.inference import kv_cache
from scaling.inference.load import TrainedModel
from scaling.models.attention import positions
from scaling.models.attention.attention import TokenPositions
from scaling.models.transformer import Transformer

SITES = ("residual", "attention", "mlp")
SPLITS = ("train", "validation")
BATCH_SEQUENCES = 16  # computed at once


def check_layer(of: TrainedModel, layer: int) -> None:
    require(0 <= layer < of.model.layers, f"--layer {layer}: the model has layers 0 to {of.model.layers - 1}")


def attention_maps(of: TrainedModel, prompt: np.ndarray, layer: int) -> np.ndarray:
    """Weights of each head of a layer, float32 (H, L, M): row i is how token i looks at those up to itself."""
    check_layer(of, layer)
    L, most = len(prompt), of.model.position_length
    require(
        most is None or most >= L, f"--prompt: {L} tokens, more than the {most} positions that the model has learned"
    )
    end = of.config.data.document_end

    @jax.jit
    def look(params: Any, tokens_BL: jax.Array) -> jax.Array:
        model = nnx.merge(of.graph, params)
        _, blocks = kv_cache.split_blocks(params, of.model.layers)
        segments_BL = jnp.zeros_like(tokens_BL) if end is None else positions.document_ids(tokens_BL, end)
        slots_BL = jnp.arange(L, dtype=jnp.int32)[None]
        new = kv_cache.NewTokens(tokens_BL, slots_BL, segments_BL, positions.segment_positions(L, segments_BL))
        empty = kv_cache.empty_cache(model, 1, L, of.dtype)
        passed = list(kv_cache.layer_outputs(model, blocks[: layer + 1], empty, new, of.dtype))
        return passed[-1].weights_BHLM[0]

    return np.asarray(look(of.params, jnp.asarray(prompt)[None]))


@dataclass(frozen=True)
class Site:
    """Where activations are taken. residual: the stream after the layer; attention, mlp: what its parts add to it."""

    layer: int
    name: str

    def check(self, of: TrainedModel) -> None:
        check_layer(of, self.layer)
        require(self.name in SITES, f"--site {self.name}: allowed are {', '.join(SITES)}")


def site_activations(
    graph: Any, config: RunConfig, dtype: Any, at: Site, params: Any, tokens_BL: jax.Array
) -> jax.Array:
    """Activations of a batch at a site, float32 (B, L, D): the training's own forward pass up to there."""
    model = nnx.merge(graph, params)
    end, L = config.data.document_end, tokens_BL.shape[1]
    segments_BL = None if end is None else positions.document_ids(tokens_BL, end)
    place = TokenPositions(positions.segment_positions(L, segments_BL), segments_BL)
    block_graph, blocks = nnx.split(model.blocks)[0], kv_cache.split_blocks(params, config.model.layers)[1]
    x_BLD = model.embed(tokens_BL, place, dtype)
    parts = (x_BLD, x_BLD)
    for state, window in zip(blocks[: at.layer + 1], config.model.windows, strict=False):
        block = nnx.merge(block_graph, state)
        x_BLD, parts, _ = block.apply_branches(x_BLD, partial(block.attention, token_positions=place, window=window))
    return {"residual": x_BLD, "attention": parts[0], "mlp": parts[1]}[at.name].astype(jnp.float32)


def check_token_count(of: TrainedModel, text: TokenFile, count: int, split: str) -> None:
    require(split in SPLITS, f"--split {split}: allowed are {', '.join(SPLITS)}")
    length = of.config.data.length
    there = windows.count_windows(text.counts[SPLITS.index(split)], length, of.config.data.stride)
    if not 0 < count <= there * length:
        raise ConfigError(
            f"--tokens {count}: the {split} split has {there * length:,} in {there:,} sequences of {length}"
        )


def collect_activations(
    of: TrainedModel, text: TokenFile, at: Site, *, count: int, split: str = "train"
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Activations at `count` positions, float32 (n, D), with their tokens (n,), some thousands at a time.

    train: in the run's own order, each sequence once; validation: in the text's.
    """
    at.check(of)
    check_token_count(of, text, count, split)
    config, L = of.config, of.config.data.length
    graph = nnx.split(nnx.eval_shape(lambda: Transformer(config.model, rngs=nnx.Rngs(0))))[0]
    compiled = jax.jit(partial(site_activations, graph, config, of.dtype, at))
    rows = -(-count // L)
    for first in range(0, rows, BATCH_SEQUENCES):
        some = np.arange(first, min(first + BATCH_SEQUENCES, rows), dtype=np.int64)
        if split == "train":
            read_BL = examples.training_rows(text, config, some)
        else:
            read_BL = windows.validation_windows_at(text, length=L, rows=some, stride=config.data.stride)
        inputs_BL = np.zeros((BATCH_SEQUENCES, L), np.int32)  # filled up: one shape, compiled once
        inputs_BL[: len(some)] = read_BL[:, :-1]
        left = min(len(some) * L, count - first * L)
        flat_XD = np.asarray(compiled(of.params, inputs_BL)).reshape(-1, config.model.width)
        yield flat_XD[:left], inputs_BL.reshape(-1)[:left]

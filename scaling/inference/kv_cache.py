"""The forward pass of a decoder a few tokens at a time, with cached keys and values; attention weights can be read.

Axes: B rows, L new tokens, M slots of the cache, D width, K key-value heads, G query heads per key-value head,
H = K·G heads, h head dimension.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from scaling.config.model import ModelConfig
from scaling.config.user_code.blocks import user_blocks
from scaling.config.validation import ConfigError
from scaling.inference.sites import SiteEdit, layer_edit
from scaling.models.attention.attention import Attention, TokenPositions, score_config
from scaling.models.attention.softmax import ScoreConfig
from scaling.models.transformer import Transformer, unstack_layers


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Cache:
    """Keys and values of past tokens. Token i of a row is in slot i.

    Attributes:
        keys: Of each layer, (B, K, M, h).
        values: Of each layer, (B, K, M, h).
        segments_BM: Document of each token, int32.
    """

    keys: tuple[jax.Array, ...]
    values: tuple[jax.Array, ...]
    segments_BM: jax.Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class NewTokens:
    """Tokens that are not in the cache yet, int32.

    Attributes:
        tokens_BL: The tokens.
        slots_BL: Their slots in the cache.
        segments_BL: Their documents.
        positions_BL: Their positions in their documents.
    """

    tokens_BL: jax.Array
    slots_BL: jax.Array
    segments_BL: jax.Array
    positions_BL: jax.Array


@dataclass(frozen=True)
class LayerOutput:
    """What a layer computes.

    Attributes:
        x_BLD: The residual stream after the layer, at the new tokens.
        keys_BKMh: Keys of all tokens.
        values_BKMh: Values of all tokens.
        weights_BHLM: Attention weights of the new tokens, float32.
    """

    x_BLD: jax.Array
    keys_BKMh: jax.Array
    values_BKMh: jax.Array
    weights_BHLM: jax.Array


def check_cacheable(model: ModelConfig, graph: Any, params: Any) -> None:
    """Raises ConfigError for the reason that `uncacheable` gives; for its arguments see there."""
    if (reason := uncacheable(model, graph, params)) is not None:
        raise ConfigError(f"{reason}: samples and attention maps are not supported for this model")


def uncacheable(model: ModelConfig, graph: Any, params: Any) -> str | None:
    """Returns why cached keys and values do not give the numbers of the whole sequence; None where they do.

    They do not if attention, or another block that mixes tokens, is in a user's file.

    Args:
        model: The model's configuration.
        graph: Graph definition of the model (nnx.split).
        params: Tree of parameters.
    """
    for field, reference in user_blocks(model).items():
        if field != "attention":
            graph_of_blocks = nnx.split(nnx.merge(graph, params).blocks)[0]
            block: Any = nnx.merge(graph_of_blocks, unstack_layers(params["blocks"], model.layers)[0])
            part = block.mlp if field == "mlp" else block.mlp_norm
            x_BLD = jax.random.normal(jax.random.key(0), (1, 4, model.width))
            by_token_BLD = jnp.concatenate([part(x_BLD[:, i : i + 1]) for i in range(4)], axis=1)
            if jnp.allclose(part(x_BLD), by_token_BLD, rtol=1e-3, atol=1e-5):
                continue
        return f"model.{field} is {reference}, which mixes tokens: its keys and values cannot be cached"
    return None


def split_blocks(params: Any, layers: int) -> tuple[Any, list[Any]]:
    """Splits the stacked parameters of the layers once, so that no step has to.

    Args:
        params: Tree of parameters.
        layers: Number of layers.

    Returns:
        The parameters with only shapes in place of the layers', and the parameters of each layer.
    """
    stacked = params["blocks"]
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), stacked)
    return {**params, "blocks": shapes}, unstack_layers(stacked, layers)


def empty_cache(model: Transformer, batch: int, slots: int, dtype: Any) -> Cache:
    """Returns a cache without tokens.

    Args:
        model: The model.
        batch: Rows, B.
        slots: Tokens of a row, M.
        dtype: Type of keys and values.
    """
    config = model.config
    shape = (batch, config.kv, slots, config.head)
    keys, values = (tuple(jnp.zeros(shape, dtype) for _ in range(config.layers)) for _ in range(2))
    return Cache(keys, values, jnp.zeros((batch, slots), jnp.int32))


def extend_cache(
    model: Transformer, blocks: list[Any], cache: Cache, new: NewTokens, dtype: Any, edit: SiteEdit | None = None
) -> tuple[jax.Array, Cache]:
    """Runs the model on new tokens.

    Args:
        model: The model; the parameters of its layers are not read.
        blocks: Parameters of each layer (`split_blocks`).
        cache: The past tokens.
        new: The new tokens.
        dtype: Type of matrix products and activations.
        edit: Edit of the activations of one site at the new tokens.

    Returns:
        The activations that the output head reads, (B, L, D), and the cache with the new tokens.
    """
    outputs = list(layer_outputs(model, blocks, cache, new, dtype, edit))
    keys, values = tuple(layer.keys_BKMh for layer in outputs), tuple(layer.values_BKMh for layer in outputs)
    return model.head_inputs(outputs[-1].x_BLD), Cache(keys, values, cached_segments(cache, new))


def layer_outputs(
    model: Transformer, blocks: list[Any], cache: Cache, new: NewTokens, dtype: Any, edit: SiteEdit | None = None
) -> Iterator[LayerOutput]:
    """Runs the model layer by layer, as many layers as `blocks` has.

    Args:
        model: The model; the parameters of its layers are not read.
        blocks: Parameters of each layer (`split_blocks`).
        cache: The past tokens.
        new: The new tokens.
        dtype: Type of matrix products and activations.
        edit: Edit of the activations of one site at the new tokens.
    """
    graph, segments_BM = nnx.split(model.blocks)[0], cached_segments(cache, new)
    x_BLD = model.embed(new.tokens_BL, TokenPositions(new.positions_BL), dtype)
    layers = zip(blocks, model.config.windows, cache.keys, cache.values, strict=False)
    for layer, (state, window, k_BKMh, v_BKMh) in enumerate(layers):
        block = nnx.merge(graph, state)
        captured: list[jax.Array] = []
        attend = cached_attention(block.attention, new, window, (k_BKMh, v_BKMh, segments_BM), captured)
        x_BLD, _, _ = block.apply_branches(x_BLD, attend, layer_edit(edit, layer))
        yield LayerOutput(x_BLD, *captured)


def cached_segments(cache: Cache, new: NewTokens) -> jax.Array:
    """Returns the documents of all tokens, int32 (B, M).

    Args:
        cache: The past tokens.
        new: The new tokens.
    """
    row_B1 = jnp.arange(len(new.tokens_BL))[:, None]
    return cache.segments_BM.at[row_B1, new.slots_BL].set(new.segments_BL)


def cached_attention(
    attention: Attention,
    new: NewTokens,
    window: int | None,
    cached: tuple[jax.Array, jax.Array, jax.Array],
    captured: list[jax.Array],
) -> Callable[[jax.Array], jax.Array]:
    """Returns the attention of a layer to cached and new tokens, (B, L, D) -> (B, L, D).

    Args:
        attention: The layer's attention.
        new: The new tokens.
        window: Tokens that a token attends to; None for all.
        cached: Cached keys and values (B, K, M, h), and the documents of all tokens (B, M).
        captured: The function appends all keys, all values and the attention weights (B, H, L, M) to it.
    """
    k_BKMh, v_BKMh, segments_BM = cached
    row_B1 = jnp.arange(len(new.tokens_BL))[:, None]

    def attend(x_BLD: jax.Array) -> jax.Array:
        q_BKGLh, k_BKLh, v_BKLh = attention.project_heads(x_BLD, TokenPositions(new.positions_BL))
        all_k_BKMh = k_BKMh.at[row_B1, :, new.slots_BL].set(k_BKLh.swapaxes(1, 2))
        all_v_BKMh = v_BKMh.at[row_B1, :, new.slots_BL].set(v_BKLh.swapaxes(1, 2))
        distance_BLM = new.slots_BL[:, :, None] - jnp.arange(k_BKMh.shape[2])[None, None]
        same_document_BLM = new.segments_BL[:, :, None] == segments_BM[:, None, :]
        scores = score_config(attention.config, window)
        weights_BKGLM = attention_weights(attention, q_BKGLh, all_k_BKMh, distance_BLM, same_document_BLM, scores)
        B, K, G, L, M = weights_BKGLM.shape
        captured.extend((all_k_BKMh, all_v_BKMh, weights_BKGLM.reshape(B, K * G, L, M)))
        weights_BKGLM = weights_BKGLM.astype(x_BLD.dtype)
        return attention.project_out(jnp.einsum("BKGLM,BKMh->BKGLh", weights_BKGLM, all_v_BKMh))

    return attend


def attention_weights(
    attention: Attention,
    q_BKGLh: jax.Array,
    k_BKMh: jax.Array,
    distance_BLM: jax.Array,
    same_document_BLM: jax.Array,
    scores: ScoreConfig,
) -> jax.Array:
    """Returns attention weights, float32 (B, K, G, L, M); a query's weights sum to 1 over the keys that it sees.

    Args:
        attention: The layer's attention, for relative positions.
        q_BKGLh: Queries.
        k_BKMh: Keys.
        distance_BLM: Tokens from each key to each query, negative for later keys.
        same_document_BLM: Whether query and key are in the same document.
        scores: How products become scores.
    """
    K, G = q_BKGLh.shape[1:3]
    relative = jnp.zeros((1, 1, 1, 1, 1), jnp.float32)
    if attention.relative is not None:
        q_BKGLh, by_distance = attention.relative.distance_scores(q_BKGLh, jnp.arange(k_BKMh.shape[2]))
        relative = jnp.take_along_axis(by_distance, jnp.maximum(distance_BLM, 0)[:, None, None], axis=-1)
    products = jnp.einsum("BKGLh,BKMh->BKGLM", q_BKGLh, k_BKMh, preferred_element_type=jnp.float32)
    scores_BKGLM = (products + relative) * scores.scale
    if scores.softcap is not None:
        scores_BKGLM = scores.softcap * jnp.tanh(scores_BKGLM / scores.softcap)
    if scores.slopes is not None:
        slopes_KG = jnp.asarray(scores.slopes, jnp.float32).reshape(1, K, G, 1, 1)
        scores_BKGLM = scores_BKGLM - slopes_KG * distance_BLM[:, None, None].astype(jnp.float32)
    visible_BLM = (distance_BLM >= 0) & same_document_BLM
    if scores.window is not None:
        visible_BLM &= distance_BLM < scores.window
    return jax.nn.softmax(jnp.where(visible_BLM[:, None, None], scores_BKGLM, -jnp.inf), axis=-1)

"""The forward pass a few tokens at a time: keys and values of those before are kept; scores can be looked at.

Axes: B batch, L new tokens, M slots of the cache, D width, K key-value heads, G query heads a key-value
head, H = K·G heads, h size of one head.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from scaling.models.attention.attention import Attention, TokenPositions, score_config
from scaling.models.attention.softmax import ScoreConfig
from scaling.models.transformer import Block, Transformer, unstack_layers


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Cache:
    """Keys and values of every layer, and the document of each token. Token i of a row lies in slot i."""

    keys: tuple[jax.Array, ...]  # each (B, K, M, h)
    values: tuple[jax.Array, ...]
    segments_BM: jax.Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class NewTokens:
    """Tokens that come next: (B, L), each with its slot, its document and its place in it."""

    tokens_BL: jax.Array
    slots_BL: jax.Array
    segments_BL: jax.Array
    places_BL: jax.Array


def split_blocks(params: Any, layers: int) -> tuple[Any, list[Any]]:
    """Parameters without those of the blocks, and these a layer each: taken apart once, not at every token."""
    rest = {
        **params,
        "blocks": jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), params["blocks"]),
    }
    return rest, unstack_layers(params["blocks"], layers)


def empty_cache(model: Transformer, batch: int, slots: int, dtype: Any) -> Cache:
    """A cache of so many slots for each of `batch` rows."""
    config = model.config
    shape = (batch, config.kv, slots, config.head)
    keys, values = (tuple(jnp.zeros(shape, dtype) for _ in range(config.layers)) for _ in range(2))
    return Cache(keys, values, jnp.zeros((batch, slots), jnp.int32))


def extend_cache(
    model: Transformer, blocks: list[Any], cache: Cache, new: NewTokens, dtype: Any
) -> tuple[jax.Array, Cache]:
    """What the head reads at each new token, (B, L, D), and the cache with them in it.

    blocks: each layer's own parameters (`apart`); those that `model` holds stacked are not looked at.
    """
    passed = list(layer_outputs(model, blocks, cache, new, dtype))
    keys, values = tuple(layer.keys_BKMh for layer in passed), tuple(layer.values_BKMh for layer in passed)
    return model.head_inputs(passed[-1].x_BLD), Cache(keys, values, cached_segments(cache, new))


@dataclass(frozen=True)
class LayerOutput:
    """What a layer has computed: the stream after it, all keys and values, the weights of its attention."""

    x_BLD: jax.Array
    keys_BKMh: jax.Array
    values_BKMh: jax.Array
    weights_BHLM: jax.Array


def layer_outputs(
    model: Transformer, blocks: list[Any], cache: Cache, new: NewTokens, dtype: Any
) -> Iterator[LayerOutput]:
    """Layer by layer, as many as `blocks` has."""
    graph, segments_BM = nnx.split(model.blocks)[0], cached_segments(cache, new)
    x_BLD = model.embed(new.tokens_BL, TokenPositions(new.places_BL), dtype)
    for state, window, k_BKMh, v_BKMh in zip(blocks, model.config.windows, cache.keys, cache.values, strict=False):
        block, kept = nnx.merge(graph, state), []  # type: ignore[var-annotated]
        x_BLD, _, _ = block.apply_branches(
            x_BLD, cached_attention(block, new, window, (k_BKMh, v_BKMh, segments_BM), kept)
        )
        yield LayerOutput(x_BLD, *kept)


def cached_segments(cache: Cache, new: NewTokens) -> jax.Array:
    row_B1 = jnp.arange(len(new.tokens_BL))[:, None]
    return cache.segments_BM.at[row_B1, new.slots_BL].set(new.segments_BL)


def cached_attention(
    block: Block,
    new: NewTokens,
    window: int | None,
    past: tuple[jax.Array, jax.Array, jax.Array],
    kept: list[jax.Array],
) -> Callable[[jax.Array], jax.Array]:
    """The block's attention to what is in the cache; `kept` gets all keys, values, and weights (B, H, L, M)."""
    attention: Attention = block.attention
    k_BKMh, v_BKMh, segments_BM = past
    row_B1 = jnp.arange(len(new.tokens_BL))[:, None]

    def look(x_BLD: jax.Array) -> jax.Array:
        q_BKGLh, k_BKLh, v_BKLh = attention.project_heads(x_BLD, TokenPositions(new.places_BL))
        all_k_BKMh = k_BKMh.at[row_B1, :, new.slots_BL].set(k_BKLh.swapaxes(1, 2))
        all_v_BKMh = v_BKMh.at[row_B1, :, new.slots_BL].set(v_BKLh.swapaxes(1, 2))
        distance_BLM = new.slots_BL[:, :, None] - jnp.arange(k_BKMh.shape[2])[None, None]
        same_BLM = new.segments_BL[:, :, None] == segments_BM[:, None, :]
        weights_BKGLM = attention_weights(
            attention, q_BKGLh, all_k_BKMh, distance_BLM, same_BLM, score_config(attention.config, window)
        )
        B, K, G, L, M = weights_BKGLM.shape
        kept.extend((all_k_BKMh, all_v_BKMh, weights_BKGLM.reshape(B, K * G, L, M)))
        weights_BKGLM = weights_BKGLM.astype(x_BLD.dtype)
        return attention.project_out(jnp.einsum("BKGLM,BKMh->BKGLh", weights_BKGLM, all_v_BKMh))

    return look


def attention_weights(
    attention: Attention,
    q_BKGLh: jax.Array,
    k_BKMh: jax.Array,
    distance_BLM: jax.Array,
    same_BLM: jax.Array,
    how: ScoreConfig,
) -> jax.Array:
    """Attention weights, float32 (B, K, G, L, M): each row sums to 1 over the keys that its query sees."""
    K, G = q_BKGLh.shape[1:3]
    more = jnp.zeros((1, 1, 1, 1, 1), jnp.float32)
    if attention.relative is not None:
        q_BKGLh, by_far = attention.relative.distance_scores(q_BKGLh, jnp.arange(k_BKMh.shape[2]))
        more = jnp.take_along_axis(by_far, jnp.maximum(distance_BLM, 0)[:, None, None], axis=-1)
    products = jnp.einsum("BKGLh,BKMh->BKGLM", q_BKGLh, k_BKMh, preferred_element_type=jnp.float32)
    scores_BKGLM = (products + more) * how.scale
    if how.softcap is not None:
        scores_BKGLM = how.softcap * jnp.tanh(scores_BKGLM / how.softcap)
    if how.slopes is not None:
        slopes_KG = jnp.asarray(how.slopes, jnp.float32).reshape(1, K, G, 1, 1)
        scores_BKGLM = scores_BKGLM - slopes_KG * distance_BLM[:, None, None].astype(jnp.float32)
    seen_BLM = (distance_BLM >= 0) & same_BLM
    if how.window is not None:
        seen_BLM &= distance_BLM < how.window
    return jax.nn.softmax(jnp.where(seen_BLM[:, None, None], scores_BKGLM, -jnp.inf), axis=-1)

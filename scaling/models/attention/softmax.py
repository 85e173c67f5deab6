"""softmax(scores)·v under a causal mask, in blocks or over all scores at once (kernels.py chooses).

Axes: B batch, L positions (queries), M positions (keys), K key-value heads, G query heads per
key-value head, H = K·G, h head dimension, Q queries of one block, X = B·H sequences and heads
on one axis.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp

MIN_BLOCK_QUERIES = 64  # smaller products do not reach the machine's rate
MAX_BLOCKS = 4  # each block is compiled separately


@dataclass(frozen=True)
class ScoreConfig:
    """How products of queries and keys become scores, and which keys a query attends to; static in programs.

    Attributes:
        scale: Factor of the products.
        window: Keys that a query attends to, its own included; None: all up to its own.
        softcap: Scores become cap·tanh(score / cap) (Gemma Team 2024, section 2).
        slopes: ALiBi slope of each head: -slope·distance is added to the scores.
    """

    scale: float
    window: int | None = None
    softcap: float | None = None
    slopes: tuple[float, ...] | None = None


def full_attention(
    q_BKGLh: jax.Array,
    k_BKMh: jax.Array,
    v_BKMh: jax.Array,
    config: ScoreConfig,
    segments_BL: jax.Array | None,
    extra_BHLM: jax.Array | None = None,
) -> jax.Array:
    """Returns attention with all scores in memory, (B, K, G, L, h), for scores that no kernel supports.

    Args:
        q_BKGLh: Queries.
        k_BKMh: Keys.
        v_BKMh: Values.
        config: How scores are computed.
        segments_BL: int32; a query attends to keys of its own segment only. None: a row is one segment.
        extra_BHLM: Added to the products of queries and keys before they are scaled.
    """
    B, K, G, L, _ = q_BKGLh.shape
    products = jnp.einsum("BKGLh,BKMh->BKGLM", q_BKGLh, k_BKMh, preferred_element_type=jnp.float32)
    products = products.reshape(B * K * G, L, L)
    if extra_BHLM is not None:
        products = products + extra_BHLM.reshape(B * K * G, L, L)
    block = QueryBlock(0, L, 0)
    scores = mask_scores(cap_and_bias(products * config.scale, block, config)[0], block, config, segments_BL)
    weights_BKGLM = jax.nn.softmax(scores, axis=-1).reshape(B, K, G, L, L).astype(v_BKMh.dtype)
    return jnp.einsum("BKGLM,BKMh->BKGLh", weights_BKGLM, v_BKMh)


@dataclass(frozen=True)
class QueryBlock:
    """Queries [start, end) and the keys [first_key, end) that they attend to."""

    start: int
    end: int
    first_key: int


def query_blocks(length: int, window: int | None) -> Iterator[QueryBlock]:
    """Divides the queries into at most MAX_BLOCKS equal blocks of at least MIN_BLOCK_QUERIES.

    Args:
        length: Number of queries.
        window: Keys that a query attends to, None for all before it.
    """
    count, start = max(1, min(MAX_BLOCKS, length // MIN_BLOCK_QUERIES)), 0
    for i in range(count):
        end = length * (i + 1) // count
        yield QueryBlock(start, end, 0 if window is None or count == 1 else max(0, start - window + 1))
        start = end


def alibi_bias(start: int, end: int, first_key: int, key_end: int, slopes: tuple[float, ...]) -> jax.Array:
    """Returns -slope·distance of queries from keys, float32 (H, Q, M) (Press 2022).

    Args:
        start: First query.
        end: End of the queries.
        first_key: First key.
        key_end: End of the keys.
        slopes: Slope of each head.
    """
    distance_QM = jnp.arange(start, end)[:, None] - jnp.arange(first_key, key_end)[None, :]
    return -jnp.asarray(slopes, jnp.float32)[:, None, None] * distance_QM[None].astype(jnp.float32)


def cap_and_bias(scores_XQM: jax.Array, block: QueryBlock, config: ScoreConfig) -> tuple[jax.Array, jax.Array | None]:
    """Applies the soft-cap and ALiBi.

    Args:
        scores_XQM: Scaled products of queries and keys.
        block: Their queries and keys.
        config: How scores are computed.

    Returns:
        The scores, and the tanh of the soft-cap if there is one.
    """
    tanh_XQM = None
    if config.softcap is not None:
        tanh_XQM = jnp.tanh(scores_XQM / config.softcap)
        scores_XQM = config.softcap * tanh_XQM
    if config.slopes is not None:
        X, Q, M = scores_XQM.shape
        bias = alibi_bias(block.start, block.end, block.first_key, block.end, config.slopes)
        scores_XQM = (scores_XQM.reshape(-1, len(config.slopes), Q, M) + bias[None]).reshape(X, Q, M)
    return scores_XQM, tanh_XQM


def mask_scores(
    scores_XQM: jax.Array, block: QueryBlock, config: ScoreConfig, segments_BL: jax.Array | None
) -> jax.Array:
    """Returns the scores with -inf for keys after the query, beyond its window or in another segment.

    Args:
        scores_XQM: Scores.
        block: Their queries and keys.
        config: How scores are computed.
        segments_BL: Segment of each token, None if a row is one segment.
    """
    q_Q1, k_1M = jnp.arange(block.start, block.end)[:, None], jnp.arange(block.first_key, block.end)[None, :]
    visible_QM = q_Q1 >= k_1M
    if config.window is not None:
        visible_QM &= q_Q1 - k_1M < config.window
    scores_XQM = jnp.where(visible_QM[None], scores_XQM, -jnp.inf)
    if segments_BL is None:
        return scores_XQM
    X, Q, M = scores_XQM.shape
    same_BQM = segments_BL[:, block.start : block.end, None] == segments_BL[:, None, block.first_key : block.end]
    by_row = scores_XQM.reshape(len(segments_BL), -1, Q, M)
    return jnp.where(same_BQM[:, None], by_row, -jnp.inf).reshape(X, Q, M)


@partial(jax.custom_vjp, nondiff_argnums=(4,))
def blockwise_attention(
    q_XLh: jax.Array, k_XMh: jax.Array, v_XMh: jax.Array, segments_BL: jax.Array | None, config: ScoreConfig
) -> jax.Array:
    """Returns causal attention for CPUs, (X, L, h).

    Each block of queries is multiplied only with the keys up to its own end and from its first window on: half the
    products and exponentials of full attention, for many blocks. The gradient is written out because the derived one
    takes two and a half times as long on CPU.

    Args:
        q_XLh: Queries, scaled already.
        k_XMh: Keys.
        v_XMh: Values.
        segments_BL: As for `full_attention`.
        config: How scores are computed.
    """
    return _blockwise_forward(q_XLh, k_XMh, v_XMh, segments_BL, config)[0]


def _blockwise_forward(
    q_XLh: jax.Array, k_XMh: jax.Array, v_XMh: jax.Array, segments_BL: jax.Array | None, config: ScoreConfig
) -> tuple[jax.Array, tuple]:
    out, saved = [], []
    for block in query_blocks(q_XLh.shape[1], config.window):
        q, k, v = (
            q_XLh[:, block.start : block.end],
            k_XMh[:, block.first_key : block.end],
            v_XMh[:, block.first_key : block.end],
        )
        scores_XQM = jnp.einsum("XQh,XMh->XQM", q, k, preferred_element_type=jnp.float32)
        scores_XQM, tanh_XQM = cap_and_bias(scores_XQM, block, config)
        scores_XQM = mask_scores(scores_XQM, block, config, segments_BL)
        weights_XQM = jax.nn.softmax(scores_XQM, axis=-1).astype(v.dtype)
        out.append(jnp.einsum("XQM,XMh->XQh", weights_XQM, v))
        saved.append((weights_XQM, tanh_XQM))
    out_XLh = jnp.concatenate(out, axis=1)
    return out_XLh, (q_XLh, k_XMh, v_XMh, out_XLh, saved)


def _blockwise_backward(config: ScoreConfig, residuals: tuple, d_XLh: jax.Array) -> tuple:
    """Gradients of q, k, v: dS = P ⊙ (dP − Σ dO·O) (Dao 2022, appendix B.2), times 1 − tanh² with a soft-cap."""
    q_XLh, k_XMh, v_XMh, out_XLh, saved = residuals
    L = q_XLh.shape[1]
    sum_XL1 = jnp.sum((d_XLh * out_XLh).astype(jnp.float32), axis=-1, keepdims=True)
    dq = []
    dk_XhM = jnp.zeros_like(k_XMh.swapaxes(1, 2))
    dv_XhM = jnp.zeros_like(dk_XhM)
    for block, (weights_XQM, tanh_XQM) in zip(query_blocks(L, config.window), saved, strict=True):
        start, end, low = block.start, block.end, block.first_key
        q, d, k, v = q_XLh[:, start:end], d_XLh[:, start:end], k_XMh[:, low:end], v_XMh[:, low:end]
        dweights_XQM = jnp.einsum("XQh,XMh->XQM", d, v, preferred_element_type=jnp.float32)
        dscores_XQM = weights_XQM * (dweights_XQM - sum_XL1[:, start:end])
        if tanh_XQM is not None:
            dscores_XQM = dscores_XQM * (1 - jnp.square(tanh_XQM))
        dscores_XQM = dscores_XQM.astype(q.dtype)
        dq.append(jnp.einsum("XQM,XMh->XQh", dscores_XQM, k))
        other_keys = ((0, 0), (0, 0), (low, L - end))
        dk_XhM += jnp.pad(jnp.einsum("XQM,XQh->XhM", dscores_XQM, q), other_keys)
        dv_XhM += jnp.pad(jnp.einsum("XQM,XQh->XhM", weights_XQM, d), other_keys)
    return jnp.concatenate(dq, axis=1), dk_XhM.swapaxes(1, 2), dv_XhM.swapaxes(1, 2), None


blockwise_attention.defvjp(_blockwise_forward, _blockwise_backward)

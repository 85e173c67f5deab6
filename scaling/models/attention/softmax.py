"""softmax(scores)·v under a causal mask, in blocks or over the full square (kernels.py chooses).

Axes: B batch, L positions (queries), M positions (keys), K key-value heads, G query heads a
key-value head, H = K·G, h size of one head, Q queries in one block, X = B·H sequences and heads
side by side.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp

QUERIES = 64  # queries in one block, at least: smaller products fall off the machine's rate
BLOCKS = 4  # blocks at most: each compiles by itself


@dataclass(frozen=True)
class Scores:
    """How a query's product with a key becomes a score, and which keys it sees. Static: one program for each."""

    scale: float  # of the products
    window: int | None = None  # keys that a query sees, its own included; None: all up to its own
    softcap: float | None = None  # cap·tanh(product / cap) (Gemma Team 2024, section 2)
    slopes: tuple[float, ...] | None = None  # ALiBi's, one a head: -slope·distance is added


def square(
    q_BKGLh: jax.Array,
    k_BKMh: jax.Array,
    v_BKMh: jax.Array,
    how: Scores,
    segments_BL: jax.Array | None,
    more_BHLM: jax.Array | None = None,
) -> jax.Array:
    """The same over the full square, which is held in memory: for scores that no kernel at hand knows.

    more_BHLM: added to the products before they are scaled.
    """
    B, K, G, L, _ = q_BKGLh.shape
    products = jnp.einsum("BKGLh,BKMh->BKGLM", q_BKGLh, k_BKMh, preferred_element_type=jnp.float32)
    products = products.reshape(B * K * G, L, L)
    if more_BHLM is not None:
        products = products + more_BHLM.reshape(B * K * G, L, L)
    scores = hidden(shaped(products * how.scale, 0, L, 0, how)[0], 0, L, 0, how, segments_BL)
    weights_BKGLM = jax.nn.softmax(scores, axis=-1).reshape(B, K, G, L, L).astype(v_BKMh.dtype)
    return jnp.einsum("BKGLM,BKMh->BKGLh", weights_BKGLM, v_BKMh)


def blocks(length: int, window: int | None) -> Iterator[tuple[int, int, int]]:
    """First query, end, and first key of each block: equal blocks of at least QUERIES, BLOCKS of them at most."""
    count, start = max(1, min(BLOCKS, length // QUERIES)), 0
    for i in range(count):
        end = length * (i + 1) // count
        yield start, end, 0 if window is None or count == 1 else max(0, start - window + 1)
        start = end


def alibi(start: int, end: int, low: int, length: int, slopes: tuple[float, ...]) -> jax.Array:
    """-slope · distance of queries [start, end) from keys [low, length), float32 (H, Q, M) (Press 2022)."""
    distance_QM = jnp.arange(start, end)[:, None] - jnp.arange(low, length)[None, :]
    return -jnp.asarray(slopes, jnp.float32)[:, None, None] * distance_QM[None].astype(jnp.float32)


def shaped(scores_XQM: jax.Array, start: int, end: int, low: int, how: Scores) -> tuple[jax.Array, jax.Array | None]:
    """Scores capped and with ALiBi's part, and the tanh of the capping."""
    tanh_XQM = None
    if how.softcap is not None:
        tanh_XQM = jnp.tanh(scores_XQM / how.softcap)
        scores_XQM = how.softcap * tanh_XQM
    if how.slopes is not None:
        X, Q, M = scores_XQM.shape
        bias = alibi(start, end, low, end, how.slopes)
        scores_XQM = (scores_XQM.reshape(-1, len(how.slopes), Q, M) + bias[None]).reshape(X, Q, M)
    return scores_XQM, tanh_XQM


def hidden(
    scores_XQM: jax.Array, start: int, end: int, low: int, how: Scores, segments_BL: jax.Array | None
) -> jax.Array:
    """Scores with -inf where the key comes later, lies beyond the window or in another segment."""
    q_Q1, k_1M = jnp.arange(start, end)[:, None], jnp.arange(low, end)[None, :]
    seen_QM = q_Q1 >= k_1M
    if how.window is not None:
        seen_QM &= q_Q1 - k_1M < how.window
    scores_XQM = jnp.where(seen_QM[None], scores_XQM, -jnp.inf)
    if segments_BL is None:
        return scores_XQM
    X, Q, M = scores_XQM.shape
    same_BQM = segments_BL[:, start:end, None] == segments_BL[:, None, low:end]
    by_row = scores_XQM.reshape(len(segments_BL), -1, Q, M)
    return jnp.where(same_BQM[:, None], by_row, -jnp.inf).reshape(X, Q, M)


@partial(jax.custom_vjp, nondiff_argnums=(4,))
def blockwise(
    q_XLh: jax.Array, k_XMh: jax.Array, v_XMh: jax.Array, segments_BL: jax.Array | None, how: Scores
) -> jax.Array:
    """Causal attention for a CPU, X sequences and heads side by side; q is scaled already.

    Each block of queries meets only the keys up to its own end and from its first window on: half the
    products and exponentials of the full square as blocks get many. The gradient is written out
    because the derived one takes two and a half times as long here.
    """
    return blockwise_forward(q_XLh, k_XMh, v_XMh, segments_BL, how)[0]


def blockwise_forward(
    q_XLh: jax.Array, k_XMh: jax.Array, v_XMh: jax.Array, segments_BL: jax.Array | None, how: Scores
) -> tuple[jax.Array, tuple]:
    out, saved = [], []
    for start, end, low in blocks(q_XLh.shape[1], how.window):
        q, k, v = q_XLh[:, start:end], k_XMh[:, low:end], v_XMh[:, low:end]
        scores_XQM = jnp.einsum("XQh,XMh->XQM", q, k, preferred_element_type=jnp.float32)
        scores_XQM, tanh_XQM = shaped(scores_XQM, start, end, low, how)
        scores_XQM = hidden(scores_XQM, start, end, low, how, segments_BL)
        weights_XQM = jax.nn.softmax(scores_XQM, axis=-1).astype(v.dtype)
        out.append(jnp.einsum("XQM,XMh->XQh", weights_XQM, v))
        saved.append((weights_XQM, tanh_XQM))
    out_XLh = jnp.concatenate(out, axis=1)
    return out_XLh, (q_XLh, k_XMh, v_XMh, out_XLh, saved)


def blockwise_backward(how: Scores, residuals: tuple, d_XLh: jax.Array) -> tuple:
    """Gradients of q, k, v: dS = P ⊙ (dP − Σ dO·O) (Dao 2022, appendix B.2), times 1 − tanh² where capped."""
    q_XLh, k_XMh, v_XMh, out_XLh, saved = residuals
    L = q_XLh.shape[1]
    sum_XL1 = jnp.sum((d_XLh * out_XLh).astype(jnp.float32), axis=-1, keepdims=True)
    dq = []
    dk_XhM = jnp.zeros_like(k_XMh.swapaxes(1, 2))
    dv_XhM = jnp.zeros_like(dk_XhM)
    for (start, end, low), (weights_XQM, tanh_XQM) in zip(blocks(L, how.window), saved, strict=True):
        q, d, k, v = q_XLh[:, start:end], d_XLh[:, start:end], k_XMh[:, low:end], v_XMh[:, low:end]
        dweights_XQM = jnp.einsum("XQh,XMh->XQM", d, v, preferred_element_type=jnp.float32)
        dscores_XQM = weights_XQM * (dweights_XQM - sum_XL1[:, start:end])
        if tanh_XQM is not None:
            dscores_XQM = dscores_XQM * (1 - jnp.square(tanh_XQM))
        dscores_XQM = dscores_XQM.astype(q.dtype)
        dq.append(jnp.einsum("XQM,XMh->XQh", dscores_XQM, k))
        unseen = ((0, 0), (0, 0), (low, L - end))
        dk_XhM += jnp.pad(jnp.einsum("XQM,XQh->XhM", dscores_XQM, q), unseen)
        dv_XhM += jnp.pad(jnp.einsum("XQM,XQh->XhM", weights_XQM, d), unseen)
    return jnp.concatenate(dq, axis=1), dk_XhM.swapaxes(1, 2), dv_XhM.swapaxes(1, 2), None


blockwise.defvjp(blockwise_forward, blockwise_backward)

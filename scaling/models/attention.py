"""Causal self-attention with grouped key-value heads and rotary positions.

Axes: B batch, L positions (queries), M positions (keys), D width, K key-value heads, G query heads
a key-value head, J = G + 2 heads projected with it, h size of one head, Q queries in one block,
X = B·K·G sequences and heads side by side.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from scaling.config import ModelConfig
from scaling.models.linear import rows, weight

QUERIES = 64  # queries in one block, at least: smaller products fall off the machine's rate
BLOCKS = 4  # blocks at most: each compiles by itself


def rotary(length: int, head: int, base: float) -> tuple[jax.Array, jax.Array]:
    """cos and sin of position · base^(-2i/h), shape (L, h/2), float32 (Su 2021, equation 34)."""
    inverse = base ** (-jnp.arange(0, head, 2, dtype=jnp.float32) / head)
    angles = jnp.arange(length, dtype=jnp.float32)[:, None] * inverse[None, :]
    return jnp.cos(angles), jnp.sin(angles)


def rotate(x: jax.Array, cos_Lh: jax.Array, sin_Lh: jax.Array) -> jax.Array:
    """Turns each pair (i, i + h/2) of the last axis by its position's angle; x: (..., L, h)."""
    shape = (1,) * (x.ndim - 2)
    cos, sin = (t.reshape(shape + t.shape).astype(x.dtype) for t in (cos_Lh, sin_Lh))
    a, b = jnp.split(x, 2, axis=-1)
    return jnp.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1)


def block_ends(length: int) -> list[int]:
    """Where the query blocks end: equal blocks of at least QUERIES positions, BLOCKS of them at most."""
    blocks = max(1, min(BLOCKS, length // QUERIES))
    return [length * (i + 1) // blocks for i in range(blocks)]


def attend(q_BKGLh: jax.Array, k_BKMh: jax.Array, v_BKMh: jax.Array) -> jax.Array:
    """softmax(q·kᵀ/√h)·v under the causal mask, shape of q; the softmax in float32."""
    B, K, G, L, h = q_BKGLh.shape
    if jax.default_backend() == "cpu":
        q_XLh = (q_BKGLh * h**-0.5).reshape(B * K, G, L, h)
        if G > 1:  # one row of products for each query head
            k_BKMh, v_BKMh = (jnp.repeat(t, G, axis=1) for t in (k_BKMh, v_BKMh))
        k_XMh, v_XMh = (t.reshape(B * K * G, L, h) for t in (k_BKMh, v_BKMh))
        return blockwise(q_XLh.reshape(B * K * G, L, h), k_XMh, v_XMh).reshape(B, K, G, L, h)
    q_BLHh, k_BLKh, v_BLKh = (t.swapaxes(1, 2) for t in (q_BKGLh.reshape(B, K * G, L, h), k_BKMh, v_BKMh))
    y_BLHh = jax.nn.dot_product_attention(q_BLHh, k_BLKh, v_BLKh, is_causal=True)
    return y_BLHh.swapaxes(1, 2).reshape(B, K, G, L, h)


@jax.custom_vjp
def blockwise(q_XLh: jax.Array, k_XMh: jax.Array, v_XMh: jax.Array) -> jax.Array:
    """Causal softmax(q·kᵀ)·v for a CPU, X sequences and heads side by side.

    Each block of queries meets only the keys up to its own end: half the products and
    exponentials of the full square as blocks get many. The gradient is written out because
    the derived one takes two and a half times as long here.
    """
    return blockwise_forward(q_XLh, k_XMh, v_XMh)[0]


def blockwise_forward(q_XLh: jax.Array, k_XMh: jax.Array, v_XMh: jax.Array) -> tuple[jax.Array, tuple]:
    out, saved, start = [], [], 0
    for end in block_ends(q_XLh.shape[1]):
        q, k, v = q_XLh[:, start:end], k_XMh[:, :end], v_XMh[:, :end]
        scores_XQM = jnp.einsum("XQh,XMh->XQM", q, k, preferred_element_type=jnp.float32)
        seen_QM = jnp.arange(start, end)[:, None] >= jnp.arange(end)[None, :]
        scores_XQM = jnp.where(seen_QM[None], scores_XQM, -jnp.inf)
        weights_XQM = jax.nn.softmax(scores_XQM, axis=-1).astype(v.dtype)
        out.append(jnp.einsum("XQM,XMh->XQh", weights_XQM, v))
        saved.append(weights_XQM)
        start = end
    out_XLh = jnp.concatenate(out, axis=1)
    return out_XLh, (q_XLh, k_XMh, v_XMh, out_XLh, saved)


def blockwise_backward(residuals: tuple, d_XLh: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Gradients of q, k, v: dS = P ⊙ (dP − Σ dO·O) (Dao 2022, appendix B.2)."""
    q_XLh, k_XMh, v_XMh, out_XLh, saved = residuals
    L = q_XLh.shape[1]
    sum_XL1 = jnp.sum((d_XLh * out_XLh).astype(jnp.float32), axis=-1, keepdims=True)
    dq, start = [], 0
    dk_XhM = jnp.zeros_like(k_XMh.swapaxes(1, 2))
    dv_XhM = jnp.zeros_like(dk_XhM)
    for end, weights_XQM in zip(block_ends(L), saved, strict=True):
        q, d, k, v = q_XLh[:, start:end], d_XLh[:, start:end], k_XMh[:, :end], v_XMh[:, :end]
        dweights_XQM = jnp.einsum("XQh,XMh->XQM", d, v, preferred_element_type=jnp.float32)
        dscores_XQM = (weights_XQM * (dweights_XQM - sum_XL1[:, start:end])).astype(q.dtype)
        dq.append(jnp.einsum("XQM,XMh->XQh", dscores_XQM, k))
        unseen = ((0, 0), (0, 0), (0, L - end))
        dk_XhM += jnp.pad(jnp.einsum("XQM,XQh->XhM", dscores_XQM, q), unseen)
        dv_XhM += jnp.pad(jnp.einsum("XQM,XQh->XhM", weights_XQM, d), unseen)
        start = end
    return jnp.concatenate(dq, axis=1), dk_XhM.swapaxes(1, 2), dv_XhM.swapaxes(1, 2)


blockwise.defvjp(blockwise_forward, blockwise_backward)


class Attention(nnx.Module):
    """Multi-head attention; fewer key-value heads than query heads make it grouped (Ainslie 2023).

    One matrix makes queries, keys and values, grouped by key-value head: one large product instead
    of three, and a slice of it along K belongs to one device of a tensor mesh.
    """

    def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs) -> None:
        D, H, K, h = config.width, config.heads, config.kv, config.head
        self.qkv_DKJh = weight(rngs, (D, K, H // K + 2, h), D**-0.5)
        self.out_HD = weight(rngs, (H * h, D), (2 * config.layers * H * h) ** -0.5)
        self.base = config.rope_base

    def __call__(self, x_BLD: jax.Array) -> jax.Array:
        B, L, D = x_BLD.shape
        _, K, J, h = self.qkv_DKJh.shape
        qkv_BKJLh = rows(x_BLD, self.qkv_DKJh[...].reshape(D, -1)).reshape(B, L, K, J, h).transpose(0, 2, 3, 1, 4)
        cos_Lh, sin_Lh = rotary(L, h, self.base)
        qk_BKJLh = rotate(qkv_BKJLh[:, :, :-1], cos_Lh, sin_Lh)
        y_BKGLh = attend(qk_BKJLh[:, :, :-1], qk_BKJLh[:, :, -1], qkv_BKJLh[:, :, -1])
        return rows(y_BKGLh.transpose(0, 3, 1, 2, 4).reshape(B, L, K * (J - 2) * h), self.out_HD[...])

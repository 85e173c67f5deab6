"""Causal self-attention with grouped key-value heads and rotary positions.

Axes: B batch, L positions (queries), M positions (keys), D width, K key-value heads, G query heads
a key-value head, h size of one head, Q queries in one block, J = K·(G+2) projected heads.
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
    """softmax(q·kᵀ/√h)·v under the causal mask, shape of q; the softmax in float32.

    Each block of queries meets only the keys up to its own end: half the products and
    exponentials of the full square as blocks get many.
    """
    B, K, G, L, h = q_BKGLh.shape
    q_BKGLh = q_BKGLh * h**-0.5
    out, start = [], 0
    for end in block_ends(L):
        q = q_BKGLh[:, :, :, start:end]
        k, v = k_BKMh[:, :, :end], v_BKMh[:, :, :end]
        scores = jnp.einsum("BKGQh,BKMh->BKGQM", q, k, preferred_element_type=jnp.float32)
        seen_QM = jnp.arange(start, end)[:, None] >= jnp.arange(end)[None, :]
        scores = jnp.where(seen_QM[None, None, None], scores, -jnp.inf)
        weights = jax.nn.softmax(scores, axis=-1).astype(v.dtype)
        out.append(jnp.einsum("BKGQM,BKMh->BKGQh", weights, v))
        start = end
    return jnp.concatenate(out, axis=3)


class Attention(nnx.Module):
    """Multi-head attention; fewer key-value heads than query heads make it grouped (Ainslie 2023)."""

    def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs) -> None:
        D, H, K, h = config.width, config.heads, config.kv, config.head
        self.q_DH = weight(rngs, (D, H * h), D**-0.5)
        self.k_DH = weight(rngs, (D, K * h), D**-0.5)
        self.v_DH = weight(rngs, (D, K * h), D**-0.5)
        self.out_HD = weight(rngs, (H * h, D), (2 * config.layers * H * h) ** -0.5)
        self.heads, self.kv, self.head, self.base = H, K, h, config.rope_base

    def __call__(self, x_BLD: jax.Array) -> jax.Array:
        B, L, D = x_BLD.shape
        K, G, h = self.kv, self.heads // self.kv, self.head
        cos, sin = rotary(L, h, self.base)
        q = rows(x_BLD, self.q_DH[...]).reshape(B, L, K, G, h).transpose(0, 2, 3, 1, 4)
        k = rows(x_BLD, self.k_DH[...]).reshape(B, L, K, h).transpose(0, 2, 1, 3)
        v = rows(x_BLD, self.v_DH[...]).reshape(B, L, K, h).transpose(0, 2, 1, 3)
        y_BKGLh = attend(rotate(q, cos, sin), rotate(k, cos, sin), v)
        return rows(y_BKGLh.transpose(0, 3, 1, 2, 4).reshape(B, L, K * G * h), self.out_HD[...])

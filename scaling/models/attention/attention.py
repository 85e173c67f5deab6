"""Causal self-attention with grouped key-value heads.

Axes: B batch, L positions (queries), M positions (keys), D width, K key-value heads, G query heads
a key-value head, J = G + 2 heads projected with it, H = K·G query heads (times h in a weight's name),
h size of one head.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from scaling.config.model import ModelConfig
from scaling.models.attention import kernels, positions, softmax
from scaling.models.linear import bias, rows, weight
from scaling.models.norm import RMSNorm
from scaling.models.parametrisation import multiplier, score_multiplier


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Place:
    """Where the tokens of a batch stand: (B, L), or one row for all.

    segments_BL: which document each belongs to, None where a row is one; places_BL: how far in it;
    kernel: which one computes attention (kernels.py).
    """

    places_BL: jax.Array
    segments_BL: jax.Array | None = None
    kernel: str = field(default="auto", metadata={"static": True})


class Attention(nnx.Module):
    """Multi-head attention; fewer key-value heads than query heads make it grouped (Ainslie 2023).

    One matrix makes queries, keys and values, grouped by key-value head: one large product instead
    of three, and a slice of it along K belongs to one device of a tensor mesh.
    """

    def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs) -> None:
        D, H, K, h = config.width, config.heads, config.kv, config.head
        self.qkv_DKJh = weight(rngs, (D, K, H // K + 2, h), D**-0.5)
        start = multiplier(config, "attention_out", "init")
        self.out_HD = weight(rngs, (H * h, D), start * (2 * config.layers * H * h) ** -0.5)
        self.b_KJh = None if config.biases == "none" else bias((K, H // K + 2, h))
        self.b_D = bias((D,)) if config.biases == "all" else None
        self.q_norm, self.k_norm = (RMSNorm(h, config.norm_eps) if config.qk_norm else None for _ in "qk")
        self.relative = Relative(config, rngs=rngs) if config.positions == "relative" else None
        self.config = config

    def __call__(self, x_BLD: jax.Array, place: Place, window: int | None) -> jax.Array:
        q_BKGLh, k_BKMh, v_BKMh = self.heads(x_BLD, place)
        how = scores(self.config, window)
        if self.relative is None:
            y_BKGLh = kernels.attend(q_BKGLh, k_BKMh, v_BKMh, how, place.segments_BL, place.kernel)
        else:
            q_BKGLh, more_BHLM = self.relative(q_BKGLh)
            y_BKGLh = softmax.square(q_BKGLh, k_BKMh, v_BKMh, how, place.segments_BL, more_BHLM)
        return self.out(y_BKGLh)

    def heads(self, x_BLD: jax.Array, place: Place) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Queries, keys and values as scores are made of them."""
        B, L, D = x_BLD.shape
        qkv_BLX = rows(x_BLD, self.qkv_DKJh[...].reshape(D, -1), add=self.b_KJh)
        return self.turned(qkv_BLX.reshape(B, L, *self.qkv_DKJh.shape[1:]).transpose(0, 2, 3, 1, 4), place)

    def out(self, y_BKGLh: jax.Array) -> jax.Array:
        """What the heads have seen, back to the width of the stream."""
        B, _, _, L, _ = y_BKGLh.shape
        return rows(y_BKGLh.transpose(0, 3, 1, 2, 4).reshape(B, L, -1), self.out_HD[...], add=self.b_D)

    def turned(self, qkv_BKJLh: jax.Array, place: Place) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Queries, keys (normalised and rotated where the config says so) and values."""
        qk_BKJLh = qkv_BKJLh[:, :, :-1]
        if self.q_norm is not None and self.k_norm is not None:
            q_BKJLh, k_BKJLh = self.q_norm(qk_BKJLh[:, :, :-1]), self.k_norm(qk_BKJLh[:, :, -1:])
            qk_BKJLh = jnp.concatenate([q_BKJLh, k_BKJLh], axis=2)
        if self.config.positions == "rotary":
            cos_BLh, sin_BLh = positions.rotary(place.places_BL, self.config.head, self.config.rope_base)
            qk_BKJLh = positions.rotate(qk_BKJLh, cos_BLh, sin_BLh)
        return qk_BKJLh[:, :, :-1], qk_BKJLh[:, :, -1], qkv_BKJLh[:, :, -1]


class Relative(nnx.Module):
    """Transformer-XL's positions: a query meets a projected sinusoid of its distance too (Dai 2019, section 3.3)."""

    def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs) -> None:
        D, K, G, h = config.width, config.kv, config.heads // config.kv, config.head
        self.distance_DH = weight(rngs, (D, K * G * h), D**-0.5)
        self.b_content_KGh, self.b_distance_KGh = bias((K, G, h)), bias((K, G, h))

    def __call__(self, q_BKGLh: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Queries with their content bias, and each one's product with every distance, (B, H, L, M), float32."""
        B, K, G, L, _ = q_BKGLh.shape
        content_BKGLh, more = self.products(q_BKGLh, jnp.arange(L - 1, -1, -1))
        return content_BKGLh, shifted(more.reshape(B, K * G, L, L))

    def products(self, q_BKGLh: jax.Array, far_M: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Queries with their content bias, and their products with the distances `far_M`, float32 (B, K, G, L, M)."""
        _, K, G, _, h = q_BKGLh.shape
        biases = (b[...].astype(q_BKGLh.dtype) for b in (self.b_content_KGh, self.b_distance_KGh))
        content_BKGLh, distance_BKGLh = (q_BKGLh + b_KGh[None, :, :, None] for b_KGh in biases)
        far_MD = positions.sinusoids(far_M[None], len(self.distance_DH[...])).astype(q_BKGLh.dtype)
        r_KGMh = rows(far_MD, self.distance_DH[...]).reshape(-1, K, G, h).transpose(1, 2, 0, 3)
        more = jnp.einsum("BKGLh,KGMh->BKGLM", distance_BKGLh, r_KGMh, preferred_element_type=jnp.float32)
        return content_BKGLh, more


def shifted(more_BHLM: jax.Array) -> jax.Array:
    """Row i moved left so that column j holds distance i - j (Dai 2019, appendix B); columns j > i are for the mask."""
    B, H, L, M = more_BHLM.shape
    padded = jnp.pad(more_BHLM, ((0, 0), (0, 0), (0, 0), (1, 0)))
    return padded.reshape(B, H, M + 1, L)[:, :, 1:].reshape(B, H, L, M)


def scores(config: ModelConfig, window: int | None) -> softmax.Scores:
    """The scores of a layer that sees `window` tokens."""
    scale = config.head if config.attention_scale is None else config.attention_scale
    slopes: Any = positions.slopes(config.heads) if config.positions == "alibi" else None
    return softmax.Scores(score_multiplier(config) * scale**-0.5, window, config.attention_softcap, slopes)

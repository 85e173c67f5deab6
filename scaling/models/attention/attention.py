"""Causal self-attention with grouped key-value heads.

Axes: B batch, L positions (queries), M positions (keys), D width, K key-value heads, G query heads per
key-value head, J = G + 2 heads projected with it, H = K·G query heads (in the name of a weight: times h),
h head dimension.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from scaling.config.model import ATTENTIONS, ModelConfig
from scaling.models.attention import kernels, positions, softmax
from scaling.models.linear import normal_param, project, zeros_param
from scaling.models.norm import RMSNorm
from scaling.models.parametrisation import multiplier, score_multiplier
from scaling.models.user_blocks import make_block


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TokenPositions:
    """Positions of the tokens of a batch.

    Attributes:
        positions_BL: Distance of each token from the start of its document, or one row for the whole batch.
        segments_BL: Document of each token; None: a row is one document.
        kernel: Kernel that computes attention (kernels.py).
    """

    positions_BL: jax.Array
    segments_BL: jax.Array | None = None
    kernel: str = field(default="auto", metadata={"static": True})


class Attention(nnx.Module):
    """Multi-head attention, (B, L, D) -> (B, L, D); fewer key-value heads than query heads group it (Ainslie 2023).

    One matrix makes queries, keys and values, grouped by key-value head: one large product instead of three, and a
    slice of it along K belongs to one device of a tensor mesh.
    """

    def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs) -> None:
        D, H, K, h = config.width, config.heads, config.kv, config.head
        self.qkv_DKJh = normal_param(rngs, (D, K, H // K + 2, h), D**-0.5)
        init = multiplier(config, "attention_out", "init")
        self.out_HD = normal_param(rngs, (H * h, D), init * (2 * config.layers * H * h) ** -0.5)
        self.b_KJh = None if config.biases == "none" else zeros_param((K, H // K + 2, h))
        self.b_D = zeros_param((D,)) if config.biases == "all" else None
        self.q_norm, self.k_norm = (RMSNorm(h, config.norm_eps) if config.qk_norm else None for _ in "qk")
        self.relative = RelativePositions(config, rngs=rngs) if config.positions == "relative" else None
        self.config = config

    def __call__(self, x_BLD: jax.Array, token_positions: TokenPositions, window: int | None) -> jax.Array:
        """Returns the output of attention, (B, L, D); `window`: tokens that a token attends to, None for all."""
        q_BKGLh, k_BKMh, v_BKMh = self.project_heads(x_BLD, token_positions)
        config, segments_BL = score_config(self.config, window), token_positions.segments_BL
        if self.relative is None:
            y_BKGLh = kernels.attend(q_BKGLh, k_BKMh, v_BKMh, config, segments_BL, token_positions.kernel)
        else:
            q_BKGLh, distance_scores_BHLM = self.relative(q_BKGLh)
            y_BKGLh = softmax.full_attention(q_BKGLh, k_BKMh, v_BKMh, config, segments_BL, distance_scores_BHLM)
        return self.project_out(y_BKGLh)

    def project_heads(
        self, x_BLD: jax.Array, token_positions: TokenPositions
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Returns queries (B, K, G, L, h), keys and values (B, K, M, h), with norms and rotations applied.

        Args:
            x_BLD: The normalised stream.
            token_positions: Positions of its tokens.
        """
        B, L, D = x_BLD.shape
        qkv_BLX = project(x_BLD, self.qkv_DKJh[...].reshape(D, -1), bias=self.b_KJh)
        qkv_BKJLh = qkv_BLX.reshape(B, L, *self.qkv_DKJh.shape[1:]).transpose(0, 2, 3, 1, 4)
        return self._norm_and_rotate(qkv_BKJLh, token_positions)

    def project_out(self, y_BKGLh: jax.Array) -> jax.Array:
        """Projects the outputs of the heads back to the width of the stream, (B, L, D)."""
        B, _, _, L, _ = y_BKGLh.shape
        return project(y_BKGLh.transpose(0, 3, 1, 2, 4).reshape(B, L, -1), self.out_HD[...], bias=self.b_D)

    def _norm_and_rotate(
        self, qkv_BKJLh: jax.Array, token_positions: TokenPositions
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        qk_BKJLh = qkv_BKJLh[:, :, :-1]
        if self.q_norm is not None and self.k_norm is not None:
            q_BKJLh, k_BKJLh = self.q_norm(qk_BKJLh[:, :, :-1]), self.k_norm(qk_BKJLh[:, :, -1:])
            qk_BKJLh = jnp.concatenate([q_BKJLh, k_BKJLh], axis=2)
        if self.config.positions == "rotary":
            head, base, scaling = self.config.head, self.config.rope_base, self.config.rope_scaling
            cos_BLh, sin_BLh = positions.rotary_angles(token_positions.positions_BL, head, base, scaling)
            qk_BKJLh = positions.apply_rotary(qk_BKJLh, cos_BLh, sin_BLh)
        return qk_BKJLh[:, :, :-1], qk_BKJLh[:, :, -1], qkv_BKJLh[:, :, -1]


def make_attention(config: ModelConfig, *, rngs: nnx.Rngs) -> Any:
    """Returns the attention of a layer, `Attention` or a module of a user's file.

    Args:
        config: The model.
        rngs: Source of random keys.
    """
    return (
        Attention(config, rngs=rngs) if config.attention in ATTENTIONS else make_block(config, "attention", rngs=rngs)
    )


class RelativePositions(nnx.Module):
    """Relative positions of Transformer-XL (Dai 2019, section 3.3): scores of projected sinusoids of the distance."""

    def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs) -> None:
        D, K, G, h = config.width, config.kv, config.heads // config.kv, config.head
        self.distance_DH = normal_param(rngs, (D, K * G * h), D**-0.5)
        self.b_content_KGh, self.b_distance_KGh = zeros_param((K, G, h)), zeros_param((K, G, h))

    def __call__(self, q_BKGLh: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns queries with their content bias, and their scores by key position, float32 (B, H, L, M)."""
        B, K, G, L, _ = q_BKGLh.shape
        content_BKGLh, scores = self.distance_scores(q_BKGLh, jnp.arange(L - 1, -1, -1))
        return content_BKGLh, relative_shift(scores.reshape(B, K * G, L, L))

    def distance_scores(self, q_BKGLh: jax.Array, distances_M: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns queries with their content bias, and their scores for given distances, float32 (B, K, G, L, M).

        Args:
            q_BKGLh: Queries.
            distances_M: Distances of keys from the query.
        """
        _, K, G, _, h = q_BKGLh.shape
        biases = (b[...].astype(q_BKGLh.dtype) for b in (self.b_content_KGh, self.b_distance_KGh))
        content_BKGLh, distance_BKGLh = (q_BKGLh + b_KGh[None, :, :, None] for b_KGh in biases)
        width = len(self.distance_DH[...])
        embedding_MD = positions.sinusoidal_embedding(distances_M[None], width).astype(q_BKGLh.dtype)
        r_KGMh = project(embedding_MD, self.distance_DH[...]).reshape(-1, K, G, h).transpose(1, 2, 0, 3)
        scores = jnp.einsum("BKGLh,KGMh->BKGLM", distance_BKGLh, r_KGMh, preferred_element_type=jnp.float32)
        return content_BKGLh, scores


def relative_shift(scores_BHLM: jax.Array) -> jax.Array:
    """Shifts row i left so that column j holds distance i - j (Dai 2019, appendix B); columns j > i are undefined."""
    B, H, L, M = scores_BHLM.shape
    padded = jnp.pad(scores_BHLM, ((0, 0), (0, 0), (0, 0), (1, 0)))
    return padded.reshape(B, H, M + 1, L)[:, :, 1:].reshape(B, H, L, M)


def score_config(config: ModelConfig, window: int | None) -> softmax.ScoreConfig:
    """Returns how a layer computes attention scores.

    Args:
        config: The model.
        window: Tokens that a token of the layer attends to, its own included; None: all before it.
    """
    scale = config.head if config.attention_scale is None else config.attention_scale
    slopes: Any = positions.alibi_slopes(config.heads) if config.positions == "alibi" else None
    return softmax.ScoreConfig(score_multiplier(config) * scale**-0.5, window, config.attention_softcap, slopes)

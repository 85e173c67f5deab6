"""T5's encoder-decoder, and its encoder alone (Raffel 2020, section 2.1).

Axes: B batch, L positions that ask, M positions that are asked, D width, K heads, h size of one head,
H = K·h, V vocabulary, R buckets of distances.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from scaling.config.model import ModelConfig
from scaling.distributed import sharding
from scaling.models.linear import normal_param, project, scale
from scaling.models.mlp import make_mlp
from scaling.models.norm import make_norm
from scaling.models.transformer import CHECKPOINT_POLICIES, EMBEDDING_STD, unstack_layers


class Attention(nnx.Module):
    """Queries of one sequence, keys and values of another (or of the same); the full square."""

    def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs) -> None:
        D, K, h = config.width, config.heads, config.head
        squared = h if config.attention_scale is None else config.attention_scale
        self.q_DH = normal_param(rngs, (D, K * h), (D * h / squared) ** -0.5)  # whatever the scale, scores start alike
        self.k_DH, self.v_DH = (normal_param(rngs, (D, K * h), D**-0.5) for _ in range(2))
        self.out_HD = normal_param(rngs, (K * h, D), (2 * config.layers * K * h) ** -0.5)
        self.shape = (K, h)
        self.scale = squared**-0.5

    def __call__(self, x_BLD: jax.Array, of_BMD: jax.Array, add_BKLM: jax.Array) -> jax.Array:
        """add_BKLM: added to the scores, -inf where a key is not seen; B and K may be 1."""
        q_BLKh = project(x_BLD, self.q_DH[...]).reshape(*x_BLD.shape[:2], *self.shape)
        k_BMKh, v_BMKh = (
            project(of_BMD, w[...]).reshape(*of_BMD.shape[:2], *self.shape) for w in (self.k_DH, self.v_DH)
        )
        scores_BKLM = jnp.einsum("BLKh,BMKh->BKLM", q_BLKh, k_BMKh, preferred_element_type=jnp.float32) * self.scale
        weights_BKLM = jax.nn.softmax(scores_BKLM + add_BKLM, axis=-1).astype(v_BMKh.dtype)
        y_BLKh = jnp.einsum("BKLM,BMKh->BLKh", weights_BKLM, v_BMKh)
        return project(y_BLKh.reshape(*x_BLD.shape[:2], -1), self.out_HD[...])


class Block(nnx.Module):
    """Attention within the sequence, then (across) to the encoder's, then an MLP: pre-norm."""

    def __init__(self, config: ModelConfig, *, across: bool, rngs: nnx.Rngs) -> None:
        self.attention_norm, self.attention = make_norm(config), Attention(config, rngs=rngs)
        self.across_norm = make_norm(config) if across else None
        self.across = Attention(config, rngs=rngs) if across else None
        self.mlp_norm, self.mlp = make_norm(config), make_mlp(config, rngs=rngs)

    def __call__(self, x_BLD: jax.Array, add_BKLM: jax.Array, of: tuple[jax.Array, jax.Array] | None) -> jax.Array:
        """of: the encoder's stream and what is added to the scores against it."""
        y_BLD = self.attention_norm(x_BLD)
        x_BLD = x_BLD + self.attention(y_BLD, y_BLD, add_BKLM)
        if self.across is not None and self.across_norm is not None and of is not None:
            x_BLD = x_BLD + self.across(self.across_norm(x_BLD), *of)
        return x_BLD + self.mlp(self.mlp_norm(x_BLD))


class Stack(nnx.Module):
    """Layers that share one table of scores by distance, and a last norm."""

    def __init__(self, config: ModelConfig, *, layers: int, causal: bool, rngs: nnx.Rngs) -> None:
        @nnx.split_rngs(splits=layers)
        @nnx.vmap
        def stack(rngs: nnx.Rngs) -> Block:
            return Block(config, across=causal, rngs=rngs)

        self.blocks, self.norm = stack(rngs), make_norm(config)
        self.bucket_RK = normal_param(rngs, (config.buckets, config.heads), EMBEDDING_STD)
        self.layers, self.causal, self.far = layers, causal, config.bucket_distance

    def __call__(
        self,
        x_BLD: jax.Array,
        seen_BM: jax.Array | None,
        of: tuple[jax.Array, jax.Array] | None = None,
        *,
        scan: bool = False,
        remat: str = "none",
    ) -> jax.Array:
        """scan, remat: as a decoder's (transformer.py)."""
        L = x_BLD.shape[1]
        distance_LM = jnp.arange(L)[None, :] - jnp.arange(L)[:, None]
        table_RK = self.bucket_RK[...]
        bucket_LM = bucket_indices(distance_LM, len(table_RK), self.far, both_ways=not self.causal)
        add_BKLM = table_RK[bucket_LM].transpose(2, 0, 1)[None] + mask_bias(seen_BM)
        if self.causal:
            add_BKLM = jnp.where((distance_LM <= 0)[None, None], add_BKLM, -jnp.inf)
        graph, stacked = nnx.split(self.blocks)

        def layer(x_BLD: jax.Array, state: Any) -> tuple[jax.Array, None]:
            return sharding.shard_sequences(nnx.merge(graph, state)(x_BLD, add_BKLM, of)), None

        if remat != "none":
            layer = jax.checkpoint(layer, prevent_cse=not scan, policy=CHECKPOINT_POLICIES[remat])
        if scan:
            x_BLD, _ = jax.lax.scan(layer, x_BLD, stacked)
        else:
            for state in unstack_layers(stacked, self.layers):
                x_BLD, _ = layer(x_BLD, state)
        return self.norm(x_BLD)


class EncoderDecoder(nnx.Module):
    """An encoder that reads both ways and, unless kind is `encoder`, a decoder that reads it and its own past."""

    def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs) -> None:
        self.config = config
        encoder, decoder = config.depths
        self.embedding_VD = normal_param(rngs, (config.vocab, config.width), EMBEDDING_STD)
        self.encoder = Stack(config, layers=encoder, causal=False, rngs=rngs)
        self.decoder = Stack(config, layers=decoder, causal=True, rngs=rngs) if decoder else None
        if not config.tied:
            self.head_DV = normal_param(rngs, (config.width, config.vocab), EMBEDDING_STD)

    def __call__(
        self,
        inputs_BM: jax.Array,
        outputs_BL: jax.Array | None = None,
        seen_BM: jax.Array | None = None,
        *,
        dtype: Any = jnp.float32,
    ) -> jax.Array:
        """Logits, float32: of each output token's next one (B, L, V), or of an encoder alone of each input's (B, M, V).

        seen_BM: bool, False where the input is padding; at least one of a row must be True. None: all are seen.
        """
        return project(self.hidden(inputs_BM, outputs_BL, seen_BM, dtype), self.head(), jnp.float32)

    def hidden(
        self,
        inputs_BM: jax.Array,
        outputs_BL: jax.Array | None,
        seen_BM: jax.Array | None,
        dtype: Any,
        scan: bool = False,
        remat: str = "none",
    ) -> jax.Array:
        """What the head reads, of the last stack's tokens: (B, L, D), or of an encoder alone (B, M, D)."""
        table_VD = sharding.constrain_sharding(self.embedding_VD[...].astype(dtype), sharding.AXIS_RULES["V"], None)
        x_BLD = self.encoder(sharding.shard_sequences(table_VD[inputs_BM]), seen_BM, scan=scan, remat=remat)
        if self.decoder is not None:
            assert outputs_BL is not None, "an encoder-decoder needs outputs"
            of = (x_BLD, mask_bias(seen_BM))
            x_BLD = self.decoder(sharding.shard_sequences(table_VD[outputs_BL]), None, of, scan=scan, remat=remat)
        return scale(x_BLD, self.config.width**-0.5 if self.config.tied else 1)

    def head(self) -> jax.Array:
        """The matrix from what the head reads to the logits, shape (D, V)."""
        return self.embedding_VD[...].T if self.config.tied else self.head_DV[...]


def mask_bias(seen_BM: jax.Array | None) -> jax.Array:
    """0 for keys that are seen and -inf for others, (B, 1, 1, M)."""
    if seen_BM is None:
        return jnp.zeros((1, 1, 1, 1), jnp.float32)
    return jnp.where(seen_BM, 0.0, -jnp.inf)[:, None, None]


def bucket_indices(distance_LM: jax.Array, count: int, far: int, both_ways: bool) -> jax.Array:
    """Bucket of each distance (key - query): one a distance up to half of them, then by its log up to `far`.

    both_ways: half the buckets are for keys that come later; else those fall in the first one.
    """
    later = jnp.zeros_like(distance_LM)
    if both_ways:
        count //= 2
        later, away = jnp.where(distance_LM > 0, count, 0), jnp.abs(distance_LM)
    else:
        away = jnp.maximum(-distance_LM, 0)
    exact = count // 2
    log = jnp.log(jnp.maximum(away, 1).astype(jnp.float32) / exact) / math.log(far / exact)
    large = jnp.minimum(exact + (log * (count - exact)).astype(jnp.int32), count - 1)
    return later + jnp.where(away < exact, away, large)

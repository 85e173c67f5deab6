"""The encoder-decoder of T5, and its encoder alone (Raffel 2020, section 2.1).

Axes: B batch, L positions of queries, M positions of keys, D width, K heads, h head dimension, H = K·h,
V vocabulary, R buckets of distances.
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
from scaling.models.transformer import (
    CHECKPOINT_POLICIES,
    DEFAULT_OPTIONS,
    EMBEDDING_STD,
    ForwardOptions,
    unstack_layers,
)

Source = tuple[jax.Array, jax.Array]  # the encoder's stream (B, M, D), and the bias of scores against it


class Attention(nnx.Module):
    """Attention of one sequence (B, L, D) to another (B, M, D) or to itself -> (B, L, D)."""

    def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs) -> None:
        D, K, h = config.width, config.heads, config.head
        divisor = h if config.attention_scale is None else config.attention_scale
        # queries are scaled so that initial scores do not depend on the attention scale
        self.q_DH = normal_param(rngs, (D, K * h), (D * h / divisor) ** -0.5)
        self.k_DH, self.v_DH = (normal_param(rngs, (D, K * h), D**-0.5) for _ in range(2))
        self.out_HD = normal_param(rngs, (K * h, D), (2 * config.layers * K * h) ** -0.5)
        self.shape = (K, h)
        self.scale = divisor**-0.5

    def __call__(self, x_BLD: jax.Array, source_BMD: jax.Array, bias_BKLM: jax.Array) -> jax.Array:
        """Returns the output of attention, (B, L, D).

        Args:
            x_BLD: Sequence of the queries.
            source_BMD: Sequence of the keys and values.
            bias_BKLM: Added to the scores, -inf for keys that are masked; B and K may be 1.
        """
        q_BLKh = project(x_BLD, self.q_DH[...]).reshape(*x_BLD.shape[:2], *self.shape)
        k_BMKh, v_BMKh = (
            project(source_BMD, w[...]).reshape(*source_BMD.shape[:2], *self.shape) for w in (self.k_DH, self.v_DH)
        )
        scores_BKLM = jnp.einsum("BLKh,BMKh->BKLM", q_BLKh, k_BMKh, preferred_element_type=jnp.float32) * self.scale
        weights_BKLM = jax.nn.softmax(scores_BKLM + bias_BKLM, axis=-1).astype(v_BMKh.dtype)
        y_BLKh = jnp.einsum("BKLM,BMKh->BLKh", weights_BKLM, v_BMKh)
        return project(y_BLKh.reshape(*x_BLD.shape[:2], -1), self.out_HD[...])


class Block(nnx.Module):
    """A pre-norm layer: self-attention, in a decoder cross-attention to the encoder's stream, then an MLP."""

    def __init__(self, config: ModelConfig, *, across: bool, rngs: nnx.Rngs) -> None:
        self.attention_norm, self.attention = make_norm(config), Attention(config, rngs=rngs)
        self.across_norm = make_norm(config) if across else None
        self.across = Attention(config, rngs=rngs) if across else None
        self.mlp_norm, self.mlp = make_norm(config), make_mlp(config, rngs=rngs)

    def __call__(self, x_BLD: jax.Array, bias_BKLM: jax.Array, source: Source | None) -> jax.Array:
        """Returns the stream after the layer.

        Args:
            x_BLD: The stream.
            bias_BKLM: Added to the scores of self-attention.
            source: The encoder's stream and the bias of scores against it; None in an encoder.
        """
        y_BLD = self.attention_norm(x_BLD)
        x_BLD = x_BLD + self.attention(y_BLD, y_BLD, bias_BKLM)
        if self.across is not None and self.across_norm is not None and source is not None:
            x_BLD = x_BLD + self.across(self.across_norm(x_BLD), *source)
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
        self.layers, self.causal, self.max_distance = layers, causal, config.bucket_distance

    def __call__(
        self,
        x_BLD: jax.Array,
        mask_BM: jax.Array | None,
        source: Source | None = None,
        options: ForwardOptions = DEFAULT_OPTIONS,
    ) -> jax.Array:
        """Returns the normalised stream after the last layer, (B, L, D).

        Args:
            x_BLD: The stream before the first layer.
            mask_BM: bool, False for padding; None: no padding.
            source: The encoder's stream and the bias of scores against it; None in an encoder.
            options: Its `scan` and `remat` are used.
        """
        L = x_BLD.shape[1]
        distance_LM = jnp.arange(L)[None, :] - jnp.arange(L)[:, None]
        table_RK = self.bucket_RK[...]
        bucket_LM = bucket_indices(distance_LM, len(table_RK), self.max_distance, bidirectional=not self.causal)
        bias_BKLM = table_RK[bucket_LM].transpose(2, 0, 1)[None] + mask_bias(mask_BM)
        if self.causal:
            bias_BKLM = jnp.where((distance_LM <= 0)[None, None], bias_BKLM, -jnp.inf)
        graph, stacked = nnx.split(self.blocks)

        def layer(x_BLD: jax.Array, state: Any) -> tuple[jax.Array, None]:
            return sharding.shard_sequences(nnx.merge(graph, state)(x_BLD, bias_BKLM, source)), None

        if options.remat != "none":
            layer = jax.checkpoint(layer, prevent_cse=not options.scan, policy=CHECKPOINT_POLICIES[options.remat])
        if options.scan:
            x_BLD, _ = jax.lax.scan(layer, x_BLD, stacked)
        else:
            for state in unstack_layers(stacked, self.layers):
                x_BLD, _ = layer(x_BLD, state)
        return self.norm(x_BLD)


class EncoderDecoder(nnx.Module):
    """A bidirectional encoder and, unless `kind` is encoder, a causal decoder that attends to it."""

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
        mask_BM: jax.Array | None = None,
        *,
        dtype: Any = jnp.float32,
    ) -> jax.Array:
        """Returns float32 logits: (B, L, V) of the token after each output, or (B, M, V) of an encoder's inputs.

        Args:
            inputs_BM: int32 tokens of the encoder.
            outputs_BL: int32 tokens of the decoder; None for an encoder alone.
            mask_BM: bool, False where an input is padding; at least one per row must be True. None: no padding.
            dtype: Type of products and activations.
        """
        options = ForwardOptions(dtype=dtype)
        return project(self.hidden_states(inputs_BM, outputs_BL, mask_BM, options), self.head_matrix(), jnp.float32)

    def hidden_states(
        self,
        inputs_BM: jax.Array,
        outputs_BL: jax.Array | None = None,
        mask_BM: jax.Array | None = None,
        options: ForwardOptions = DEFAULT_OPTIONS,
    ) -> jax.Array:
        """Returns the inputs of the head, (B, L, D) of the decoder or (B, M, D) of an encoder alone.

        Args:
            inputs_BM: As for `__call__`.
            outputs_BL: As for `__call__`.
            mask_BM: As for `__call__`.
            options: How it is computed; the kernel is always full attention.
        """
        dtype = options.dtype
        table_VD = sharding.constrain_sharding(self.embedding_VD[...].astype(dtype), sharding.AXIS_RULES["V"], None)
        x_BLD = self.encoder(sharding.shard_sequences(table_VD[inputs_BM]), mask_BM, None, options)
        if self.decoder is not None:
            assert outputs_BL is not None, "an encoder-decoder needs outputs"
            source = (x_BLD, mask_bias(mask_BM))
            x_BLD = self.decoder(sharding.shard_sequences(table_VD[outputs_BL]), None, source, options)
        return scale(x_BLD, self.config.width**-0.5 if self.config.tied else 1)

    def head_matrix(self) -> jax.Array:
        """Returns the matrix from the inputs of the head to the logits, (D, V)."""
        return self.embedding_VD[...].T if self.config.tied else self.head_DV[...]


def mask_bias(mask_BM: jax.Array | None) -> jax.Array:
    """Returns 0 for keys whose mask is True and -inf for others, (B, 1, 1, M)."""
    if mask_BM is None:
        return jnp.zeros((1, 1, 1, 1), jnp.float32)
    return jnp.where(mask_BM, 0.0, -jnp.inf)[:, None, None]


def bucket_indices(distance_LM: jax.Array, buckets: int, max_distance: int, bidirectional: bool) -> jax.Array:
    """Returns the bucket of each distance: one per distance for half of the buckets, then logarithmic.

    Args:
        distance_LM: Position of the key less that of the query.
        buckets: Number of buckets.
        max_distance: Distance from which on all share the last bucket.
        bidirectional: Half of the buckets are for keys after the query; otherwise these fall in the first bucket.
    """
    offset = jnp.zeros_like(distance_LM)
    if bidirectional:
        buckets //= 2
        offset, distance = jnp.where(distance_LM > 0, buckets, 0), jnp.abs(distance_LM)
    else:
        distance = jnp.maximum(-distance_LM, 0)
    exact = buckets // 2
    log = jnp.log(jnp.maximum(distance, 1).astype(jnp.float32) / exact) / math.log(max_distance / exact)
    large = jnp.minimum(exact + (log * (buckets - exact)).astype(jnp.int32), buckets - 1)
    return offset + jnp.where(distance < exact, distance, large)

"""The decoder-only Transformer. Axes: B batch, L positions, D width, V vocabulary."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from scaling import shard
from scaling.config import ModelConfig
from scaling.models.attention import Attention
from scaling.models.linear import rows, weight
from scaling.models.mlp import MLPS
from scaling.models.norm import RMSNorm


class Block(nnx.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)): pre-norm (Xiong 2020)."""

    def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs) -> None:
        self.attention_norm = RMSNorm(config.width, config.norm_eps)
        self.attention = Attention(config, rngs=rngs)
        self.mlp_norm = RMSNorm(config.width, config.norm_eps)
        self.mlp = MLPS[config.mlp](config, rngs=rngs)

    def __call__(self, x_BLD: jax.Array) -> jax.Array:
        x_BLD = x_BLD + self.attention(self.attention_norm(x_BLD))
        return x_BLD + self.mlp(self.mlp_norm(x_BLD))


class Transformer(nnx.Module):
    """Tokens to logits. The layers' parameters are stacked on a leading axis.

    scan: loop over one compiled layer instead of unrolling all (compiles sooner, runs slower on CPU).
    remat: recompute each layer's activations in the backward pass.
    Neither changes the numbers beyond rounding.
    """

    def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs) -> None:
        self.config = config
        self.embedding_VD = weight(rngs, (config.vocab, config.width), EMBEDDING_STD)

        @nnx.split_rngs(splits=config.layers)
        @nnx.vmap
        def stack(rngs: nnx.Rngs) -> Block:
            return Block(config, rngs=rngs)

        self.blocks = stack(rngs)
        self.norm = RMSNorm(config.width, config.norm_eps)
        if not config.tied:
            self.head_DV = weight(rngs, (config.width, config.vocab), EMBEDDING_STD)

    def hidden(self, tokens_BL: jax.Array, *, dtype: Any, scan: bool = False, remat: bool = False) -> jax.Array:
        """Normalised residual stream after the last layer, shape (B, L, D)."""
        table_VD = shard.constrain(self.embedding_VD[...].astype(dtype), shard.RULES["V"], None)
        x_BLD = shard.rows(table_VD[tokens_BL])
        graph, stacked = nnx.split(self.blocks)

        def layer(x_BLD: jax.Array, state: Any) -> tuple[jax.Array, None]:
            return shard.rows(nnx.merge(graph, state)(x_BLD)), None

        if remat:
            layer = jax.checkpoint(layer, prevent_cse=not scan)
        if scan:
            x_BLD, _ = jax.lax.scan(layer, x_BLD, stacked)
        else:
            for state in unstack(stacked, self.config.layers):
                x_BLD, _ = layer(x_BLD, state)
        return self.norm(x_BLD)

    def __call__(self, tokens_BL: jax.Array, *, dtype: Any = jnp.float32, **how: bool) -> jax.Array:
        """Logits, shape (B, L, V), float32."""
        x_BLD = self.hidden(tokens_BL, dtype=dtype, **how)
        w_DV = self.embedding_VD[...].T if self.config.tied else self.head_DV[...]
        return rows(x_BLD, w_DV, jnp.float32)


EMBEDDING_STD = 0.02  # of embedding and head (Radford 2019): small logits, so the first loss is ln V


def unstack(stacked: Any, layers: int) -> list[Any]:
    """The layers' states, by one split a leaf: its gradient is one concatenation."""
    leaves, tree = jax.tree.flatten(stacked)
    split = [jax.lax.split(leaf, (1,) * layers, axis=0) for leaf in leaves]
    return [jax.tree.unflatten(tree, [parts[i][0] for parts in split]) for i in range(layers)]

"""Normalisation over the last axis, computed in float32. Axes: D features; x has shape (..., D) and keeps its type."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from scaling.config.model import NORMS, ModelConfig
from scaling.models.user_blocks import make_block


class RMSNorm(nnx.Module):
    """x / sqrt(mean(x²) + eps) · g (Zhang & Sennrich 2019), or · (1 + g) with an offset (Gemma Team 2024)."""

    def __init__(self, width: int, eps: float, offset: bool = False) -> None:
        self.g_D = nnx.Param(jnp.zeros((width,), jnp.float32) if offset else jnp.ones((width,), jnp.float32))
        self.eps, self.offset = eps, offset

    def __call__(self, x: jax.Array) -> jax.Array:
        """Returns the normalised array."""
        x32 = x.astype(jnp.float32)
        mean = jnp.mean(jnp.square(x32), axis=-1, keepdims=True)
        g = self.g_D[(None,) * (x.ndim - 1)]
        y = x32 * jax.lax.rsqrt(mean + self.eps) * (1 + g if self.offset else g)
        return y.astype(x.dtype)


class LayerNorm(nnx.Module):
    """(x - mean(x)) / sqrt(var(x) + eps) · g, plus b if the model has biases (Ba 2016)."""

    def __init__(self, width: int, eps: float, bias: bool) -> None:
        self.g_D = nnx.Param(jnp.ones((width,), jnp.float32))
        self.b_D = nnx.Param(jnp.zeros((width,), jnp.float32)) if bias else None
        self.eps = eps

    def __call__(self, x: jax.Array) -> jax.Array:
        """Returns the normalised array."""
        x32 = x.astype(jnp.float32)
        x32 = x32 - jnp.mean(x32, axis=-1, keepdims=True)
        mean = jnp.mean(jnp.square(x32), axis=-1, keepdims=True)
        y = x32 * jax.lax.rsqrt(mean + self.eps) * self.g_D[(None,) * (x.ndim - 1)]
        if self.b_D is not None:
            y = y + self.b_D[(None,) * (x.ndim - 1)]
        return y.astype(x.dtype)


def make_norm(config: ModelConfig) -> Any:
    """Returns a normalisation of the residual stream, a module of this file or of a user's."""
    if config.norm not in NORMS:
        return make_block(config, "norm")
    if config.norm == "layernorm":
        return LayerNorm(config.width, config.norm_eps, config.biases == "all")
    return RMSNorm(config.width, config.norm_eps, config.norm_offset)

"""Root-mean-square normalisation (Zhang & Sennrich 2019). Axes: B batch, L positions, D width."""

import jax
import jax.numpy as jnp
from flax import nnx


class RMSNorm(nnx.Module):
    """x / sqrt(mean(x²) + eps) · g, computed in float32 whatever the precision of x."""

    def __init__(self, width: int, eps: float) -> None:
        self.g_D = nnx.Param(jnp.ones((width,), jnp.float32))
        self.eps = eps

    def __call__(self, x_BLD: jax.Array) -> jax.Array:
        x32_BLD = x_BLD.astype(jnp.float32)
        mean_BL1 = jnp.mean(jnp.square(x32_BLD), axis=-1, keepdims=True)
        y_BLD = x32_BLD * jax.lax.rsqrt(mean_BL1 + self.eps) * self.g_D[None, None, :]
        return y_BLD.astype(x_BLD.dtype)

"""Feed-forward blocks. Axes: B batch, L positions, D width, F hidden units."""

import jax
from flax import nnx

from scaling.config import ModelConfig
from scaling.models.linear import rows, weight


class SwiGLU(nnx.Module):
    """(silu(x·gate) ⊙ x·up)·down (Shazeer 2020, equation 6)."""

    def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs) -> None:
        D, F = config.width, config.mlp_width
        self.gate_DF = weight(rngs, (D, F), D**-0.5)
        self.up_DF = weight(rngs, (D, F), D**-0.5)
        self.down_FD = weight(rngs, (F, D), (2 * config.layers * F) ** -0.5)

    def __call__(self, x_BLD: jax.Array) -> jax.Array:
        h_BLF = jax.nn.silu(rows(x_BLD, self.gate_DF[...])) * rows(x_BLD, self.up_DF[...])
        return rows(h_BLF, self.down_FD[...])


class Gelu(nnx.Module):
    """gelu(x·up)·down, gelu by its tanh approximation (Hendrycks & Gimpel 2016; Radford 2019)."""

    def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs) -> None:
        D, F = config.width, config.mlp_width
        self.up_DF = weight(rngs, (D, F), D**-0.5)
        self.down_FD = weight(rngs, (F, D), (2 * config.layers * F) ** -0.5)

    def __call__(self, x_BLD: jax.Array) -> jax.Array:
        return rows(jax.nn.gelu(rows(x_BLD, self.up_DF[...]), approximate=True), self.down_FD[...])


MLPS = {"swiglu": SwiGLU, "gelu": Gelu}

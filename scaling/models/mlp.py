"""Feed-forward blocks. Axes: B batch, L positions, D width, F hidden units."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx

from scaling.config.model import GATED, ModelConfig
from scaling.models.linear import bias, rows, weight
from scaling.models.parametrisation import multiplier

# gelu by its tanh approximation (Hendrycks & Gimpel 2016), as GPT-2 and Gemma have it; relu² (So 2021)
ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "swiglu": jax.nn.silu,
    "geglu": partial(jax.nn.gelu, approximate=True),
    "gelu": partial(jax.nn.gelu, approximate=True),
    "relu": jax.nn.relu,
    "relu2": lambda x: jnp.square(jax.nn.relu(x)),
}


class Gated(nnx.Module):
    """(act(x·gate) ⊙ x·up)·down (Shazeer 2020, equation 6)."""

    def __init__(self, config: ModelConfig, *, width: int, rngs: nnx.Rngs) -> None:
        D, F, biased = config.width, width, config.biases == "all"
        self.gate_DF = weight(rngs, (D, F), D**-0.5)
        self.up_DF = weight(rngs, (D, F), D**-0.5)
        self.down_FD = weight(rngs, (F, D), multiplier(config, "mlp_out", "init") * (2 * config.layers * F) ** -0.5)
        self.b_gate_F, self.b_up_F, self.b_D = (bias(n) if biased else None for n in ((F,), (F,), (D,)))
        self.kind = config.mlp

    def __call__(self, x_BLD: jax.Array) -> jax.Array:
        gate_BLF = rows(x_BLD, self.gate_DF[...], add=self.b_gate_F)
        h_BLF = ACTIVATIONS[self.kind](gate_BLF) * rows(x_BLD, self.up_DF[...], add=self.b_up_F)
        return rows(h_BLF, self.down_FD[...], add=self.b_D)


class Plain(nnx.Module):
    """act(x·up)·down (Vaswani 2017, equation 2)."""

    def __init__(self, config: ModelConfig, *, width: int, rngs: nnx.Rngs) -> None:
        D, F, biased = config.width, width, config.biases == "all"
        self.up_DF = weight(rngs, (D, F), D**-0.5)
        self.down_FD = weight(rngs, (F, D), multiplier(config, "mlp_out", "init") * (2 * config.layers * F) ** -0.5)
        self.b_up_F, self.b_D = (bias(n) if biased else None for n in ((F,), (D,)))
        self.kind = config.mlp

    def __call__(self, x_BLD: jax.Array) -> jax.Array:
        h_BLF = ACTIVATIONS[self.kind](rows(x_BLD, self.up_DF[...], add=self.b_up_F))
        return rows(h_BLF, self.down_FD[...], add=self.b_D)


def mlp(config: ModelConfig, *, width: int | None = None, rngs: nnx.Rngs) -> Gated | Plain:
    """The config's MLP, of `width` hidden units where given."""
    return (Gated if config.mlp in GATED else Plain)(config, width=width or config.mlp_width, rngs=rngs)

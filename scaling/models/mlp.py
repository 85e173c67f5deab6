"""Feed-forward blocks, (B, L, D) -> (B, L, D). Axes: B batch, L positions, D width, F hidden units."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from scaling.config.model import GATED_MLPS, MLPS, ModelConfig
from scaling.models.linear import normal_param, project, zeros_param
from scaling.models.parametrisation import multiplier
from scaling.models.user_blocks import make_block

# GELU in its tanh approximation (Hendrycks & Gimpel 2016), as in GPT-2 and Gemma; squared ReLU (So 2021)
ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "swiglu": jax.nn.silu,
    "geglu": partial(jax.nn.gelu, approximate=True),
    "gelu": partial(jax.nn.gelu, approximate=True),
    "relu": jax.nn.relu,
    "relu2": lambda x: jnp.square(jax.nn.relu(x)),
}


class GatedMLP(nnx.Module):
    """Gated MLP: (act(x·gate) ⊙ x·up)·down (Shazeer 2020, equation 6)."""

    def __init__(self, config: ModelConfig, *, width: int, rngs: nnx.Rngs) -> None:
        D, F, biased = config.width, width, config.biases == "all"
        self.gate_DF = normal_param(rngs, (D, F), D**-0.5)
        self.up_DF = normal_param(rngs, (D, F), D**-0.5)
        self.down_FD = normal_param(
            rngs, (F, D), multiplier(config, "mlp_out", "init") * (2 * config.layers * F) ** -0.5
        )
        self.b_gate_F, self.b_up_F, self.b_D = (zeros_param(n) if biased else None for n in ((F,), (F,), (D,)))
        self.kind = config.mlp

    def __call__(self, x_BLD: jax.Array) -> jax.Array:
        """Returns the output of the MLP, (B, L, D)."""
        gate_BLF = project(x_BLD, self.gate_DF[...], bias=self.b_gate_F)
        h_BLF = ACTIVATIONS[self.kind](gate_BLF) * project(x_BLD, self.up_DF[...], bias=self.b_up_F)
        return project(h_BLF, self.down_FD[...], bias=self.b_D)


class MLP(nnx.Module):
    """MLP: act(x·up)·down (Vaswani 2017, equation 2)."""

    def __init__(self, config: ModelConfig, *, width: int, rngs: nnx.Rngs) -> None:
        D, F, biased = config.width, width, config.biases == "all"
        self.up_DF = normal_param(rngs, (D, F), D**-0.5)
        self.down_FD = normal_param(
            rngs, (F, D), multiplier(config, "mlp_out", "init") * (2 * config.layers * F) ** -0.5
        )
        self.b_up_F, self.b_D = (zeros_param(n) if biased else None for n in ((F,), (D,)))
        self.kind = config.mlp

    def __call__(self, x_BLD: jax.Array) -> jax.Array:
        """Returns the output of the MLP, (B, L, D)."""
        h_BLF = ACTIVATIONS[self.kind](project(x_BLD, self.up_DF[...], bias=self.b_up_F))
        return project(h_BLF, self.down_FD[...], bias=self.b_D)


def make_mlp(config: ModelConfig, *, width: int | None = None, rngs: nnx.Rngs) -> Any:
    """Returns the MLP of a config, a module of this file or of a user's.

    Args:
        config: The model.
        width: Hidden units; `config.mlp_width` unless given.
        rngs: Source of random keys.
    """
    if config.mlp not in MLPS:
        return make_block(config, "mlp", rngs=rngs)
    return (GatedMLP if config.mlp in GATED_MLPS else MLP)(config, width=width or config.mlp_width, rngs=rngs)

"""Source of a user's block: an MLP whose hidden units are squared ReLUs, written to a file by the tests."""

import jax
from flax import nnx


class Squared(nnx.Module):
    """The block."""

    def __init__(self, config, *, rngs):
        self.up = nnx.Linear(config.width, config.mlp_width, use_bias=False, rngs=rngs)
        self.down = nnx.Linear(config.mlp_width, config.width, use_bias=False, rngs=rngs)

    def __call__(self, x_BLD):
        return self.down(jax.nn.relu(self.up(x_BLD)) ** 2).astype(x_BLD.dtype)

"""Weights and the products with them. Axes: X rows (batch · positions), D in, F out."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx


def weight(rngs: nnx.Rngs, shape: tuple[int, ...], std: float) -> nnx.Param[jax.Array]:
    """A float32 parameter drawn from N(0, std²)."""
    return nnx.Param(std * jax.random.normal(rngs.params(), shape, jnp.float32))


def bias(shape: tuple[int, ...]) -> nnx.Param[jax.Array]:
    """A float32 parameter of zeros."""
    return nnx.Param(jnp.zeros(shape, jnp.float32))


def scaled(x: jax.Array, by: float) -> jax.Array:
    """x·by in x's type; a multiplier of 1 leaves no trace in the program."""
    return x if by == 1 else x * jnp.asarray(by, x.dtype)


def rows(x_BLD: jax.Array, w_DF: jax.Array, out: Any = None, add: Any = None) -> jax.Array:
    """x·w (+ add) over flattened rows: on CPU a two-dimensional product takes half the time of a batched one.

    out: type of the result (of x where not given); the product is summed in it, never rounded below it.
    add: a bias of the result's features, or None.
    """
    B, L, D = x_BLD.shape
    flat_XF = jnp.matmul(x_BLD.reshape(B * L, D), w_DF.astype(x_BLD.dtype), preferred_element_type=out)
    if add is not None:
        flat_XF = flat_XF + add[...].astype(flat_XF.dtype).reshape(1, -1)
    return flat_XF.reshape(B, L, -1)

"""Parameters and the products with them. Axes: B batch, L positions, X = B·L rows, D features in, F features out."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx


def normal_param(rngs: nnx.Rngs, shape: tuple[int, ...], std: float) -> nnx.Param[jax.Array]:
    """Returns a float32 parameter with entries from N(0, std²).

    Args:
        rngs: Source of random keys.
        shape: Shape of the parameter.
        std: Standard deviation.
    """
    return nnx.Param(std * jax.random.normal(rngs.params(), shape, jnp.float32))


def zeros_param(shape: tuple[int, ...]) -> nnx.Param[jax.Array]:
    """Returns a float32 parameter of zeros."""
    return nnx.Param(jnp.zeros(shape, jnp.float32))


def scale(x: jax.Array, factor: float) -> jax.Array:
    """Returns x·factor in the type of x; a factor of 1 adds nothing to the program.

    Args:
        x: Array.
        factor: Number that is known when the program is compiled.
    """
    return x if factor == 1 else x * jnp.asarray(factor, x.dtype)


def project(x_BLD: jax.Array, w_DF: jax.Array, dtype: Any = None, bias: Any = None) -> jax.Array:
    """Returns x·w (+ bias), shape (B, L, F).

    Rows are flattened first: on CPU a two-dimensional product takes half the time of a batched one.

    Args:
        x_BLD: Inputs.
        w_DF: Weights, converted to the type of x.
        dtype: Type of the result and of the sums in the product; the type of x unless given.
        bias: Parameter that is added to the F features.
    """
    B, L, D = x_BLD.shape
    flat_XF = jnp.matmul(x_BLD.reshape(B * L, D), w_DF.astype(x_BLD.dtype), preferred_element_type=dtype)
    if bias is not None:
        flat_XF = flat_XF + bias[...].astype(flat_XF.dtype).reshape(1, -1)
    return flat_XF.reshape(B, L, -1)

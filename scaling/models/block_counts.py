"""Parameters and FLOPs of a block in a user's file, by abstract evaluation: nothing is allocated, no device is used.

Axes: B batch, L positions, D width.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.extend.core import ClosedJaxpr, Jaxpr

from scaling.config.model import ModelConfig
from scaling.config.user_code import UserCodeError, user_errors
from scaling.models.attention.attention import TokenPositions
from scaling.models.user_blocks import make_block

CONTROL_FLOW = ("while", "cond", "pallas_call")  # whose number of products the shapes do not determine


@lru_cache
def block_parameters(config: ModelConfig, field: str) -> int:
    """Returns the number of parameters of one block of a user's file.

    Args:
        config: The model.
        field: Its field that names the block.

    Raises:
        UserCodeError: The block has variables that are not parameters.
    """
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(_abstract_block(config, field)[1]))


@lru_cache
def block_flops(config: ModelConfig, field: str, length: int, window: int | None = None) -> int:
    """Returns the forward FLOPs of one block on one sequence: 2 for each multiply-add of a matrix product.

    Args:
        config: The model.
        field: Its field that names the block.
        length: Tokens of the sequence.
        window: Window of the layer, for attention.

    Raises:
        UserCodeError: The output is no (B, L, D) of the type of the input, or the products cannot be counted.
    """
    graph, state = _abstract_block(config, field)
    name, x_BLD = getattr(config, field), jax.ShapeDtypeStruct((1, length, config.width), jnp.bfloat16)
    positions_BL = jax.ShapeDtypeStruct((1, length), jnp.int32)

    def apply(state: Any, x_BLD: jax.Array, positions_BL: jax.Array) -> jax.Array:
        block: Any = nnx.merge(graph, state)
        if field == "attention":
            return block(x_BLD, TokenPositions(positions_BL, None, "xla"), window)
        return block(x_BLD)

    with user_errors():
        jaxpr, shape = jax.make_jaxpr(apply, return_shape=True)(state, x_BLD, positions_BL)
    if getattr(shape, "shape", None) != x_BLD.shape or shape.dtype != x_BLD.dtype:
        described = f"{shape.dtype} {shape.shape}" if hasattr(shape, "shape") else type(shape).__name__
        raise UserCodeError(
            f"model.{field} is {name}: returns {described} for bfloat16 {x_BLD.shape}: must return the shape and the "
            "type of its input, such as y.astype(x.dtype)"
        )
    try:
        return product_flops(jaxpr.jaxpr)
    except ValueError as error:
        raise UserCodeError(f"model.{field} is {name}: FLOPs cannot be counted: {error}") from None


def product_flops(jaxpr: Jaxpr) -> int:
    """Returns the FLOPs of the matrix products and convolutions of a jaxpr.

    Raises:
        ValueError: Products are in a loop or branch whose executions the shapes do not determine, or are of
            an unknown kind.
    """
    total = 0
    equation: Any  # shapes of abstract values are not typed
    for equation in jaxpr.eqns:
        name, inner = equation.primitive.name, [product_flops(sub) for sub in _sub_jaxprs(equation.params)]
        if name in CONTROL_FLOW and any(inner):
            if name != "cond" or len(set(inner)) > 1:
                raise ValueError(f"matrix products inside {name}")
            inner = inner[:1]
        total += sum(inner) * (equation.params["length"] if name == "scan" else 1)
        out = math.prod(equation.outvars[0].aval.shape) if equation.outvars else 0
        if name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            total += 2 * out * math.prod(equation.invars[0].aval.shape[axis] for axis in contracted)
        elif name == "conv_general_dilated":
            kernel, axes = equation.invars[1].aval.shape, equation.params["dimension_numbers"].rhs_spec
            total += 2 * out * math.prod(kernel) // kernel[axes[0]]
        elif "dot" in name or "conv" in name.removeprefix("convert"):
            raise ValueError(f"operation {name}")
    return total


def _sub_jaxprs(params: dict[str, Any]) -> Iterator[Jaxpr]:
    for value in params.values():
        for item in value if isinstance(value, tuple | list) else (value,):
            if isinstance(item, ClosedJaxpr):
                yield item.jaxpr
            elif isinstance(item, Jaxpr):
                yield item


@lru_cache
def _abstract_block(config: ModelConfig, field: str) -> tuple[Any, Any]:
    """Returns the graph and the shapes of the parameters of a block."""
    arguments = {} if field == "norm" else {"rngs": nnx.Rngs}
    block = nnx.eval_shape(lambda: make_block(config, field, **{name: make(0) for name, make in arguments.items()}))
    split: Any = nnx.split(block, nnx.Param, ...)
    graph, params, others = split
    if jax.tree.leaves(others):
        kinds = sorted({type(leaf).__name__ for leaf in jax.tree.leaves(others, is_leaf=_is_variable)})
        raise UserCodeError(
            f"model.{field} is {getattr(config, field)}: has variables of type {', '.join(kinds)}: must have nnx.Param "
            "only (dropout and running statistics are not supported)"
        )
    return graph, params


def _is_variable(leaf: Any) -> bool:
    return isinstance(leaf, nnx.Variable)

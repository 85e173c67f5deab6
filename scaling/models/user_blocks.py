"""Modules of a user's file as blocks of a model.

A block is a class of flax.nnx.Module: `mlp` and `attention` are made as `Block(config, rngs=rngs)` and `norm` as
`Block(config)`; all map (B, L, D) to (B, L, D), and attention takes the positions of the tokens and the window of the
layer too. Axes: B batch, L positions, D width.
"""

from __future__ import annotations

from typing import Any

from flax import nnx

from scaling.config.model import ModelConfig
from scaling.config.user_code import UserCodeError, user_errors
from scaling.config.user_code.blocks import load_block


def make_block(config: ModelConfig, field: str, **arguments: nnx.Rngs) -> Any:
    """Makes a block of a user's file.

    Args:
        config: The model.
        field: Its field that names the block.
        **arguments: Source of random keys, for blocks that have one.

    Raises:
        UserCodeError: The file was not named by the user, cannot be loaded, or raises an error.
    """
    name = getattr(config, field)
    block_class = load_block(field, name)
    with user_errors():
        block = block_class(config, **arguments)
    if not isinstance(block, nnx.Module):
        raise UserCodeError(
            f"model.{field} is {name}: makes {type(block).__name__}: must be a class of flax.nnx.Module"
        )
    return block

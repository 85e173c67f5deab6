"""Cross-entropies from the residual stream; logits are computed for one block of positions at a time.

Axes: B sequences, L positions, D width, V vocabulary, N blocks, l positions of one block, X rows (B · l).
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from scaling.distributed import sharding
from scaling.models.linear import project

BLOCK_BYTES = 64 * 2**20  # of a block's logits in float32 on one device; smaller logits are not divided
# Minimised loss, mean cross-entropy, and the gradients of the first by x (B, L, D) and w (D, V)
LossAndGradients = tuple[jax.Array, jax.Array, jax.Array, jax.Array]


def token_losses(logits_BLV: jax.Array, targets_BL: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the cross-entropy in nats and ln Z, the log of the softmax's denominator; float32 (B, L) each.

    Args:
        logits_BLV: Logits.
        targets_BL: int32 tokens.
    """
    logits_BLV = logits_BLV.astype(jnp.float32)
    log_z_BL = jax.nn.logsumexp(logits_BLV, axis=-1)
    target_BL = jnp.take_along_axis(logits_BLV, targets_BL[..., None], axis=-1)[..., 0]
    return log_z_BL - target_BL, log_z_BL


def block_count(sequences: int, length: int, vocab: int, limit: int = BLOCK_BYTES) -> int:
    """Returns the number of blocks of positions with which the logits of a block fit into `limit` bytes of a device.

    Args:
        sequences: Sequences on all devices.
        length: Positions.
        vocab: Tokens of the vocabulary.
        limit: Bytes; a block has at least one position even if that takes more.
    """
    mesh = jax.sharding.get_abstract_mesh()
    devices = 1 if mesh.empty else math.prod(mesh.shape[a] for a in sharding.BATCH_AXES)
    shards = devices if sequences % devices == 0 else 1
    return min(length, max(1, math.ceil(4 * sequences * length * vocab / shards / limit)))


def split_blocks(x: jax.Array, count: int) -> jax.Array:
    """Splits (B, L, ...) into (N, B, l, ...), the last block padded with zeros.

    Args:
        x: Array of any type.
        count: Number of blocks, N.
    """
    B, L = x.shape[:2]
    size = -(-L // count)
    padded = jnp.pad(x, ((0, 0), (0, size * count - L), *((0, 0),) * (x.ndim - 2)))
    return padded.reshape(B, count, size, *x.shape[2:]).swapaxes(0, 1)


def join_blocks(x: jax.Array, length: int) -> jax.Array:
    """Inverts `split_blocks`: (N, B, l, ...) to (B, L, ...) with L = `length`.

    Args:
        x: Blocks.
        length: Positions, L.
    """
    x = x.swapaxes(0, 1)
    return x.reshape(x.shape[0], -1, *x.shape[3:])[:, :length]


def softcapped_logits(x_BlD: jax.Array, w_DV: jax.Array, softcap: float | None) -> jax.Array:
    """Returns the logits of a block, float32 (X, V).

    Args:
        x_BlD: Inputs of the head.
        w_DV: Matrix of the head.
        softcap: Logits become cap·tanh(logit / cap), None for no cap.
    """
    logits_XV = project(x_BlD, w_DV, jnp.float32).reshape(-1, w_DV.shape[1])
    return logits_XV if softcap is None else softcap * jnp.tanh(logits_XV / softcap)


def sequence_scores(
    x_BLD: jax.Array, w_DV: jax.Array, targets_BL: jax.Array, softcap: float | None, blocks: int | None = None
) -> tuple[jax.Array, jax.Array]:
    """Returns the mean cross-entropy of each sequence in nats, and whether all its targets are the likeliest tokens.

    Args:
        x_BLD: Inputs of the head.
        w_DV: Matrix of the head.
        targets_BL: int32 tokens.
        softcap: Soft-cap of the logits.
        blocks: Number of blocks; None: `block_count`.

    Returns:
        Two arrays, float32 (B,); the second is 1 or 0.
    """
    B, L = targets_BL.shape
    blocks = block_count(B, L, w_DV.shape[1]) if blocks is None else blocks
    w_DV = w_DV.astype(x_BLD.dtype)

    def score_block(block: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        x_BlD, targets_Bl = block
        logits_BlV = softcapped_logits(x_BlD, w_DV, softcap).reshape(*targets_Bl.shape, -1)
        return token_losses(logits_BlV, targets_Bl)[0], jnp.argmax(logits_BlV, axis=-1) == targets_Bl

    if blocks == 1:
        losses_BL, right_BL = score_block((x_BLD, targets_BL))
    else:
        scores = jax.lax.map(score_block, (split_blocks(x_BLD, blocks), split_blocks(targets_BL, blocks)))
        losses_BL, right_BL = (join_blocks(score_NBl, L) for score_NBl in scores)
    return jnp.mean(losses_BL, axis=1), jnp.all(right_BL, axis=1).astype(jnp.float32)


def training_loss(
    x_BLD: jax.Array,
    w_DV: jax.Array,
    targets_BL: jax.Array,
    softcap: float | None = None,
    z_loss: float = 0.0,
    blocks: int | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Returns mean cross-entropy + z_loss · mean (ln Z)², to be minimised, and the mean cross-entropy for reports.

    The second has no gradient.

    Args:
        x_BLD: Inputs of the head.
        w_DV: Matrix of the head.
        targets_BL: int32 tokens.
        softcap: Soft-cap of the logits.
        z_loss: Weight of the z-loss (Chowdhery 2022, section 5).
        blocks: Number of blocks; None: `block_count`.
    """
    B, L = targets_BL.shape
    blocks = block_count(B, L, w_DV.shape[1]) if blocks is None else blocks
    total, cross_entropy = _differentiable_loss(x_BLD, w_DV, targets_BL, softcap, z_loss, blocks)
    return total, jax.lax.stop_gradient(cross_entropy)


@partial(jax.custom_vjp, nondiff_argnums=(3, 4, 5))
def _differentiable_loss(
    x_BLD: jax.Array, w_DV: jax.Array, targets_BL: jax.Array, softcap: float | None, z_loss: float, blocks: int
) -> tuple[jax.Array, jax.Array]:
    """Computes `training_loss` with its gradient in the forward pass.

    The gradient of a block is computed while its logits exist, so that logits are neither kept nor computed twice
    (Hsu 2024, section 3.3); the backward pass only multiplies it.
    """
    return _loss_forward(x_BLD, w_DV, targets_BL, softcap, z_loss, blocks)[0]


def _loss_forward(
    x_BLD: jax.Array, w_DV: jax.Array, targets_BL: jax.Array, softcap: float | None, z_loss: float, blocks: int
) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
    mesh = jax.sharding.get_abstract_mesh()
    axes = () if mesh.empty else tuple(a for a in sharding.BATCH_AXES if mesh.shape[a] > 1)
    if not axes or blocks == 1 or len(x_BLD) % math.prod(mesh.shape[a] for a in axes):
        total, cross_entropy, dx_BLD, dw_DV = _loss_and_gradients(x_BLD, w_DV, targets_BL, softcap, z_loss, blocks)
        return (total, cross_entropy), (dx_BLD, dw_DV)
    # Each device goes through the blocks of its own sequences; gradients of the head are summed once, not per block
    rows, replicated = PartitionSpec(axes), PartitionSpec()
    share = 1 / math.prod(mesh.shape[a] for a in axes)

    def on_device(x_BLD: jax.Array, w_DV: jax.Array, targets_BL: jax.Array) -> LossAndGradients:
        total, cross_entropy, dx_BLD, dw_DV = _loss_and_gradients(x_BLD, w_DV, targets_BL, softcap, z_loss, blocks)
        total, cross_entropy, dw_DV = jax.lax.psum((share * total, share * cross_entropy, share * dw_DV), axes)
        return total, cross_entropy, dx_BLD * jnp.asarray(share, dx_BLD.dtype), dw_DV

    on_mesh = jax.shard_map(
        on_device,
        in_specs=(rows, replicated, rows),
        out_specs=(replicated, replicated, rows, replicated),
        axis_names=set(axes),
        check_vma=False,
    )
    total, cross_entropy, dx_BLD, dw_DV = on_mesh(x_BLD, w_DV, targets_BL)
    return (total, cross_entropy), (dx_BLD, dw_DV)


def _loss_and_gradients(
    x_BLD: jax.Array, w_DV: jax.Array, targets_BL: jax.Array, softcap: float | None, z_loss: float, blocks: int
) -> LossAndGradients:
    """Computes loss, cross-entropy and gradients block by block; those of x in its type, those of w in float32."""
    (B, L), (D, V) = targets_BL.shape, w_DV.shape
    cast_DV, scale = w_DV.astype(x_BLD.dtype), 1 / (B * L)

    def block_loss(x_BlD: jax.Array, targets_Bl: jax.Array, counts_Bl: jax.Array) -> LossAndGradients:
        x_XD, targets_X, counts_X = x_BlD.reshape(-1, D), targets_Bl.reshape(-1), counts_Bl.reshape(-1)
        logits_XV = softcapped_logits(x_BlD, cast_DV, softcap)
        log_z_X = jax.nn.logsumexp(logits_XV, axis=-1)
        is_target_XV = targets_X[:, None] == jnp.arange(V)[None]
        target_X = jnp.sum(jnp.where(is_target_XV, logits_XV, 0), axis=-1)
        softmax_XV = jnp.exp(logits_XV - log_z_X[:, None])
        d_XV = softmax_XV * (1 + 2 * z_loss * log_z_X)[:, None] - is_target_XV.astype(jnp.float32)
        if softcap is not None:
            d_XV = d_XV * (1 - jnp.square(logits_XV / softcap))
        d_XV = (d_XV * (scale * counts_X)[:, None]).astype(x_XD.dtype)
        dx_XD = jnp.matmul(d_XV, cast_DV.T)
        dw_DV = jnp.matmul(x_XD.T, d_XV, preferred_element_type=jnp.float32)
        cross_entropy = scale * jnp.sum(counts_X * (log_z_X - target_X))
        total = cross_entropy + z_loss * scale * jnp.sum(counts_X * jnp.square(log_z_X))
        return total, cross_entropy, dx_XD.reshape(x_BlD.shape), dw_DV

    if blocks == 1:
        return block_loss(x_BLD, targets_BL, jnp.ones((B, L), jnp.float32))

    def step(carry: Any, block: Any) -> Any:
        total, cross_entropy, dx_BlD, dw_DV = block_loss(*block)
        return (carry[0] + total, carry[1] + cross_entropy, carry[2] + dw_DV), dx_BlD

    counts_BL = jnp.ones((B, L), jnp.float32)  # 0 for the padding of the last block
    inputs = (split_blocks(x_BLD, blocks), split_blocks(targets_BL, blocks), split_blocks(counts_BL, blocks))
    zeros = (jnp.float32(0), jnp.float32(0), jnp.zeros((D, V), jnp.float32))
    (total, cross_entropy, dw_DV), dx_NBlD = jax.lax.scan(step, zeros, inputs)
    return total, cross_entropy, join_blocks(dx_NBlD, L), dw_DV


def _loss_backward(
    softcap: float | None, z_loss: float, blocks: int, gradients: Any, d: Any
) -> tuple[jax.Array, Any, None]:
    dx_BLD, dw_DV = gradients
    return dx_BLD * d[0].astype(dx_BLD.dtype), dw_DV * d[0], None


_differentiable_loss.defvjp(_loss_forward, _loss_backward)

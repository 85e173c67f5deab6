"""Next-token losses from the residual stream: large logits exist a block of positions at a time.

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

BLOCK_BYTES = 64 * 2**20  # of a block's logits in float32 on one device: smaller ones are not cut
LossAndGradients = tuple[jax.Array, jax.Array, jax.Array, jax.Array]


def token_losses(logits_BLV: jax.Array, targets_BL: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Cross-entropy in nats and ln Z (the log of the softmax's denominator), float32, each (B, L)."""
    logits_BLV = logits_BLV.astype(jnp.float32)
    log_z_BL = jax.nn.logsumexp(logits_BLV, axis=-1)
    right_BL = jnp.take_along_axis(logits_BLV, targets_BL[..., None], axis=-1)[..., 0]
    return log_z_BL - right_BL, log_z_BL


def block_count(sequences: int, length: int, vocab: int, limit: int = BLOCK_BYTES) -> int:
    """Blocks of positions, so that the logits of one take at most `limit` bytes on a device (one position at least)."""
    mesh = jax.sharding.get_abstract_mesh()
    over = 1 if mesh.empty else math.prod(mesh.shape[a] for a in sharding.BATCH_AXES)
    parts = over if sequences % over == 0 else 1
    return min(length, max(1, math.ceil(4 * sequences * length * vocab / parts / limit)))


def split_blocks(x: jax.Array, count: int) -> jax.Array:
    """(B, L, ...) as (N, B, l, ...), its last block filled up with zeros."""
    B, L = x.shape[:2]
    size = -(-L // count)
    padded = jnp.pad(x, ((0, 0), (0, size * count - L), *((0, 0),) * (x.ndim - 2)))
    return padded.reshape(B, count, size, *x.shape[2:]).swapaxes(0, 1)


def join_blocks(x: jax.Array, length: int) -> jax.Array:
    """What `cut` cut, whole again."""
    x = x.swapaxes(0, 1)
    return x.reshape(x.shape[0], -1, *x.shape[3:])[:, :length]


def softcapped_logits(x_BlD: jax.Array, w_DV: jax.Array, softcap: float | None) -> jax.Array:
    """Logits, float32 (X, V)."""
    logits_XV = project(x_BlD, w_DV, jnp.float32).reshape(-1, w_DV.shape[1])
    return logits_XV if softcap is None else softcap * jnp.tanh(logits_XV / softcap)


def sequence_losses(
    x_BLD: jax.Array, w_DV: jax.Array, targets_BL: jax.Array, softcap: float | None, count: int | None = None
) -> jax.Array:
    """Each sequence's mean cross-entropy in nats, float32 (B,). count: blocks; None: as the size asks for."""
    return sequence_scores(x_BLD, w_DV, targets_BL, softcap, count)[0]


def sequence_scores(
    x_BLD: jax.Array, w_DV: jax.Array, targets_BL: jax.Array, softcap: float | None, count: int | None = None
) -> tuple[jax.Array, jax.Array]:
    """The same, and whether each sequence's targets are all the likeliest tokens, 1 or 0, float32 (B,)."""
    B, L = targets_BL.shape
    count = block_count(B, L, w_DV.shape[1]) if count is None else count
    w_DV = w_DV.astype(x_BLD.dtype)

    def one(part: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        x_BlD, targets_Bl = part
        logits_BlV = softcapped_logits(x_BlD, w_DV, softcap).reshape(*targets_Bl.shape, -1)
        return token_losses(logits_BlV, targets_Bl)[0], jnp.argmax(logits_BlV, axis=-1) == targets_Bl

    if count == 1:
        losses_BL, right_BL = one((x_BLD, targets_BL))
    else:
        each = jax.lax.map(one, (split_blocks(x_BLD, count), split_blocks(targets_BL, count)))
        losses_BL, right_BL = (join_blocks(of, L) for of in each)
    return jnp.mean(losses_BL, axis=1), jnp.all(right_BL, axis=1).astype(jnp.float32)


def training_loss(
    x_BLD: jax.Array,
    w_DV: jax.Array,
    targets_BL: jax.Array,
    softcap: float | None = None,
    z_loss: float = 0.0,
    count: int | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Mean cross-entropy + z_loss · mean (ln Z)², to be minimised; and the mean cross-entropy alone, to be reported.

    The second has no gradient. count: blocks; None: as the size asks for.
    """
    B, L = targets_BL.shape
    count = block_count(B, L, w_DV.shape[1]) if count is None else count
    total, plain = differentiable_loss(x_BLD, w_DV, targets_BL, softcap, z_loss, count)
    return total, jax.lax.stop_gradient(plain)


@partial(jax.custom_vjp, nondiff_argnums=(3, 4, 5))
def differentiable_loss(
    x_BLD: jax.Array, w_DV: jax.Array, targets_BL: jax.Array, softcap: float | None, z_loss: float, count: int
) -> tuple[jax.Array, jax.Array]:
    """`training_loss` with its gradient written out.

    The gradient is taken where the logits are made, block by block, and waits to be multiplied: logits are
    neither kept nor made twice (Hsu 2024, section 3.3).
    """
    return loss_forward(x_BLD, w_DV, targets_BL, softcap, z_loss, count)[0]


def loss_forward(
    x_BLD: jax.Array, w_DV: jax.Array, targets_BL: jax.Array, softcap: float | None, z_loss: float, count: int
) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
    mesh = jax.sharding.get_abstract_mesh()
    over = () if mesh.empty else tuple(a for a in sharding.BATCH_AXES if mesh.shape[a] > 1)
    if not over or count == 1 or len(x_BLD) % math.prod(mesh.shape[a] for a in over):
        total, plain, dx_BLD, dw_DV = loss_and_gradients(x_BLD, w_DV, targets_BL, softcap, z_loss, count)
        return (total, plain), (dx_BLD, dw_DV)
    # Each device walks its own rows, and the gradients of the head are summed once, not once a block.
    row, whole = PartitionSpec(over), PartitionSpec()
    share = 1 / math.prod(mesh.shape[a] for a in over)

    def mine(x_BLD: jax.Array, w_DV: jax.Array, targets_BL: jax.Array) -> LossAndGradients:
        total, plain, dx_BLD, dw_DV = loss_and_gradients(x_BLD, w_DV, targets_BL, softcap, z_loss, count)
        total, plain, dw_DV = jax.lax.psum((share * total, share * plain, share * dw_DV), over)
        return total, plain, dx_BLD * jnp.asarray(share, dx_BLD.dtype), dw_DV

    apart = jax.shard_map(
        mine,
        in_specs=(row, whole, row),
        out_specs=(whole, whole, row, whole),
        axis_names=set(over),
        check_vma=False,
    )
    total, plain, dx_BLD, dw_DV = apart(x_BLD, w_DV, targets_BL)
    return (total, plain), (dx_BLD, dw_DV)


def loss_and_gradients(
    x_BLD: jax.Array, w_DV: jax.Array, targets_BL: jax.Array, softcap: float | None, z_loss: float, count: int
) -> LossAndGradients:
    """What is minimised, the mean cross-entropy, and the gradients of the first: of x (its type) and w (float32)."""
    (B, L), (D, V) = targets_BL.shape, w_DV.shape
    cast_DV, scale = w_DV.astype(x_BLD.dtype), 1 / (B * L)

    def one(x_BlD: jax.Array, targets_Bl: jax.Array, counts_Bl: jax.Array) -> LossAndGradients:
        x_XD, targets_X, counts_X = x_BlD.reshape(-1, D), targets_Bl.reshape(-1), counts_Bl.reshape(-1)
        logits_XV = softcapped_logits(x_BlD, cast_DV, softcap)
        log_z_X = jax.nn.logsumexp(logits_XV, axis=-1)
        mine_XV = targets_X[:, None] == jnp.arange(V)[None]
        right_X = jnp.sum(jnp.where(mine_XV, logits_XV, 0), axis=-1)
        softmax_XV = jnp.exp(logits_XV - log_z_X[:, None])
        d_XV = softmax_XV * (1 + 2 * z_loss * log_z_X)[:, None] - mine_XV.astype(jnp.float32)
        if softcap is not None:
            d_XV = d_XV * (1 - jnp.square(logits_XV / softcap))
        d_XV = (d_XV * (scale * counts_X)[:, None]).astype(x_XD.dtype)
        dx_XD = jnp.matmul(d_XV, cast_DV.T)
        dw_DV = jnp.matmul(x_XD.T, d_XV, preferred_element_type=jnp.float32)
        plain = scale * jnp.sum(counts_X * (log_z_X - right_X))
        total = plain + z_loss * scale * jnp.sum(counts_X * jnp.square(log_z_X))
        return total, plain, dx_XD.reshape(x_BlD.shape), dw_DV

    if count == 1:
        return one(x_BLD, targets_BL, jnp.ones((B, L), jnp.float32))

    def step(carry: Any, part: Any) -> Any:
        total, plain, dx_BlD, dw_DV = one(*part)
        return (carry[0] + total, carry[1] + plain, carry[2] + dw_DV), dx_BlD

    counts_BL = jnp.ones((B, L), jnp.float32)
    parts = (split_blocks(x_BLD, count), split_blocks(targets_BL, count), split_blocks(counts_BL, count))
    empty = (jnp.float32(0), jnp.float32(0), jnp.zeros((D, V), jnp.float32))
    (total, plain, dw_DV), dx_NBlD = jax.lax.scan(step, empty, parts)
    return total, plain, join_blocks(dx_NBlD, L), dw_DV


def loss_backward(
    softcap: float | None, z_loss: float, count: int, gradients: Any, d: Any
) -> tuple[jax.Array, Any, None]:
    dx_BLD, dw_DV = gradients
    return dx_BLD * d[0].astype(dx_BLD.dtype), dw_DV * d[0], None


differentiable_loss.defvjp(loss_forward, loss_backward)

"""Next-token losses. Axes: B sequences, L positions, V vocabulary."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def token_losses(logits_BLV: jax.Array, targets_BL: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Cross-entropy in nats and ln Z (the log of the softmax's denominator), float32, each (B, L)."""
    logits_BLV = logits_BLV.astype(jnp.float32)
    log_z_BL = jax.nn.logsumexp(logits_BLV, axis=-1)
    right_BL = jnp.take_along_axis(logits_BLV, targets_BL[..., None], axis=-1)[..., 0]
    return log_z_BL - right_BL, log_z_BL

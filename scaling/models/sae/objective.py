"""The training objective of a sparse autoencoder: reconstruction, sparsity, and revival of dead latents.

All parts are relative to the variance of the activations about their mean: a reconstruction by the mean costs 1.

Axes: B tokens, D width, n latents, k latents of the auxiliary loss.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from scaling.config.sae import SaeConfig
from scaling.models.sae.functions import Params, decode, jumprelu, pre_activations, step
from scaling.models.sae.selection import batch_threshold, keep_largest


class Measures(NamedTuple):
    """What a forward pass measures.

    Attributes:
        loss: Mean squared error relative to the variance of the activations, ().
        l0: Mean number of active latents per token, ().
        active: Tokens on which each latent was active, (n,).
        threshold: Smallest active latent of batch-topk, else 0, ().
    """

    loss: jax.Array
    l0: jax.Array
    active: jax.Array
    threshold: jax.Array


def activate(config: SaeConfig, params: Params, z_Bn: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns the latents in training (B, n), the mean penalty per token (), and the threshold of batch-topk ().

    The penalty is the sum of the latents (relu; rows of the decoder have norm 1) or their number (jumprelu).

    Args:
        config: The autoencoder.
        params: Its parameters.
        z_Bn: Pre-activations.
    """
    zero = jnp.zeros(())
    if config.kind == "jumprelu":
        f_Bn = jumprelu(z_Bn, params["threshold"], config.bandwidth)
        return f_Bn, jnp.mean(jnp.sum(step(z_Bn, params["threshold"], config.bandwidth), -1)), zero
    f_Bn = jax.nn.relu(z_Bn)
    if config.kind == "relu":
        return f_Bn, jnp.mean(jnp.sum(f_Bn, -1)), zero
    assert config.l0 is not None
    if config.kind == "topk":
        return keep_largest(f_Bn, int(config.l0)), zero, zero
    threshold = batch_threshold(jax.lax.stop_gradient(f_Bn), config.l0, params["threshold"][0])
    return jnp.where(f_Bn > threshold, f_Bn, 0.0), zero, threshold


def auxiliary_loss(
    config: SaeConfig, params: Params, z_Bn: jax.Array, error_BD: jax.Array, dead_n: jax.Array
) -> jax.Array:
    """Returns the mean squared error of reconstructing the error from dead latents, () (Gao 2024, appendix A.2).

    It is in the unit of the reconstruction's error, and 0 without dead latents.

    Args:
        config: The autoencoder.
        params: Its parameters.
        z_Bn: Pre-activations.
        error_BD: Error of the reconstruction, a constant.
        dead_n: Whether each latent is dead.
    """

    def reconstruct(z_Bn: jax.Array, w_nD: jax.Array) -> jax.Array:
        f_Bn = keep_largest(
            jnp.where(dead_n[None], jax.nn.relu(z_Bn), 0.0), min(config.auxiliary_latents, config.latents)
        )
        return jnp.mean(jnp.sum((error_BD - f_Bn @ w_nD) ** 2, -1))

    return jax.lax.cond(jnp.any(dead_n), reconstruct, lambda z_Bn, w_nD: jnp.zeros(()), z_Bn, params["W_dec"])


def objective(
    config: SaeConfig, params: Params, x_BD: jax.Array, dead_n: jax.Array, coefficient: jax.Array
) -> tuple[jax.Array, Measures]:
    """Returns the objective of a batch, and what it measures.

    Args:
        config: The autoencoder.
        params: Its parameters.
        x_BD: Activations, scaled.
        dead_n: Whether each latent is dead.
        coefficient: Coefficient of the penalty, ().
    """
    z_Bn = pre_activations(params, x_BD)
    f_Bn, penalty, threshold = activate(config, params, z_Bn)
    error_BD = x_BD - decode(params, f_Bn)
    loss = jnp.mean(jnp.sum(error_BD**2, -1)) / params["variance"]
    total = loss + coefficient * penalty
    if config.auxiliary:
        revival = auxiliary_loss(config, params, z_Bn, jax.lax.stop_gradient(error_BD), dead_n)
        total += config.auxiliary * revival / params["variance"]
    active_n = jnp.sum(f_Bn > 0, 0)
    return total, Measures(loss, jnp.sum(active_n) / len(x_BD), active_n, threshold)

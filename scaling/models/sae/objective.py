"""The training objective of a sparse autoencoder: reconstruction, sparsity, and revival of dead latents.

All parts are relative to the variance of the activations about their mean: a reconstruction by the mean costs 1.

Axes: B tokens, D width, n latents, k latents of the auxiliary loss.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from scaling.config.sae import SaeConfig
from scaling.models.sae.functions import Params, decode, jumprelu, step
from scaling.models.sae.selection import batch_threshold, keep_largest
from scaling.models.sae.sparse import add_elements, decode_rows, is_faster, largest_pre_activations, take_rows


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
    config: SaeConfig, params: Params, x_BD: jax.Array, error_BD: jax.Array, dead_n: jax.Array
) -> jax.Array:
    """Returns the mean squared error of reconstructing the error from dead latents, () (Gao 2024, appendix A.2).

    It is in the unit of the reconstruction's error, and 0 without dead latents. If more than `auxiliary_latents` are
    dead, each batch trains as many of them, at random by the bits of the batch: only these are encoded, where Gao 2024
    encodes all and keeps the largest.

    Args:
        config: The autoencoder.
        params: Its parameters.
        x_BD: Activations, scaled.
        error_BD: Error of the reconstruction, a constant.
        dead_n: Whether each latent is dead.
    """
    count = min(config.auxiliary_latents, config.latents)

    def reconstruct(w_Dn: jax.Array, b_n: jax.Array, w_nD: jax.Array, bias_D: jax.Array) -> jax.Array:
        seed = jax.lax.bitcast_convert_type(jnp.sum(x_BD[0]), jnp.uint32)
        order_n = jnp.where(dead_n, jax.random.uniform(jax.random.key(seed), dead_n.shape), -1.0)
        _, index_k = jax.lax.top_k(order_n, count)
        z_Bk = (x_BD - bias_D[None]) @ take_rows(w_Dn.T, index_k).T + take_rows(b_n, index_k)[None]
        f_Bk = jnp.where(take_rows(dead_n, index_k)[None], jax.nn.relu(z_Bk), 0.0)
        return jnp.mean(jnp.sum((error_BD - f_Bk @ take_rows(w_nD, index_k)) ** 2, -1))

    arguments = params["W_enc"], params["b_enc"], params["W_dec"], params["b_dec"]
    return jax.lax.cond(jnp.any(dead_n), reconstruct, lambda *_: jnp.zeros(()), *arguments)


def reconstruct_sparsely(config: SaeConfig, params: Params, x_BD: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the reconstruction by topk (B, D), and the tokens on which each latent was active (n,).

    The same as by dense products, up to rounding.

    Args:
        config: The autoencoder.
        params: Its parameters.
        x_BD: Activations, scaled.
    """
    assert config.l0 is not None
    centred_BD = x_BD - params["b_dec"][None]
    z_Bk, index_Bk = largest_pre_activations(centred_BD, params["W_enc"], params["b_enc"], int(config.l0))
    f_Bk = jax.nn.relu(z_Bk)
    active_n = add_elements((f_Bk > 0).astype(jnp.int32), index_Bk, config.latents)
    return decode_rows(f_Bk, index_Bk, params["W_dec"]) + params["b_dec"][None], active_n


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
    if config.kind == "topk" and config.l0 is not None and is_faster(config.latents, int(config.l0)):
        penalty = threshold = jnp.zeros(())
        output_BD, active_n = reconstruct_sparsely(config, params, x_BD)
    else:
        # the pre-activations, without a gradient of (B, D) for x - b_dec
        bias_n = params["b_enc"] - params["b_dec"] @ params["W_enc"]
        f_Bn, penalty, threshold = activate(config, params, x_BD @ params["W_enc"] + bias_n[None])
        output_BD, active_n = decode(params, f_Bn), jnp.sum(f_Bn > 0, 0)
    error_BD = x_BD - output_BD
    loss = jnp.mean(jnp.sum(error_BD**2, -1)) / params["variance"]
    total = loss + coefficient * penalty
    if config.auxiliary:
        revival = auxiliary_loss(config, params, x_BD, jax.lax.stop_gradient(error_BD), dead_n)
        total += config.auxiliary * revival / params["variance"]
    return total, Measures(loss, jnp.sum(active_n) / len(x_BD), active_n, threshold)

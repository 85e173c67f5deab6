"""Initial parameters of a sparse autoencoder, from a sample of the activations that it will read.

Axes: M tokens of the sample, D width, n latents.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from scaling.config.sae import SaeConfig
from scaling.models.sae.functions import Params, encode, pre_activations

MEDIAN_STEPS = 20  # of Weiszfeld's iteration
SMALLEST_DISTANCE = 1e-6  # of a point from the median, relative to a mean squared norm of 1
START_ACTIVE = 2.0  # active latents per token at the start, relative to the target


def measure_scale(x_MD: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the factor that makes the mean squared norm 1, and the mean squared distance from the mean after it.

    Args:
        x_MD: Activations.
    """
    scale = jax.lax.rsqrt(jnp.mean(jnp.sum(x_MD**2, -1)))
    return scale, jnp.mean(jnp.sum((x_MD - x_MD.mean(0, keepdims=True)) ** 2, -1)) * scale**2


def geometric_median(x_MD: jax.Array) -> jax.Array:
    """Returns the point with the least sum of distances to the activations, (D,), by Weiszfeld's iteration.

    Args:
        x_MD: Activations, with a mean squared norm of 1.
    """

    def improve(_: int, median_D: jax.Array) -> jax.Array:
        distance_M1 = jnp.linalg.norm(x_MD - median_D[None], axis=-1, keepdims=True)
        weight_M1 = 1 / jnp.maximum(distance_M1, SMALLEST_DISTANCE)
        return jnp.sum(weight_M1 * x_MD, 0) / jnp.sum(weight_M1)

    return jax.lax.fori_loop(0, MEDIAN_STEPS, improve, x_MD.mean(0))


def initial_params(config: SaeConfig, seed: jax.Array, x_MD: jax.Array) -> Params:
    """Returns the initial parameters.

    Rows of the decoder are random directions of norm 1, the encoder is its transpose times one factor, with which the
    first reconstruction is closest, and b_dec the geometric median (Bricken 2023; Gao 2024, appendix A.1). Thresholds,
    or the biases of relu, start where some multiple of the target of latents is active, not half of all.

    Args:
        config: The autoencoder.
        seed: Seed, uint32 ().
        x_MD: A sample of the activations.
    """
    scale, variance = measure_scale(x_MD)
    x_MD = x_MD * scale
    decoder_nD = unit_rows(jax.random.normal(jax.random.key(seed), (config.latents, x_MD.shape[1])))
    zeros_n = jnp.zeros(config.latents)
    params = {
        "W_enc": decoder_nD.T, "b_enc": zeros_n, "W_dec": decoder_nD, "b_dec": geometric_median(x_MD),
        "scale": scale, "variance": variance,
    }  # fmt: skip
    if config.kind != "topk":
        share = 0.5 if config.l0 is None else min(0.5, START_ACTIVE * config.l0 / config.latents)
        start = jnp.maximum(jnp.quantile(pre_activations(params, x_MD).ravel(), 1 - share), 0.0)
        params |= {"threshold": zeros_n + start} if config.has_threshold else {"b_enc": zeros_n - start}
    y_MD = encode(params, config.kind, x_MD, config.l0) @ decoder_nD
    factor = jnp.sum(y_MD * (x_MD - params["b_dec"][None])) / jnp.sum(y_MD**2)
    return {name: leaf * factor if name in ("W_enc", "b_enc", "threshold") else leaf for name, leaf in params.items()}


def unit_rows(w_nD: jax.Array) -> jax.Array:
    """Returns a matrix with its rows scaled to norm 1."""
    return w_nD / jnp.linalg.norm(w_nD, axis=-1, keepdims=True)

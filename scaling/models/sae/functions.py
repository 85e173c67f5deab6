"""Encoding and decoding by a sparse autoencoder.

    latents f = activation((x - b_dec) W_enc + b_enc),  reconstruction x̂ = f W_dec + b_dec

Parameters are a dict: `W_enc` (D, n), `b_enc` (n,), `W_dec` (n, D) with rows of norm 1, `b_dec` (D,); `threshold` (n,)
of jumprelu and batch-topk; `scale` () and `variance` (), which are measured and not trained. The autoencoder reads
activations times `scale`, whose mean squared norm is 1; `variance` is the mean squared distance of these from their
mean. `fold_scale` gives the parameters of the same function of the activations themselves.

Axes: B tokens, D width, n latents.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp

from scaling.models.sae.selection import keep_largest

Params = dict[str, jax.Array]


def rectangle(z: jax.Array, threshold: jax.Array, bandwidth: float) -> jax.Array:
    """Returns the rectangle kernel of width `bandwidth` around the threshold, 1 inside and 0 outside, (B, n)."""
    return (jnp.abs(z - threshold[None]) < bandwidth / 2).astype(z.dtype)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def jumprelu(z: jax.Array, threshold: jax.Array, bandwidth: float) -> jax.Array:
    """JumpReLU, z where it exceeds the threshold, else 0 (Rajamanoharan 2024, equation 3).

    Its gradient in z is that of the function where it is smooth; in the threshold it is the straight-through estimate
    -(threshold / bandwidth) · rectangle (equation 11).

    Args:
        z: Pre-activations (B, n).
        threshold: Thresholds (n,), 0 or more.
        bandwidth: Width of the kernel.
    """
    return jnp.where(z > threshold[None], z, 0.0)


def _jumprelu_forward(z: jax.Array, threshold: jax.Array, bandwidth: float) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    return jumprelu(z, threshold, bandwidth), (z, threshold)


def _jumprelu_backward(
    bandwidth: float, saved: tuple[jax.Array, ...], gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
    z, threshold = saved
    to_threshold = -(threshold[None] / bandwidth) * rectangle(z, threshold, bandwidth) * gradient
    return jnp.where(z > threshold[None], gradient, 0.0), to_threshold.sum(0)


jumprelu.defvjp(_jumprelu_forward, _jumprelu_backward)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def step(z: jax.Array, threshold: jax.Array, bandwidth: float) -> jax.Array:
    """The step function, 1 where z exceeds the threshold, else 0; its sum over latents is L0.

    Its gradient in the threshold is the straight-through estimate -(1 / bandwidth) · rectangle (Rajamanoharan 2024,
    equation 12); there is none in z. Arguments as for `jumprelu`.
    """
    return (z > threshold[None]).astype(z.dtype)


def _step_forward(z: jax.Array, threshold: jax.Array, bandwidth: float) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    return step(z, threshold, bandwidth), (z, threshold)


def _step_backward(bandwidth: float, saved: tuple[jax.Array, ...], gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    z, threshold = saved
    return jnp.zeros_like(z), (-(1 / bandwidth) * rectangle(z, threshold, bandwidth) * gradient).sum(0)


step.defvjp(_step_forward, _step_backward)


def pre_activations(params: Params, x_BD: jax.Array) -> jax.Array:
    """Returns the inputs of the activation function, (B, n).

    Args:
        params: The parameters.
        x_BD: Activations in the unit of the parameters.
    """
    return (x_BD - params["b_dec"][None]) @ params["W_enc"] + params["b_enc"][None]


def encode(params: Params, kind: str, x_BD: jax.Array, l0: float | None = None) -> jax.Array:
    """Returns the latents of activations as the trained autoencoder computes them, (B, n).

    batch-topk uses its threshold here, so that a token's latents do not depend on the other tokens.

    Args:
        params: The parameters.
        kind: One of SAE_KINDS.
        x_BD: Activations in the unit of the parameters.
        l0: Active latents per token of topk.
    """
    z_Bn = pre_activations(params, x_BD)
    if "threshold" in params:
        return jnp.where(z_Bn > params["threshold"][None], z_Bn, 0.0)
    z_Bn = jax.nn.relu(z_Bn)
    if kind == "topk":
        assert l0 is not None
        return keep_largest(z_Bn, int(l0))
    return z_Bn


def decode(params: Params, f_Bn: jax.Array) -> jax.Array:
    """Returns the reconstruction, (B, D), in the unit of the parameters.

    Args:
        params: The parameters.
        f_Bn: Latents.
    """
    return f_Bn @ params["W_dec"] + params["b_dec"][None]


def fold_scale(params: Params) -> Params:
    """Returns the parameters of the same autoencoder for activations that are not scaled.

    With s the scale: (s·x - b_dec) W_enc + b_enc = s·((x - b_dec/s) W_enc + b_enc/s), so b_enc, b_dec and the
    thresholds are divided by s, and latents are those of the scaled autoencoder divided by s.

    Args:
        params: The parameters, with their `scale`.
    """
    scale = params["scale"]
    names: tuple[str, ...] = ("b_enc", "b_dec", "threshold")
    folded: Params = {name: params[name] / scale for name in names if name in params}
    return {**params, **folded, "scale": jnp.ones_like(scale), "variance": params["variance"] / scale**2}

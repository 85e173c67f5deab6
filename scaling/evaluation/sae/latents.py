"""Description of the latents of a sparse autoencoder: how often they are active, how close their directions are.

Axes: n latents, D width, k neighbours.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

BLOCK = 1024  # latents whose cosines with all others are computed at once
BINS_PER_DECADE = 2  # of the histogram of densities


def nearest(directions_nD: jax.Array, count: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Returns the other directions with the largest cosines: their indices and cosines, (n, k) each.

    Args:
        directions_nD: Directions of any norm.
        count: Number of neighbours, k; there are fewer where n - 1 is smaller.
    """
    n = len(directions_nD)
    norm_n1 = jnp.linalg.norm(directions_nD, axis=-1, keepdims=True)
    unit_nD = directions_nD / jnp.where(norm_n1 > 0, norm_n1, 1.0)
    k = min(count, n - 1)
    if k < 1:
        return np.empty((n, 0), np.int64), np.empty((n, 0))
    parts = [_nearest_of_block(unit_nD, start, k) for start in range(0, n, BLOCK)]
    indices, cosines = (np.concatenate([np.asarray(part[i]) for part in parts]) for i in range(2))
    return indices, cosines


@partial(jax.jit, static_argnums=(1, 2))
def _nearest_of_block(unit_nD: jax.Array, start: int, k: int) -> tuple[jax.Array, jax.Array]:
    block_bD = unit_nD[start : start + BLOCK]
    own_b = start + jnp.arange(len(block_bD))
    cosine_bn = jnp.where(own_b[:, None] == jnp.arange(len(unit_nD))[None], -jnp.inf, block_bD @ unit_nD.T)
    cosine_bk, index_bk = jax.lax.top_k(cosine_bn, k)
    return index_bk, cosine_bk


def density_histogram(density_n: np.ndarray, tokens: int) -> list[dict[str, float]]:
    """Returns the histogram of log10 densities of latents that are not dead, in half decades.

    Args:
        density_n: Share of tokens on which each latent is active.
        tokens: Number of tokens, which limits the smallest density.

    Returns:
        `low` and `high`, log10 of the ends of each bin, and `latents`, the number of latents from `low` to below
        `high`; the last bin includes a density of 1.
    """
    lowest = int(np.floor(-np.log10(tokens)))
    edges = np.arange(lowest * BINS_PER_DECADE, 1) / BINS_PER_DECADE
    counts, _ = np.histogram(np.log10(density_n[density_n > 0]), np.append(edges[:-1], np.nextafter(0, 1)))
    return [
        {"low": float(low), "high": float(high), "latents": int(count)}
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
    ]

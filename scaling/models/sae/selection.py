"""Selection of the largest latents: of each token (TopK), or of a batch (BatchTopK).

Axes: B tokens, n latents, k active latents.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

SEARCH_STEPS = 16  # of the bisection for the threshold of a batch
SEARCH_RANGE = 4.0  # the threshold changes by less than this factor from a step to the next


def keep_largest(z_Bn: jax.Array, k: int) -> jax.Array:
    """Returns the k largest latents of each token, the others set to 0, (B, n) (TopK; Gao 2024, section 2.3).

    Args:
        z_Bn: Latents, 0 or more.
        k: Number of latents that each token keeps.
    """
    values_Bk, indices_Bk = jax.lax.top_k(z_Bn, k)
    rows_B1 = jnp.arange(len(z_Bn))[:, None]
    return jnp.zeros_like(z_Bn).at[rows_B1, indices_Bk].set(values_Bk, unique_indices=True)


def batch_threshold(z_Bn: jax.Array, l0: float, start: jax.Array) -> jax.Array:
    """Returns the value that l0 latents per token exceed in the mean over a batch (BatchTopK; Bussmann 2024).

    Bisection between a multiple and a fraction of the value of the step before; beyond them, the whole range.

    Args:
        z_Bn: Latents, 0 or more.
        l0: Mean number of active latents per token.
        start: Threshold of the step before, (); 0 before the first step.
    """
    target = l0 * len(z_Bn)

    def count(threshold: jax.Array) -> jax.Array:
        return jnp.sum(z_Bn > threshold)

    largest = jnp.max(z_Bn)
    near_low, near_high = start / SEARCH_RANGE, start * SEARCH_RANGE
    low = jnp.where(count(near_low) >= target, near_low, 0.0)
    high = jnp.where(count(near_high) <= target, near_high, largest)

    def halve(_: int, ends: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = ends
        middle = (low + high) / 2
        is_low = count(middle) >= target
        return jnp.where(is_low, middle, low), jnp.where(is_low, high, middle)

    low, high = jax.lax.fori_loop(0, SEARCH_STEPS, halve, (low, jnp.maximum(low, high)))
    return high

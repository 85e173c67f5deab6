"""Products with the few active latents of each token: what training costs besides one dense encoding.

Of n latents a token has k active. A dense decoder and dense gradients of encoder and decoder multiply n / k times as
much as is needed; here they are sums over k rows of the matrices. On a CPU the rows are gathered and added in loops
that stay in its cache. On accelerators, and where n / k is small, dense products are faster (`is_faster`).

Axes: B tokens, D width, n latents, k latents of a token.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp

LEAST_RATIO = 25  # latents per multiplied latent: a CPU multiplies rows about this much slower than whole matrices
BLOCK = 32  # tokens whose rows are gathered at a time
ENCODED = 512  # tokens that are encoded at a time


def is_faster(latents: int, active: int) -> bool:
    """Returns whether products with rows are faster here than dense ones.

    Args:
        latents: Size of the dictionary.
        active: Latents per token that are multiplied.
    """
    return jax.default_backend() == "cpu" and latents >= LEAST_RATIO * active


def take_rows(w_nD: jax.Array, index: jax.Array) -> jax.Array:
    """Returns rows of a matrix, or elements of a vector; the indices must be in range."""
    return w_nD.at[index].get(mode="promise_in_bounds")


def sum_rows(values_Bk: jax.Array, index_Bk: jax.Array, w_nD: jax.Array) -> jax.Array:
    """Returns the weighted sum of k rows for each token, (B, D).

    Args:
        values_Bk: Weights.
        index_Bk: Rows.
        w_nD: The matrix.
    """

    def add(j: jax.Array, sum_BD: jax.Array) -> jax.Array:
        return sum_BD + values_Bk[:, j, None] * take_rows(w_nD, index_Bk[:, j])

    return jax.lax.fori_loop(0, values_Bk.shape[1], add, jnp.zeros((len(values_Bk), w_nD.shape[1]), w_nD.dtype))


def row_products(x_BD: jax.Array, index_Bk: jax.Array, w_nD: jax.Array) -> jax.Array:
    """Returns the inner products of each token with k rows, (B, k).

    Args:
        x_BD: Tokens.
        index_Bk: Rows.
        w_nD: The matrix.
    """

    def multiply(token: tuple[jax.Array, jax.Array]) -> jax.Array:
        return take_rows(w_nD, token[1]) @ token[0]

    return jax.lax.map(multiply, (x_BD, index_Bk), batch_size=BLOCK)


def add_rows(values_Bk: jax.Array, index_Bk: jax.Array, x_BD: jax.Array, count: int) -> jax.Array:
    """Returns a matrix to whose rows each token adds multiples of itself, (n, D).

    Args:
        values_Bk: Multiples.
        index_Bk: Rows, k different ones for each token.
        x_BD: Tokens.
        count: Number of rows, n.
    """

    def add(b: jax.Array, sum_nD: jax.Array) -> jax.Array:
        outer_kD = values_Bk[b][:, None] * x_BD[b][None]
        return sum_nD.at[index_Bk[b]].add(outer_kD, mode="promise_in_bounds", unique_indices=True)

    return jax.lax.fori_loop(0, len(x_BD), add, jnp.zeros((count, x_BD.shape[1]), x_BD.dtype))


def add_elements(values_Bk: jax.Array, index_Bk: jax.Array, count: int) -> jax.Array:
    """Returns a vector to whose elements the values are added, (n,).

    Args:
        values_Bk: The values.
        index_Bk: Their elements.
        count: Number of elements, n.
    """
    return jnp.zeros(count, values_Bk.dtype).at[index_Bk].add(values_Bk, mode="promise_in_bounds")


@jax.custom_vjp
def decode_rows(values_Bk: jax.Array, index_Bk: jax.Array, w_nD: jax.Array) -> jax.Array:
    """Returns the product of sparse latents with the decoder, (B, D), with sparse gradients.

    Args:
        values_Bk: Latents.
        index_Bk: Their numbers, different ones for each token.
        w_nD: The decoder.
    """
    return sum_rows(values_Bk, index_Bk, w_nD)


def _decode_forward(values_Bk, index_Bk, w_nD):
    return sum_rows(values_Bk, index_Bk, w_nD), (values_Bk, index_Bk, w_nD)


def _decode_backward(saved, gradient_BD):
    values_Bk, index_Bk, w_nD = saved
    to_values = row_products(gradient_BD, index_Bk, w_nD)
    return to_values, None, add_rows(values_Bk, index_Bk, gradient_BD, len(w_nD))


decode_rows.defvjp(_decode_forward, _decode_backward)


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def largest_pre_activations(x_BD: jax.Array, w_Dn: jax.Array, b_n: jax.Array, k: int) -> tuple[jax.Array, jax.Array]:
    """Returns the k largest pre-activations of each token, (B, k), and their latents, with sparse gradients.

    No array of (B, n) is made: tokens are encoded in blocks that stay in the cache.

    Args:
        x_BD: Tokens, less the bias of the decoder.
        w_Dn: The encoder.
        b_n: Its bias.
        k: Pre-activations per token.
    """

    def encode(x_D: jax.Array) -> tuple[jax.Array, jax.Array]:
        values_k, index_k = jax.lax.top_k(x_D @ w_Dn + b_n, k)
        return values_k, index_k

    values_Bk, index_Bk = jax.lax.map(encode, x_BD, batch_size=ENCODED)
    return values_Bk, index_Bk


def _largest_forward(x_BD, w_Dn, b_n, k):
    values_Bk, index_Bk = largest_pre_activations(x_BD, w_Dn, b_n, k)
    return (values_Bk, index_Bk), (x_BD, w_Dn, index_Bk)


def _largest_backward(k, saved, gradients):
    x_BD, w_Dn, index_Bk = saved
    gradient_Bk, _ = gradients
    to_bias = add_elements(gradient_Bk, index_Bk, w_Dn.shape[1])
    to_matrix = add_rows(gradient_Bk, index_Bk, x_BD, w_Dn.shape[1]).T
    return sum_rows(gradient_Bk, index_Bk, w_Dn.T), to_matrix, to_bias


largest_pre_activations.defvjp(_largest_forward, _largest_backward)

"""Where a token stands. Axes: B batch (1 where rows are alike), L positions, K, J heads, D width, h size of a head."""

from __future__ import annotations

import jax
import jax.numpy as jnp

BASE = 10_000.0  # of the sinusoids (Vaswani 2017, section 3.5)


def documents(tokens_BL: jax.Array, end: int) -> jax.Array:
    """Number of the document in its row that each token belongs to; `end` is the last token of one."""
    ends_BL = (tokens_BL == end).astype(jnp.int32)
    return jnp.cumsum(ends_BL, axis=1) - ends_BL


def places(length: int, segments_BL: jax.Array | None) -> jax.Array:
    """Distance of each token from the first of its segment (of its row, where there are none), int32 (B, L)."""
    index_BL = jnp.arange(length, dtype=jnp.int32)[None]
    if segments_BL is None:
        return index_BL
    starts_BL = jnp.pad(segments_BL[:, 1:] != segments_BL[:, :-1], ((0, 0), (1, 0)), constant_values=True)
    return index_BL - jax.lax.cummax(jnp.where(starts_BL, index_BL, 0), axis=1)


def rotary(places_BL: jax.Array, head: int, base: float) -> tuple[jax.Array, jax.Array]:
    """cos and sin of position · base^(-2i/head), shape (B, L, head/2), float32 (Su 2021, equation 34)."""
    inverse_h = base ** (-jnp.arange(0, head, 2, dtype=jnp.float32) / head)
    angles_BLh = places_BL.astype(jnp.float32)[..., None] * inverse_h[None, None]
    return jnp.cos(angles_BLh), jnp.sin(angles_BLh)


def rotate(x_BKJLh: jax.Array, cos_BLh: jax.Array, sin_BLh: jax.Array) -> jax.Array:
    """Turns each pair (i, i + h/2) of the last axis by its position's angle."""
    cos, sin = (t[:, None, None].astype(x_BKJLh.dtype) for t in (cos_BLh, sin_BLh))
    a, b = jnp.split(x_BKJLh, 2, axis=-1)
    return jnp.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1)


def sinusoids(places_BL: jax.Array, width: int) -> jax.Array:
    """sin and cos of position / 10000^(2i/D), interleaved, shape (B, L, D), float32 (Vaswani 2017, section 3.5)."""
    cos_BLh, sin_BLh = rotary(places_BL, width, BASE)
    return jnp.stack([sin_BLh, cos_BLh], axis=-1).reshape(*places_BL.shape, width)


def slopes(heads: int) -> tuple[float, ...]:
    """ALiBi's slope of each head: 2^(-8i/n) for n a power of two; between them those of 2n, every other one,
    are added (Press 2022, section 3 and the released code)."""
    power = 1 << (heads.bit_length() - 1)
    first = [2.0 ** (-8 * (i + 1) / power) for i in range(power)]
    more = [2.0 ** (-8 * (i + 1) / (2 * power)) for i in range(0, 2 * power, 2)]
    return tuple(first + more[: heads - power])

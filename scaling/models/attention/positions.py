"""Position encodings, and the positions of tokens within documents.

Axes: B batch (1 where all rows are equal), L positions, K key-value heads, J heads projected with each, D width, h head
dimension (or half of it).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

SINUSOID_BASE = 10_000.0  # Vaswani 2017, section 3.5


def document_ids(tokens_BL: jax.Array, end: int) -> jax.Array:
    """Returns the index of each token's document within its row, int32 (B, L).

    Args:
        tokens_BL: int32 tokens.
        end: The token that ends a document, as its last token.
    """
    ends_BL = (tokens_BL == end).astype(jnp.int32)
    return jnp.cumsum(ends_BL, axis=1) - ends_BL


def segment_positions(length: int, segments_BL: jax.Array | None) -> jax.Array:
    """Returns the distance of each token from the start of its segment, int32 (B, L).

    Args:
        length: Tokens of a row.
        segments_BL: Segment of each token; None: each row is one segment, and B is 1.
    """
    index_BL = jnp.arange(length, dtype=jnp.int32)[None]
    if segments_BL is None:
        return index_BL
    starts_BL = jnp.pad(segments_BL[:, 1:] != segments_BL[:, :-1], ((0, 0), (1, 0)), constant_values=True)
    return index_BL - jax.lax.cummax(jnp.where(starts_BL, index_BL, 0), axis=1)


def rotary_angles(
    positions_BL: jax.Array, head: int, base: float, scaling: tuple[float, ...] = ()
) -> tuple[jax.Array, jax.Array]:
    """Returns cos and sin of position · base^(-2i/head), float32 (B, L, head/2) each (Su 2021, equation 34).

    Args:
        positions_BL: Positions.
        head: Head dimension.
        base: Base of the wavelengths.
        scaling: As for `scale_frequencies`.
    """
    inverse_h = scale_frequencies(base ** (-jnp.arange(0, head, 2, dtype=jnp.float32) / head), scaling)
    angles_BLh = positions_BL.astype(jnp.float32)[..., None] * inverse_h[None, None]
    return jnp.cos(angles_BLh), jnp.sin(angles_BLh)


def scale_frequencies(inverse_h: jax.Array, scaling: tuple[float, ...]) -> jax.Array:
    """Lowers rotary frequencies for contexts longer than those of training.

    Args:
        inverse_h: Frequencies, radians per position.
        scaling: Empty: unchanged. (factor,): all are divided by it (Chen 2023, equation 4). (factor, low, high,
            context), of Llama 3.1: those with less than `low` periods in the original context are divided by the
            factor, those with more than `high` periods are unchanged, and those between are interpolated.
    """
    if not scaling:
        return inverse_h
    if len(scaling) == 1:
        return inverse_h / scaling[0]
    factor, low, high, context = scaling
    unchanged_h = jnp.clip((context * inverse_h / (2 * jnp.pi) - low) / (high - low), 0, 1)
    return (1 - unchanged_h) * inverse_h / factor + unchanged_h * inverse_h


def apply_rotary(x_BKJLh: jax.Array, cos_BLh: jax.Array, sin_BLh: jax.Array) -> jax.Array:
    """Rotates each pair (i, i + h/2) of the last axis by the angle of its position.

    Args:
        x_BKJLh: Queries or keys.
        cos_BLh: Cosines of `rotary_angles`.
        sin_BLh: Sines of `rotary_angles`.
    """
    cos, sin = (t[:, None, None].astype(x_BKJLh.dtype) for t in (cos_BLh, sin_BLh))
    a, b = jnp.split(x_BKJLh, 2, axis=-1)
    return jnp.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1)


def sinusoidal_embedding(positions_BL: jax.Array, width: int) -> jax.Array:
    """Returns sin and cos of position / 10000^(2i/D), interleaved, float32 (B, L, D) (Vaswani 2017, section 3.5).

    Args:
        positions_BL: Positions.
        width: D, even.
    """
    cos_BLh, sin_BLh = rotary_angles(positions_BL, width, SINUSOID_BASE)
    return jnp.stack([sin_BLh, cos_BLh], axis=-1).reshape(*positions_BL.shape, width)


def alibi_slopes(heads: int) -> tuple[float, ...]:
    """Returns the ALiBi slope of each head (Press 2022, section 3 and the released code).

    2^(-8i/n) if the number of heads n is a power of two; otherwise the slopes of the next smaller power n, and then
    every other slope of 2n.
    """
    power = 1 << (heads.bit_length() - 1)
    slopes = [2.0 ** (-8 * (i + 1) / power) for i in range(power)]
    between = [2.0 ** (-8 * (i + 1) / (2 * power)) for i in range(0, 2 * power, 2)]
    return tuple(slopes + between[: heads - power])

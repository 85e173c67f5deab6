"""Which kernel computes attention: the one its hardware has, where it knows the scores.

Axes: B batch, L positions (queries), M positions (keys), K key-value heads, G query heads a key-value
head, H = K·G, h size of one head.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from scaling.config.validation import ConfigError
from scaling.distributed import sharding
from scaling.models.attention.softmax import Scores, alibi, blockwise, square

# The first is what `auto` means there. xla: the full square, its scores held in memory.
KERNELS = {"cpu": ("blockwise", "xla"), "gpu": ("cudnn", "xla", "blockwise"), "tpu": ("splash", "xla", "blockwise")}
TILE = 128  # positions: splash knows whole tiles only


def kernel(asked: str, platform: str) -> str:
    """The kernel that `asked` (of a Placement) names on a platform; ConfigError where it has none such."""
    there = KERNELS.get(platform, ("xla",))
    if asked == "auto":
        return there[0]
    if asked not in there:
        raise ConfigError(f"Placement.attention = {asked!r}: on {platform} allowed are auto, {', '.join(there)}")
    return asked


def fitting(name: str, how: Scores, length: int, head: int, dtype: Any) -> str:
    """`name`, or xla where that kernel does not know these scores, this length, head or type."""
    half = jnp.dtype(dtype) in (jnp.dtype(jnp.bfloat16), jnp.dtype(jnp.float16))
    fits = {
        "cudnn": half and head % 8 == 0 and head <= widest() and length % 2 == 0 and how.softcap is None,
        "splash": length % TILE == 0 and how.slopes is None,
    }
    return name if fits.get(name, True) else "xla"


def widest() -> int:
    """Largest head that cuDNN's flash attention takes: 256 from Hopper on, 128 before."""
    major = str(getattr(jax.devices()[0], "compute_capability", "0")).partition(".")[0]
    return 256 if int(major) >= 9 else 128


def attend(
    q_BKGLh: jax.Array,
    k_BKMh: jax.Array,
    v_BKMh: jax.Array,
    how: Scores,
    segments_BL: jax.Array | None = None,
    name: str = "auto",
) -> jax.Array:
    """Each query's weighted mean of v, shape of q; the softmax in float32.

    segments_BL: int32; a query sees the keys of its own segment alone. None: the whole row is one.
    name: of KERNELS; what it does not know, xla computes.
    """
    name = kernel(name, jax.default_backend()) if name == "auto" else name
    name = fitting(name, how, q_BKGLh.shape[3], q_BKGLh.shape[4], q_BKGLh.dtype)
    if name == "xla" and how.softcap is not None:
        return square(q_BKGLh, k_BKMh, v_BKMh, how, segments_BL)
    compute = {"blockwise": in_blocks, "splash": splash}.get(name, partial(dot_product, name=name))
    return compute(q_BKGLh, k_BKMh, v_BKMh, how, segments_BL)


def in_blocks(
    q_BKGLh: jax.Array, k_BKMh: jax.Array, v_BKMh: jax.Array, how: Scores, segments_BL: jax.Array | None
) -> jax.Array:
    """`blockwise`, which has sequences and heads side by side."""
    B, K, G, L, h = q_BKGLh.shape
    q_XLh = (q_BKGLh * how.scale).reshape(B * K * G, L, h)
    if G > 1:  # one row of products for each query head
        k_BKMh, v_BKMh = (jnp.repeat(t, G, axis=1) for t in (k_BKMh, v_BKMh))
    k_XMh, v_XMh = (t.reshape(B * K * G, L, h) for t in (k_BKMh, v_BKMh))
    return blockwise(q_XLh, k_XMh, v_XMh, segments_BL, how).reshape(B, K, G, L, h)


def dot_product(
    q_BKGLh: jax.Array, k_BKMh: jax.Array, v_BKMh: jax.Array, how: Scores, segments_BL: jax.Array | None, name: Any
) -> jax.Array:
    """jax.nn.dot_product_attention, by xla or cudnn."""
    B, K, G, L, h = q_BKGLh.shape
    q_BLHh, k_BLKh, v_BLKh = (t.swapaxes(1, 2) for t in (q_BKGLh.reshape(B, K * G, L, h), k_BKMh, v_BKMh))
    y_BLHh = jax.nn.dot_product_attention(
        q_BLHh,
        k_BLKh,
        v_BLKh,
        bias=None if how.slopes is None else alibi(0, L, 0, L, how.slopes)[None].astype(q_BLHh.dtype),
        mask=None if segments_BL is None else (segments_BL[:, :, None] == segments_BL[:, None, :])[:, None],
        scale=how.scale,
        is_causal=True,
        local_window_size=None if how.window is None else (how.window - 1, 0),
        implementation=name,
    )
    return y_BLHh.swapaxes(1, 2).reshape(B, K, G, L, h)


def splash(
    q_BKGLh: jax.Array,
    k_BKMh: jax.Array,
    v_BKMh: jax.Array,
    how: Scores,
    segments_BL: jax.Array | None,
    interpret: bool = False,
) -> jax.Array:
    """The TPU's block-sparse flash kernel; each device has its own sequences and heads.

    interpret: computed step by step on any hardware, for tests.
    """
    B, K, G, L, h = q_BKGLh.shape
    mesh = jax.sharding.get_abstract_mesh()
    q_BHLh = (q_BKGLh * how.scale).reshape(B, K * G, L, h)
    if mesh.empty:
        return one_device(q_BHLh, k_BKMh, v_BKMh, segments_BL, how, interpret).reshape(q_BKGLh.shape)
    over = tuple(a for a in sharding.ROWS if mesh.shape[a] > 1)
    heads = "tensor" if mesh.shape["tensor"] > 1 and K % mesh.shape["tensor"] == 0 else None
    at, rows = PartitionSpec(over or None, heads), PartitionSpec(over or None)
    segments = () if segments_BL is None else (segments_BL,)

    def mine(q: jax.Array, k: jax.Array, v: jax.Array, *segments: jax.Array) -> jax.Array:
        return one_device(q, k, v, segments[0] if segments else None, how, interpret)

    apart = jax.shard_map(mine, in_specs=(at, at, at, *(rows for _ in segments)), out_specs=at, check_vma=False)
    return apart(q_BHLh, k_BKMh, v_BKMh, *segments).reshape(q_BKGLh.shape)


def one_device(
    q_BHLh: jax.Array,
    k_BKMh: jax.Array,
    v_BKMh: jax.Array,
    segments_BL: jax.Array | None,
    how: Scores,
    interpret: bool,
) -> jax.Array:
    from jax.experimental.pallas.ops.tpu import splash_attention as kernels

    H, L = q_BHLh.shape[1:3]
    seen: Any = kernels.CausalMask((L, L))
    if how.window is not None:
        seen = kernels.LocalMask((L, L), (how.window - 1, 0), 0)
    tile = next(t for t in (512, 256, TILE) if L % t == 0)
    sizes = kernels.BlockSizes(
        block_q=tile, block_kv=tile, block_q_dkv=tile, block_kv_dkv=tile, block_q_dq=tile, block_kv_dq=tile
    )
    one = kernels.make_splash_mha(
        kernels.MultiHeadMask([seen] * H),
        block_sizes=sizes,
        head_shards=1,
        q_seq_shards=1,
        attn_logits_soft_cap=how.softcap,
        interpret=interpret,
    )
    if segments_BL is None:
        return jax.vmap(lambda q, k, v: one(q, k, v))(q_BHLh, k_BKMh, v_BKMh)
    return jax.vmap(lambda q, k, v, s: one(q, k, v, kernels.SegmentIds(s, s)))(q_BHLh, k_BKMh, v_BKMh, segments_BL)

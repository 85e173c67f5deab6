"""Kernels that compute attention: the one of the hardware where it supports the scores, else XLA.

Axes: B batch, L positions (queries), M positions (keys), K key-value heads, G query heads per key-value
head, H = K·G, h head dimension, X = B·H sequences and heads.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from scaling.config.validation import ConfigError
from scaling.distributed import sharding
from scaling.models.attention.softmax import ScoreConfig, alibi_bias, blockwise_attention, full_attention

# By platform; the first is what `auto` means. xla: full attention, with its scores in memory
KERNELS = {"cpu": ("blockwise", "xla"), "gpu": ("cudnn", "xla", "blockwise"), "tpu": ("splash", "xla", "blockwise")}
SPLASH_TILE = 128  # positions: splash attention supports multiples of it
SPLASH_BLOCKS = (512, 256, SPLASH_TILE)  # positions of one block, the largest that divides the length


def select_kernel(name: str, platform: str) -> str:
    """Returns the kernel for `Placement.attention` on a platform.

    Args:
        name: auto, or one of KERNELS.
        platform: Platform of JAX: cpu, gpu or tpu.

    Raises:
        ConfigError: The platform does not have that kernel.
    """
    names = KERNELS.get(platform, ("xla",))
    if name == "auto":
        return names[0]
    if name not in names:
        raise ConfigError(f"Placement.attention = {name!r}: on {platform}, must be one of auto, {', '.join(names)}")
    return name


def supported_kernel(name: str, config: ScoreConfig, length: int, head: int, dtype: Any) -> str:
    """Returns `name`, or xla if that kernel does not support the scores.

    Args:
        name: One of KERNELS.
        config: How scores are computed.
        length: Positions.
        head: Head dimension.
        dtype: Type of queries, keys and values.
    """
    half = jnp.dtype(dtype) in (jnp.dtype(jnp.bfloat16), jnp.dtype(jnp.float16))
    supported = {
        "cudnn": half and head % 8 == 0 and head <= max_cudnn_head() and length % 2 == 0 and config.softcap is None,
        "splash": length % SPLASH_TILE == 0 and config.slopes is None,
    }
    return name if supported.get(name, True) else "xla"


def max_cudnn_head() -> int:
    """Returns the largest head dimension of cuDNN's flash attention: 256 from Hopper on, 128 before."""
    major = str(getattr(jax.devices()[0], "compute_capability", "0")).partition(".")[0]
    return 256 if int(major) >= 9 else 128


def attend(
    q_BKGLh: jax.Array,
    k_BKMh: jax.Array,
    v_BKMh: jax.Array,
    config: ScoreConfig,
    segments_BL: jax.Array | None = None,
    name: str = "auto",
) -> jax.Array:
    """Returns causal attention, the weighted mean of v for each query, (B, K, G, L, h); the softmax is in float32.

    Args:
        q_BKGLh: Queries.
        k_BKMh: Keys.
        v_BKMh: Values.
        config: How scores are computed.
        segments_BL: int32; a query attends to keys of its own segment only. None: a row is one segment.
        name: auto, or one of KERNELS; xla computes what that kernel does not support.
    """
    name = select_kernel(name, jax.default_backend()) if name == "auto" else name
    name = supported_kernel(name, config, q_BKGLh.shape[3], q_BKGLh.shape[4], q_BKGLh.dtype)
    if name == "xla" and config.softcap is not None:
        return full_attention(q_BKGLh, k_BKMh, v_BKMh, config, segments_BL)
    kernels = {"blockwise": attend_blockwise, "splash": attend_splash}
    kernel = kernels.get(name, partial(attend_dot_product, implementation=name))
    return kernel(q_BKGLh, k_BKMh, v_BKMh, config, segments_BL)


def attend_blockwise(
    q_BKGLh: jax.Array, k_BKMh: jax.Array, v_BKMh: jax.Array, config: ScoreConfig, segments_BL: jax.Array | None
) -> jax.Array:
    """Computes `attend` by `blockwise_attention`, which has sequences and heads on one axis.

    Args:
        q_BKGLh: Queries.
        k_BKMh: Keys.
        v_BKMh: Values.
        config: How scores are computed.
        segments_BL: As for `attend`.
    """
    B, K, G, L, h = q_BKGLh.shape
    q_XLh = (q_BKGLh * config.scale).reshape(B * K * G, L, h)
    if G > 1:  # repeat keys and values for each query head
        k_BKMh, v_BKMh = (jnp.repeat(t, G, axis=1) for t in (k_BKMh, v_BKMh))
    k_XMh, v_XMh = (t.reshape(B * K * G, L, h) for t in (k_BKMh, v_BKMh))
    return blockwise_attention(q_XLh, k_XMh, v_XMh, segments_BL, config).reshape(B, K, G, L, h)


def attend_dot_product(
    q_BKGLh: jax.Array,
    k_BKMh: jax.Array,
    v_BKMh: jax.Array,
    config: ScoreConfig,
    segments_BL: jax.Array | None,
    implementation: Any,
) -> jax.Array:
    """Computes `attend` by `jax.nn.dot_product_attention`.

    Args:
        q_BKGLh: Queries.
        k_BKMh: Keys.
        v_BKMh: Values.
        config: How scores are computed.
        segments_BL: As for `attend`.
        implementation: xla or cudnn.
    """
    B, K, G, L, h = q_BKGLh.shape
    q_BLHh, k_BLKh, v_BLKh = (t.swapaxes(1, 2) for t in (q_BKGLh.reshape(B, K * G, L, h), k_BKMh, v_BKMh))
    y_BLHh = jax.nn.dot_product_attention(
        q_BLHh,
        k_BLKh,
        v_BLKh,
        bias=None if config.slopes is None else alibi_bias(0, L, 0, L, config.slopes)[None].astype(q_BLHh.dtype),
        mask=None if segments_BL is None else (segments_BL[:, :, None] == segments_BL[:, None, :])[:, None],
        scale=config.scale,
        is_causal=True,
        local_window_size=None if config.window is None else (config.window - 1, 0),
        implementation=implementation,
    )
    return y_BLHh.swapaxes(1, 2).reshape(B, K, G, L, h)


def attend_splash(
    q_BKGLh: jax.Array,
    k_BKMh: jax.Array,
    v_BKMh: jax.Array,
    config: ScoreConfig,
    segments_BL: jax.Array | None,
    interpret: bool = False,
) -> jax.Array:
    """Computes `attend` by the block-sparse flash kernel of TPUs; each device computes its own sequences and heads.

    Args:
        q_BKGLh: Queries.
        k_BKMh: Keys.
        v_BKMh: Values.
        config: How scores are computed.
        segments_BL: As for `attend`.
        interpret: Interpret the kernel on any hardware, for tests.
    """
    B, K, G, L, h = q_BKGLh.shape
    mesh = jax.sharding.get_abstract_mesh()
    q_BHLh = (q_BKGLh * config.scale).reshape(B, K * G, L, h)
    if mesh.empty:
        return splash_on_device(q_BHLh, k_BKMh, v_BKMh, segments_BL, config, interpret).reshape(q_BKGLh.shape)
    batch_axes = tuple(a for a in sharding.BATCH_AXES if mesh.shape[a] > 1)
    head_axis = "tensor" if mesh.shape["tensor"] > 1 and K % mesh.shape["tensor"] == 0 else None
    spec, rows = PartitionSpec(batch_axes or None, head_axis), PartitionSpec(batch_axes or None)
    segments = () if segments_BL is None else (segments_BL,)

    def on_device(q: jax.Array, k: jax.Array, v: jax.Array, *segments: jax.Array) -> jax.Array:
        return splash_on_device(q, k, v, segments[0] if segments else None, config, interpret)

    in_specs = (spec, spec, spec, *(rows for _ in segments))
    on_mesh = jax.shard_map(on_device, in_specs=in_specs, out_specs=spec, check_vma=False)
    return on_mesh(q_BHLh, k_BKMh, v_BKMh, *segments).reshape(q_BKGLh.shape)


def splash_on_device(
    q_BHLh: jax.Array,
    k_BKMh: jax.Array,
    v_BKMh: jax.Array,
    segments_BL: jax.Array | None,
    config: ScoreConfig,
    interpret: bool,
) -> jax.Array:
    """Computes splash attention on one device, (B, H, L, h); queries are scaled already, the rest as `attend_splash`.

    Args:
        q_BHLh: Queries times `config.scale`.
        k_BKMh: Keys.
        v_BKMh: Values.
        segments_BL: As for `attend`.
        config: How scores are computed.
        interpret: Interpret the kernel on any hardware.
    """
    from jax.experimental.pallas.ops.tpu import splash_attention as splash  # here: only TPUs use it

    H, L = q_BHLh.shape[1:3]
    mask: Any = splash.CausalMask((L, L))
    if config.window is not None:
        mask = splash.LocalMask((L, L), (config.window - 1, 0), 0)
    block = next(size for size in SPLASH_BLOCKS if L % size == 0)
    sizes = splash.BlockSizes(
        block_q=block, block_kv=block, block_q_dkv=block, block_kv_dkv=block, block_q_dq=block, block_kv_dq=block
    )
    kernel = splash.make_splash_mha(
        splash.MultiHeadMask([mask] * H),
        block_sizes=sizes,
        head_shards=1,
        q_seq_shards=1,
        attn_logits_soft_cap=config.softcap,
        interpret=interpret,
    )
    if segments_BL is None:
        return jax.vmap(lambda q, k, v: kernel(q, k, v))(q_BHLh, k_BKMh, v_BKMh)
    return jax.vmap(lambda q, k, v, s: kernel(q, k, v, splash.SegmentIds(s, s)))(q_BHLh, k_BKMh, v_BKMh, segments_BL)

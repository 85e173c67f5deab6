"""The decoder-only Transformer. Axes: B batch, L positions, D width, V vocabulary."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from scaling.config.model import ModelConfig
from scaling.config.validation import ConfigError
from scaling.distributed import sharding
from scaling.models.attention import positions
from scaling.models.attention.attention import Attention, Place
from scaling.models.experts import Experts
from scaling.models.linear import rows, scaled, weight
from scaling.models.mlp import mlp
from scaling.models.norm import norm
from scaling.models.parametrisation import multiplier

Aux = dict[str, jax.Array]  # what else a forward pass has measured: scalars


class Block(nnx.Module):
    """Attention, then an MLP, each added to the stream; normalised before, after, or both (norm_placement).

    pre: x + f(norm(x)) (Xiong 2020); post: norm(x + f(x)) (Vaswani 2017); sandwich: x + norm(f(norm(x)))
    (Ding 2021, section 2.4).
    """

    def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs) -> None:
        self.attention_norm = norm(config)
        self.attention = Attention(config, rngs=rngs)
        self.mlp_norm = norm(config)
        self.mlp = Experts(config, rngs=rngs) if config.experts else mlp(config, rngs=rngs)
        self.attention_out_norm, self.mlp_out_norm = (
            norm(config) if config.norm_placement == "sandwich" else None for _ in range(2)
        )
        self.placement = config.norm_placement
        last = "experts_out" if config.experts else "mlp_out"
        self.branches = tuple(multiplier(config, group, "forward") for group in ("attention_out", last))

    def __call__(self, x_BLD: jax.Array, place: Place, window: int | None) -> tuple[jax.Array, Aux]:
        x_BLD, _, aux = self.parts(x_BLD, lambda y_BLD: self.attention(y_BLD, place, window))
        return x_BLD, aux

    def parts(
        self, x_BLD: jax.Array, attention: Callable[[jax.Array], jax.Array]
    ) -> tuple[jax.Array, tuple[jax.Array, jax.Array], Aux]:
        """The stream after the block, and what `attention` and the MLP have added to it."""
        y_BLD = attention(self.before(self.attention_norm, x_BLD))
        seen_BLD = self.branch(y_BLD, self.attention_out_norm, self.branches[0])
        x_BLD = self.joined(x_BLD + seen_BLD, self.attention_norm)
        in_BLD = self.before(self.mlp_norm, x_BLD)
        y_BLD, aux = self.mlp(in_BLD) if isinstance(self.mlp, Experts) else (self.mlp(in_BLD), {})
        thought_BLD = self.branch(y_BLD, self.mlp_out_norm, self.branches[1])
        return self.joined(x_BLD + thought_BLD, self.mlp_norm), (seen_BLD, thought_BLD), aux

    def before(self, norm: Any, x_BLD: jax.Array) -> jax.Array:
        return x_BLD if self.placement == "post" else norm(x_BLD)

    def branch(self, y_BLD: jax.Array, out_norm: Any, by: float) -> jax.Array:
        return scaled(y_BLD if out_norm is None else out_norm(y_BLD), by)

    def joined(self, x_BLD: jax.Array, norm: Any) -> jax.Array:
        return norm(x_BLD) if self.placement == "post" else x_BLD


class Transformer(nnx.Module):
    """Tokens to logits. The layers' parameters are stacked on a leading axis.

    scan: loop over one compiled layer instead of unrolling all (compiles sooner, runs slower on CPU).
    remat: what the backward pass computes again instead of keeping it (KEPT).
    kernel: which one computes attention (kernels.py).
    None of them changes the numbers beyond rounding.
    """

    def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs) -> None:
        self.config = config
        self.embedding_VD = weight(rngs, (config.vocab, config.width), EMBEDDING_STD)

        @nnx.split_rngs(splits=config.layers)
        @nnx.vmap
        def stack(rngs: nnx.Rngs) -> Block:
            return Block(config, rngs=rngs)

        self.blocks = stack(rngs)
        self.norm = None if config.norm_placement == "post" else norm(config)  # a last block's post-norm is the last
        if not config.tied:
            self.head_DV = weight(rngs, (config.width, config.vocab), EMBEDDING_STD)
        if config.position_length is not None:
            self.position_LD = weight(rngs, (config.position_length, config.width), EMBEDDING_STD)

    def embed(self, tokens_BL: jax.Array, place: Place, dtype: Any) -> jax.Array:
        """The residual stream before the first layer."""
        config, (_, L) = self.config, tokens_BL.shape
        table_VD = sharding.constrain(self.embedding_VD[...].astype(dtype), sharding.RULES["V"], None)
        x_BLD = table_VD[tokens_BL]
        if config.embedding_scale:
            x_BLD = x_BLD * jnp.asarray(config.width**0.5, dtype)
        if config.positions == "sinusoidal":
            x_BLD = x_BLD + positions.sinusoids(place.places_BL, config.width).astype(dtype)
        if config.position_length is not None:
            if config.position_length < L:
                raise ConfigError(f"{L} tokens: the model has positions for position_length = {config.position_length}")
            x_BLD = x_BLD + self.position_LD[...].astype(dtype)[place.places_BL]
        return sharding.rows(x_BLD)

    def hidden(
        self,
        tokens_BL: jax.Array,
        segments_BL: jax.Array | None,
        dtype: Any,
        scan: bool,
        remat: str,
        kernel: str = "auto",
    ) -> tuple[jax.Array, Aux]:
        """What the head reads: the normalised stream after the last layer, (B, L, D); and means over the layers."""
        place = Place(positions.places(tokens_BL.shape[1], segments_BL), segments_BL, kernel)
        graph, stacked = nnx.split(self.blocks)
        windows = self.config.windows

        def layer(x_BLD: jax.Array, state: Any, place: Place, window: int | None) -> tuple[jax.Array, Aux]:
            x_BLD, aux = nnx.merge(graph, state)(x_BLD, place, window)
            return sharding.rows(x_BLD), aux

        if remat != "none":
            layer = jax.checkpoint(layer, prevent_cse=not scan, static_argnums=3, policy=KEPT[remat])

        def through(x_BLD: jax.Array, state: Any, windows: tuple[int | None, ...]) -> tuple[jax.Array, list[Aux]]:
            means = []
            for one, window in zip(unstack(state, len(windows)), windows, strict=True):
                x_BLD, aux = layer(x_BLD, one, place, window)
                means.append(aux)
            return x_BLD, means

        x_BLD = self.embed(tokens_BL, place, dtype)
        if scan:
            period = repeats(windows)
            grouped = jax.tree.map(lambda t: t.reshape(-1, period, *t.shape[1:]), stacked)
            x_BLD, means = jax.lax.scan(lambda x, state: through(x, state, windows[:period]), x_BLD, grouped)
        else:
            x_BLD, means = through(x_BLD, stacked, windows)
        aux = jax.tree.map(lambda *of: jnp.mean(jnp.stack(of)), *means)
        return self.read(x_BLD), aux

    def read(self, x_BLD: jax.Array) -> jax.Array:
        """What the head reads of the stream after the last layer."""
        x_BLD = x_BLD if self.norm is None else self.norm(x_BLD)
        return scaled(x_BLD, multiplier(self.config, "head", "forward"))

    def head(self) -> jax.Array:
        """The matrix from the stream to the logits (before any soft-cap), shape (D, V)."""
        return self.embedding_VD[...].T if self.config.tied else self.head_DV[...]

    def forward(
        self,
        tokens_BL: jax.Array,
        segments_BL: jax.Array | None = None,
        *,
        dtype: Any = jnp.float32,
        scan: bool = False,
        remat: str = "none",
        kernel: str = "auto",
    ) -> tuple[jax.Array, Aux]:
        """Logits, shape (B, L, V), float32, and the experts' losses and figures (empty in a dense model).

        segments_BL: int32; a token sees those of its own segment alone, and its place is counted from its start
        (documents packed in a row; padding is a segment of its own). None: a row is one segment.
        """
        x_BLD, aux = self.hidden(tokens_BL, segments_BL, dtype, scan, remat, kernel)
        return self.logits(x_BLD), aux

    def logits(self, x_BLD: jax.Array) -> jax.Array:
        """Of what the head reads, shape (B, L, V), float32."""
        logits_BLV, cap = rows(x_BLD, self.head(), jnp.float32), self.config.final_softcap
        return logits_BLV if cap is None else cap * jnp.tanh(logits_BLV / cap)

    def __call__(self, tokens_BL: jax.Array, segments_BL: jax.Array | None = None, **how: Any) -> jax.Array:
        """The logits alone."""
        return self.forward(tokens_BL, segments_BL, **how)[0]


# What a layer keeps for its backward pass beside its input: nothing, or its products with weights.
KEPT: dict[str, Any] = {"full": None, "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable}
EMBEDDING_STD = 0.02  # of embedding and head (Radford 2019): small logits, so the first loss is ln V


def repeats(windows: tuple[int | None, ...]) -> int:
    """Fewest layers whose windows, repeated, are those of all."""
    n = len(windows)
    return next(p for p in range(1, n + 1) if n % p == 0 and windows[:p] * (n // p) == windows)


def unstack(stacked: Any, layers: int) -> list[Any]:
    """The layers' states, by one split a leaf: its gradient is one concatenation."""
    leaves, tree = jax.tree.flatten(stacked)
    split = [jax.lax.split(leaf, (1,) * layers, axis=0) for leaf in leaves]
    return [jax.tree.unflatten(tree, [parts[i][0] for parts in split]) for i in range(layers)]

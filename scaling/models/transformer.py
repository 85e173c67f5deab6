"""The decoder-only Transformer. Axes: B batch, L positions, D width, V vocabulary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from scaling.config.model import ModelConfig
from scaling.config.validation import ConfigError
from scaling.distributed import sharding
from scaling.models.attention import positions
from scaling.models.attention.attention import TokenPositions, make_attention
from scaling.models.experts import Experts
from scaling.models.linear import normal_param, project, scale
from scaling.models.mlp import make_mlp
from scaling.models.norm import make_norm
from scaling.models.parametrisation import multiplier

EMBEDDING_STD = 0.02  # of embedding and head (Radford 2019): small logits, so the first loss is ln V
# What a layer keeps for its backward pass besides its input: nothing, or its products with weights
CHECKPOINT_POLICIES: dict[str, Any] = {"full": None, "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable}
Aux = dict[str, jax.Array]  # scalars that a forward pass measures besides the logits


@dataclass(frozen=True)
class ForwardOptions:
    """How a forward pass is computed; but for the type, options change the numbers by rounding only.

    Attributes:
        dtype: Type of products and activations.
        scan: Loop over one compiled layer instead of unrolling all: compiles faster, runs slower on CPU.
        remat: What the backward pass recomputes: none, or a key of CHECKPOINT_POLICIES.
        kernel: Attention kernel (scaling/models/attention/kernels.py).
    """

    dtype: Any = jnp.float32
    scan: bool = False
    remat: str = "none"
    kernel: str = "auto"


DEFAULT_OPTIONS = ForwardOptions()


class Block(nnx.Module):
    """A layer, (B, L, D) -> (B, L, D): attention, then an MLP or experts, each added to the residual stream.

    pre: x + f(norm(x)) (Xiong 2020); post: norm(x + f(x)) (Vaswani 2017); sandwich: x + norm(f(norm(x)))
    (Ding 2021, section 2.4).
    """

    def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs) -> None:
        self.attention_norm = make_norm(config)
        self.attention = make_attention(config, rngs=rngs)
        self.mlp_norm = make_norm(config)
        self.mlp = Experts(config, rngs=rngs) if config.experts else make_mlp(config, rngs=rngs)
        self.attention_out_norm, self.mlp_out_norm = (
            make_norm(config) if config.norm_placement == "sandwich" else None for _ in range(2)
        )
        self.placement = config.norm_placement
        mlp_group = "experts_out" if config.experts else "mlp_out"
        self.branches = tuple(multiplier(config, group, "forward") for group in ("attention_out", mlp_group))

    def __call__(self, x_BLD: jax.Array, token_positions: TokenPositions, window: int | None) -> tuple[jax.Array, Aux]:
        """Returns the stream after the layer, and what its experts measure."""
        x_BLD, _, aux = self.apply_branches(x_BLD, lambda y_BLD: self.attention(y_BLD, token_positions, window))
        return x_BLD, aux

    def apply_branches(
        self,
        x_BLD: jax.Array,
        attention: Callable[[jax.Array], jax.Array],
        edit: Callable[[str, jax.Array], jax.Array] | None = None,
    ) -> tuple[jax.Array, tuple[jax.Array, jax.Array], Aux]:
        """Applies the layer with a given computation of attention.

        Args:
            x_BLD: The residual stream.
            attention: Maps the normalised stream to the output of attention, both (B, L, D).
            edit: Maps `attention`, `mlp` or `residual` and what attention or the MLP adds to the stream, or the stream
                after the layer, to the activations in their place, both (B, L, D). None: nothing is edited.

        Returns:
            The stream after the layer, what attention and the MLP have added to it, and what experts measure.
        """
        y_BLD = attention(self._pre_norm(self.attention_norm, x_BLD))
        attention_BLD = self._scale_branch(y_BLD, self.attention_out_norm, self.branches[0])
        attention_BLD = attention_BLD if edit is None else edit("attention", attention_BLD)
        x_BLD = self._post_norm(self.attention_norm, x_BLD + attention_BLD)
        in_BLD = self._pre_norm(self.mlp_norm, x_BLD)
        y_BLD, aux = self.mlp(in_BLD) if isinstance(self.mlp, Experts) else (self.mlp(in_BLD), {})
        mlp_BLD = self._scale_branch(y_BLD, self.mlp_out_norm, self.branches[1])
        mlp_BLD = mlp_BLD if edit is None else edit("mlp", mlp_BLD)
        x_BLD = self._post_norm(self.mlp_norm, x_BLD + mlp_BLD)
        return x_BLD if edit is None else edit("residual", x_BLD), (attention_BLD, mlp_BLD), aux

    def _pre_norm(self, norm: Any, x_BLD: jax.Array) -> jax.Array:
        return x_BLD if self.placement == "post" else norm(x_BLD)

    def _scale_branch(self, y_BLD: jax.Array, out_norm: Any, factor: float) -> jax.Array:
        return scale(y_BLD if out_norm is None else out_norm(y_BLD), factor)

    def _post_norm(self, norm: Any, x_BLD: jax.Array) -> jax.Array:
        return norm(x_BLD) if self.placement == "post" else x_BLD


class Transformer(nnx.Module):
    """A decoder, tokens (B, L) -> logits (B, L, V). Parameters of the layers are stacked along a leading axis."""

    def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs) -> None:
        self.config = config
        self.embedding_VD = normal_param(rngs, (config.vocab, config.width), EMBEDDING_STD)

        @nnx.split_rngs(splits=config.layers)
        @nnx.vmap
        def stack(rngs: nnx.Rngs) -> Block:
            return Block(config, rngs=rngs)

        self.blocks = stack(rngs)
        self.norm = None if config.norm_placement == "post" else make_norm(config)  # post: the last block ends in one
        if not config.tied:
            self.head_DV = normal_param(rngs, (config.width, config.vocab), EMBEDDING_STD)
        if config.position_length is not None:
            self.position_LD = normal_param(rngs, (config.position_length, config.width), EMBEDDING_STD)

    def embed(self, tokens_BL: jax.Array, token_positions: TokenPositions, dtype: Any) -> jax.Array:
        """Returns the residual stream before the first layer, (B, L, D).

        Args:
            tokens_BL: int32 tokens.
            token_positions: Their positions.
            dtype: Type of the stream.

        Raises:
            ConfigError: There are more tokens than learned positions.
        """
        config, (_, L) = self.config, tokens_BL.shape
        table_VD = sharding.constrain_sharding(self.embedding_VD[...].astype(dtype), sharding.AXIS_RULES["V"], None)
        x_BLD = table_VD[tokens_BL]
        if config.embedding_scale:
            x_BLD = x_BLD * jnp.asarray(config.width**0.5, dtype)
        if config.positions == "sinusoidal":
            encoding_BLD = positions.sinusoidal_embedding(token_positions.positions_BL, config.width)
            x_BLD = x_BLD + encoding_BLD.astype(dtype)
        if config.position_length is not None:
            if config.position_length < L:
                raise ConfigError(f"{L} tokens: must be at most ModelConfig.position_length = {config.position_length}")
            x_BLD = x_BLD + self.position_LD[...].astype(dtype)[token_positions.positions_BL]
        return sharding.shard_sequences(x_BLD)

    def hidden_states(
        self, tokens_BL: jax.Array, segments_BL: jax.Array | None = None, options: ForwardOptions = DEFAULT_OPTIONS
    ) -> tuple[jax.Array, Aux]:
        """Returns the inputs of the head, (B, L, D), and the means over layers of what experts measure.

        Args:
            tokens_BL: int32 tokens.
            segments_BL: As for `forward`.
            options: How it is computed.
        """
        token_positions = TokenPositions(
            positions.segment_positions(tokens_BL.shape[1], segments_BL), segments_BL, options.kernel
        )
        graph, stacked = nnx.split(self.blocks)
        windows = self.config.windows

        def layer(
            x_BLD: jax.Array, state: Any, token_positions: TokenPositions, window: int | None
        ) -> tuple[jax.Array, Aux]:
            x_BLD, aux = nnx.merge(graph, state)(x_BLD, token_positions, window)
            return sharding.shard_sequences(x_BLD), aux

        if options.remat != "none":
            policy = CHECKPOINT_POLICIES[options.remat]
            layer = jax.checkpoint(layer, prevent_cse=not options.scan, static_argnums=3, policy=policy)

        def apply_layers(x_BLD: jax.Array, state: Any, windows: tuple[int | None, ...]) -> tuple[jax.Array, list[Aux]]:
            measures = []
            for layer_state, window in zip(unstack_layers(state, len(windows)), windows, strict=True):
                x_BLD, aux = layer(x_BLD, layer_state, token_positions, window)
                measures.append(aux)
            return x_BLD, measures

        x_BLD = self.embed(tokens_BL, token_positions, options.dtype)
        if options.scan:
            period = window_period(windows)
            grouped = jax.tree.map(lambda t: t.reshape(-1, period, *t.shape[1:]), stacked)
            x_BLD, measures = jax.lax.scan(lambda x, state: apply_layers(x, state, windows[:period]), x_BLD, grouped)
        else:
            x_BLD, measures = apply_layers(x_BLD, stacked, windows)
        aux = jax.tree.map(lambda *values: jnp.mean(jnp.stack(values)), *measures)
        return self.head_inputs(x_BLD), aux

    def head_inputs(self, x_BLD: jax.Array) -> jax.Array:
        """Returns the inputs of the head, (B, L, D), from the stream after the last layer."""
        x_BLD = x_BLD if self.norm is None else self.norm(x_BLD)
        return scale(x_BLD, multiplier(self.config, "head", "forward"))

    def head_matrix(self) -> jax.Array:
        """Returns the matrix from the inputs of the head to the logits (before any soft-cap), (D, V)."""
        return self.embedding_VD[...].T if self.config.tied else self.head_DV[...]

    def forward(
        self, tokens_BL: jax.Array, segments_BL: jax.Array | None = None, options: ForwardOptions = DEFAULT_OPTIONS
    ) -> tuple[jax.Array, Aux]:
        """Returns the logits, float32 (B, L, V), and what experts measure (empty for a dense model).

        Args:
            tokens_BL: int32 tokens.
            segments_BL: int32; a token attends to its own segment only, and its position is counted from the start of
                the segment (for documents packed in a row; padding is a segment). None: each row is one segment.
            options: How it is computed.
        """
        x_BLD, aux = self.hidden_states(tokens_BL, segments_BL, options)
        return self.logits(x_BLD), aux

    def logits(self, x_BLD: jax.Array) -> jax.Array:
        """Returns the logits, float32 (B, L, V), from the inputs of the head."""
        logits_BLV, cap = project(x_BLD, self.head_matrix(), jnp.float32), self.config.final_softcap
        return logits_BLV if cap is None else cap * jnp.tanh(logits_BLV / cap)

    def __call__(
        self, tokens_BL: jax.Array, segments_BL: jax.Array | None = None, options: ForwardOptions = DEFAULT_OPTIONS
    ) -> jax.Array:
        """Returns the logits of `forward` alone."""
        return self.forward(tokens_BL, segments_BL, options)[0]


def window_period(windows: tuple[int | None, ...]) -> int:
    """Returns the smallest number of layers whose windows, repeated, give the windows of all layers."""
    n = len(windows)
    return next(p for p in range(1, n + 1) if n % p == 0 and windows[:p] * (n // p) == windows)


def unstack_layers(stacked: Any, layers: int) -> list[Any]:
    """Splits stacked parameters into one tree per layer, with one split per leaf: its gradient is one concatenation.

    Args:
        stacked: Tree of parameters with a leading axis of layers.
        layers: Number of layers.
    """
    leaves, tree = jax.tree.flatten(stacked)
    split = [jax.lax.split(leaf, (1,) * layers, axis=0) for leaf in leaves]
    return [jax.tree.unflatten(tree, [parts[i][0] for parts in split]) for i in range(layers)]

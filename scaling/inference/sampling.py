"""Text generation, token by token: greedy, with a temperature, among the top k, or within the top p.

Axes: B rows, L positions of the longest prompt, V vocabulary, T tokens of a prompt and its continuation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from scaling.config.validation import require
from scaling.distributed import sharding
from scaling.inference import kv_cache
from scaling.inference.activations import edited_logits
from scaling.inference.load import TrainedModel
from scaling.inference.options import Sampling
from scaling.models.attention.positions import document_ids, segment_positions
from scaling.models.transformer import ForwardOptions

SampleTokens = Callable[..., jax.Array]  # (logits_BV, draw) -> tokens, int32 (B,)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Draw:
    """The inputs that determine the random numbers of a new token.

    Attributes:
        ids_B: Id of each row, uint32; None for its index in the batch.
        seed: The seed, uint32.
        index: Index of the new token, int32.
    """

    ids_B: jax.Array | None
    seed: jax.Array
    index: jax.Array


def filter_logits(logits_BV: jax.Array, sampling: Sampling) -> jax.Array:
    """Returns logits divided by the temperature, -inf for tokens outside the top k or the top p.

    Args:
        logits_BV: Logits, float32.
        sampling: Its temperature must be above 0.
    """
    logits_BV = logits_BV / sampling.temperature
    if 0 < sampling.top_k < logits_BV.shape[1]:
        smallest_B1 = jax.lax.top_k(logits_BV, sampling.top_k)[0][:, -1:]
        logits_BV = jnp.where(logits_BV < smallest_B1, -jnp.inf, logits_BV)
    if sampling.top_p < 1:
        sorted_BV = -jnp.sort(-logits_BV, axis=-1)
        p_BV = jax.nn.softmax(sorted_BV, axis=-1)
        in_top_p_BV = jnp.cumsum(p_BV, axis=-1) - p_BV < sampling.top_p  # always true of the most likely token
        smallest_B1 = jnp.min(jnp.where(in_top_p_BV, sorted_BV, jnp.inf), axis=-1, keepdims=True)
        logits_BV = jnp.where(logits_BV < smallest_B1, -jnp.inf, logits_BV)
    return logits_BV


def sample_tokens(logits_BV: jax.Array, sampling: Sampling, draw: Draw) -> jax.Array:
    """Samples the next token of each row, int32 (B,); it depends only on `draw` and the logits of the row.

    Args:
        logits_BV: Logits, float32.
        sampling: How a token is sampled.
        draw: Seed, row ids and index of the token.
    """
    if sampling.temperature == 0:
        return jnp.argmax(logits_BV, axis=-1).astype(jnp.int32)

    def sample_row(row_id: jax.Array, logits_V: jax.Array) -> jax.Array:
        key = jax.random.key(draw.seed, impl="threefry2x32")
        return jax.random.categorical(jax.random.fold_in(jax.random.fold_in(key, row_id), draw.index), logits_V)

    ids_B = jnp.arange(len(logits_BV)) if draw.ids_B is None else draw.ids_B
    return jax.vmap(sample_row)(ids_B, filter_logits(logits_BV, sampling)).astype(jnp.int32)


def check_length(model: TrainedModel, prompts: list[np.ndarray], tokens: int) -> None:
    """Raises ConfigError if a model with learned positions has too few of them.

    Args:
        model: The model.
        prompts: Tokens of each prompt.
        tokens: New tokens per prompt.
    """
    longest, limit = max(len(prompt) for prompt in prompts) + tokens, model.model.position_length
    require(
        limit is None or longest <= limit,
        f"--tokens {tokens}: with a prompt of {longest - tokens} tokens, the text exceeds the model's {limit} "
        "learned positions",
    )


def generate(
    model: TrainedModel,
    prompts: list[np.ndarray],
    tokens: int,
    sampling: Sampling,
    *,
    seed: int = 0,
    cache: bool = True,
) -> Iterator[np.ndarray]:
    """Generates a continuation of each prompt, a token at a time.

    Args:
        model: The model.
        prompts: Tokens of each prompt, at least one.
        tokens: New tokens per prompt.
        sampling: How a token is sampled.
        seed: Seed of the random numbers.
        cache: Whether to cache keys and values; otherwise the whole sequence is recomputed for each token.

    Yields:
        The next token of each prompt, int32 (B,).

    Raises:
        ConfigError: The text exceeds the learned positions of the model.
    """
    check_length(model, prompts, tokens)
    lengths_B = np.array([len(prompt) for prompt in prompts], np.int32)
    prompts_BL = np.zeros((len(prompts), lengths_B.max()), np.int32)
    for row, prompt in zip(prompts_BL, prompts, strict=True):
        row[: len(prompt)] = prompt
    if cache:
        sampler = CachedSampler(model, sampling, kv_cache.split_blocks(model.params, model.model.layers))
        yield from sampler(prompts_BL, lengths_B, tokens, np.arange(len(prompts)), seed)
    else:
        yield from _generate_uncached(model, prompts_BL, lengths_B, tokens, sampling, seed)


def text_token_mask(model: TrainedModel) -> jax.Array:
    """Returns 0 for tokens that stand for text, -inf for the rest of the vocabulary, float32 (V,)."""
    return jnp.where(np.arange(model.model.vocab) < model.tokenizer.vocab, 0.0, -jnp.inf)


def _text_sampler(model: TrainedModel, sampling: Sampling) -> SampleTokens:
    """Returns `sample_tokens` restricted to tokens that stand for text."""
    mask_V = text_token_mask(model)
    return lambda logits_BV, draw: sample_tokens(logits_BV + mask_V[None], sampling, draw)


def _segments(model: TrainedModel, tokens_BL: jax.Array) -> jax.Array:
    end = model.config.data.document_end
    return jnp.zeros_like(tokens_BL) if end is None else document_ids(tokens_BL, end)


class CachedSampler:
    """Generates with a cache: one pass over the prompts, then one compiled step per token.

    Each shape is compiled once. Inside a mesh, rows are spread over its devices, whose number must divide them.
    """

    def __init__(self, model: TrainedModel, sampling: Sampling, parts: tuple[Any, list[Any]]) -> None:
        """Prepares the compiled functions.

        Args:
            model: The model.
            sampling: How a token is drawn.
            parts: The model's parameters, split by `kv_cache.split_blocks`.
        """
        kv_cache.check_cacheable(model.model, model.graph, model.params)
        self.model, self.parts = model, parts
        self.sample = _text_sampler(model, sampling)
        self.abstract = nnx.eval_shape(lambda: nnx.merge(model.graph, model.params))
        self.compiled_begin = jax.jit(self.begin, static_argnums=1)
        self.compiled_step = jax.jit(self.step, donate_argnums=2)

    def begin(self, prompts_BL: jax.Array, tokens: int) -> tuple[kv_cache.NewTokens, kv_cache.Cache]:
        """Returns the prompts as new tokens, and an empty cache.

        Args:
            prompts_BL: Prompts, int32, padded.
            tokens: Tokens that will be generated.
        """
        B, L = prompts_BL.shape
        segments_BL = _segments(self.model, prompts_BL)
        slots_BL = jnp.broadcast_to(jnp.arange(L, dtype=jnp.int32), (B, L))
        positions_BL = jnp.broadcast_to(segment_positions(L, segments_BL), (B, L))
        new = kv_cache.NewTokens(prompts_BL, slots_BL, segments_BL, positions_BL)
        cache = kv_cache.empty_cache(self.abstract, B, L + tokens, self.model.dtype)
        return jax.tree.map(shard_rows, (new, cache))

    def step(
        self, rest: Any, blocks: Any, cache: kv_cache.Cache, new: kv_cache.NewTokens, last_B: jax.Array, draw: Draw
    ) -> tuple[kv_cache.NewTokens, kv_cache.Cache]:
        """Returns the next token of each row, and the cache with all earlier tokens; the cache is donated.

        Args:
            rest: Parameters except those of the layers.
            blocks: Parameters of each layer.
            cache: The past tokens.
            new: Tokens that are not in the cache yet.
            last_B: Index in `new` of each row's last token.
            draw: Seed, row ids and index of the token.
        """
        transformer, end = nnx.merge(self.model.graph, rest), self.model.config.data.document_end
        x_BLD, cache = kv_cache.extend_cache(transformer, blocks, cache, new, self.model.dtype, self.model.edit)
        x_B1D = jnp.take_along_axis(x_BLD, last_B[:, None, None], axis=1)
        token_B = self.sample(transformer.logits(x_B1D)[:, 0], draw)
        previous_B, slot_B, segment_B, position_B = (
            jnp.take_along_axis(values_BL, last_B[:, None], axis=1)[:, 0]
            for values_BL in (new.tokens_BL, new.slots_BL, new.segments_BL, new.positions_BL)
        )
        is_end_B = jnp.zeros_like(previous_B) if end is None else (previous_B == end).astype(jnp.int32)
        fields = (token_B, slot_B + 1, segment_B + is_end_B, jnp.where(is_end_B, 0, position_B + 1))
        return jax.tree.map(shard_rows, (kv_cache.NewTokens(*(values_B[:, None] for values_B in fields)), cache))

    def __call__(
        self, prompts_BL: np.ndarray, lengths_B: np.ndarray, tokens: int, ids_B: np.ndarray, seed: int
    ) -> Iterator[np.ndarray]:
        """Yields the next token of each prompt, int32 (B,), `tokens` times.

        Args:
            prompts_BL: Prompts, int32, padded to L.
            lengths_B: Length of each prompt.
            tokens: New tokens per prompt.
            ids_B: Id of each row, for its random numbers.
            seed: Seed of the random numbers.
        """
        rest, blocks = self.parts
        new, cache = self.compiled_begin(prompts_BL, tokens)
        last_B, row_ids_B = jnp.asarray(lengths_B - 1), jnp.asarray(ids_B, jnp.uint32)
        for index in range(tokens):
            draw = Draw(row_ids_B, jnp.uint32(seed), jnp.int32(index))
            new, cache = self.compiled_step(rest, blocks, cache, new, last_B, draw)
            last_B = jnp.zeros_like(last_B)
            yield np.asarray(new.tokens_BL)[:, 0]


def shard_rows(x: jax.Array) -> jax.Array:
    """Spreads the first axis over the devices of the current mesh, where there is one."""
    return sharding.constrain_sharding(x, sharding.BATCH_AXES, *(None,) * (x.ndim - 1))


def _generate_uncached(
    model: TrainedModel, prompts_BL: np.ndarray, lengths_B: np.ndarray, tokens: int, sampling: Sampling, seed: int
) -> Iterator[np.ndarray]:
    """Recomputes the whole sequence for each token: padding after a token does not affect it, so one shape suffices."""
    rows, tokens_BT = np.arange(len(prompts_BL)), np.pad(prompts_BL, ((0, 0), (0, tokens)))
    sample, options = _text_sampler(model, sampling), ForwardOptions(dtype=model.dtype)

    @jax.jit
    def next_tokens(params: Any, tokens_BT: jax.Array, last_B: jax.Array, draw: Draw) -> jax.Array:
        if model.edit is not None:
            logits_BTV = edited_logits(model.graph, model.config, model.dtype, model.edit, params, tokens_BT)
        else:
            segments_BT = None if model.config.data.document_end is None else _segments(model, tokens_BT)
            logits_BTV = nnx.merge(model.graph, params)(tokens_BT, segments_BT, options)
        return sample(jnp.take_along_axis(logits_BTV, last_B[:, None, None], axis=1)[:, 0], draw)

    for index in range(tokens):
        draw = Draw(None, jnp.uint32(seed), jnp.int32(index))
        token_B = np.asarray(next_tokens(model.params, tokens_BT, lengths_B + index - 1, draw))
        tokens_BT[rows, lengths_B + index] = token_B
        yield token_B

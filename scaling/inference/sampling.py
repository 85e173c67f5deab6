"""Text from a trained run: greedy, by temperature, among the k likeliest, or within the likeliest share p.

Axes: B prompts, L positions of the longest, V vocabulary, T all tokens, prompts and what follows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from scaling.config.validation import ValidatedConfig, require
from scaling.distributed import sharding
from scaling.inference import kv_cache
from scaling.inference.load import TrainedModel
from scaling.inference.options import Sampling
from scaling.models.attention import positions


def filter_logits(logits_BV: jax.Array, how: Sampling) -> jax.Array:
    """Logits by their temperature (above 0), -inf where a token may not be drawn."""
    logits_BV = logits_BV / how.temperature
    if 0 < how.top_k < logits_BV.shape[1]:
        least_B1 = jax.lax.top_k(logits_BV, how.top_k)[0][:, -1:]
        logits_BV = jnp.where(logits_BV < least_B1, -jnp.inf, logits_BV)
    if how.top_p < 1:
        falling_BV = -jnp.sort(-logits_BV, axis=-1)
        share_BV = jax.nn.softmax(falling_BV, axis=-1)
        kept_BV = jnp.cumsum(share_BV, axis=-1) - share_BV < how.top_p  # the likeliest always
        least_B1 = jnp.min(jnp.where(kept_BV, falling_BV, jnp.inf), axis=-1, keepdims=True)
        logits_BV = jnp.where(logits_BV < least_B1, -jnp.inf, logits_BV)
    return logits_BV


def sample_tokens(
    logits_BV: jax.Array, how: Sampling, seed: jax.Array, n: jax.Array, rows_B: jax.Array | None = None
) -> jax.Array:
    """The n-th new token of each row, int32 (B,): its numbers depend on the seed, its row and n alone.

    rows_B: what each row is called, uint32; None: by its place in the batch.
    """
    if how.temperature == 0:
        return jnp.argmax(logits_BV, axis=-1).astype(jnp.int32)

    def one(row: jax.Array, logits_V: jax.Array) -> jax.Array:
        key = jax.random.key(seed, impl="threefry2x32")
        return jax.random.categorical(jax.random.fold_in(jax.random.fold_in(key, row), n), logits_V)

    rows_B = jnp.arange(len(logits_BV)) if rows_B is None else rows_B
    return jax.vmap(one)(rows_B, filter_logits(logits_BV, how)).astype(jnp.int32)


def check_length(of: TrainedModel, prompts: list[np.ndarray], tokens: int) -> None:
    """ConfigError where the model has no positions for so many tokens."""
    longest, most = max(len(prompt) for prompt in prompts) + tokens, of.model.position_length
    require(
        most is None or longest <= most,
        f"--tokens {tokens}: with a prompt of {longest - tokens} tokens they are more than the {most} positions that "
        "the model has learned",
    )


def generate(
    of: TrainedModel, prompts: list[np.ndarray], tokens: int, how: Sampling, *, seed: int = 0, cache: bool = True
) -> Iterator[np.ndarray]:
    """The next token of each prompt, int32 (B,), `tokens` times over. Each prompt has one token or more.

    cache: keep keys and values; False: the whole forward pass for every token, which says the same more slowly.
    """
    check_length(of, prompts, tokens)
    lengths_B = np.array([len(prompt) for prompt in prompts], np.int32)
    prompts_BL = np.zeros((len(prompts), lengths_B.max()), np.int32)
    for row, prompt in zip(prompts_BL, prompts, strict=True):
        row[: len(prompt)] = prompt
    if cache:
        write = CachedSampler(of, how, kv_cache.split_blocks(of.params, of.model.layers))
        yield from write(prompts_BL, lengths_B, tokens, np.arange(len(prompts)), seed)
    else:
        yield from _generate_uncached(
            of, prompts_BL, lengths_B, tokens, partial(_sample_text_tokens, how, text_token_mask(of)), seed
        )


def text_token_mask(of: TrainedModel) -> jax.Array:
    """0 for tokens that stand for text, -inf for the rest of the vocabulary, float32 (V,)."""
    return jnp.where(np.arange(of.model.vocab) < of.tokenizer.vocab, 0.0, -jnp.inf)


def _sample_text_tokens(
    how: Sampling, known_V: jax.Array, logits_BV: jax.Array, seed: jax.Array, n: jax.Array, rows_B: Any = None
) -> jax.Array:
    return sample_tokens(logits_BV + known_V[None], how, seed, n, rows_B)


def _segments(of: TrainedModel, tokens_BL: jax.Array) -> jax.Array:
    end = of.config.data.document_end
    return jnp.zeros_like(tokens_BL) if end is None else positions.document_ids(tokens_BL, end)


class CachedSampler:
    """With a cache: one pass over the prompts, then one compiled step for every token. One way of drawing them.

    parts: the model's parameters, taken apart (`cached.apart`). Each shape is compiled once. Inside a mesh, rows are
    spread over its devices, which must divide them.
    """

    def __init__(self, of: TrainedModel, how: Sampling, parts: tuple[Any, list[Any]]) -> None:
        self.of, self.parts = of, parts
        self.choose = partial(_sample_text_tokens, how, text_token_mask(of))
        self.model = nnx.eval_shape(lambda: nnx.merge(of.graph, of.params))
        self.begun, self.compiled = jax.jit(self.begin, static_argnums=1), jax.jit(self.step, donate_argnums=2)

    def begin(self, prompts_BL: jax.Array, tokens: int) -> tuple[kv_cache.NewTokens, kv_cache.Cache]:
        """The prompts as the tokens that come first, and an empty cache with room for what follows."""
        B, L = prompts_BL.shape
        segments_BL = _segments(self.of, prompts_BL)
        slots_BL = jnp.broadcast_to(jnp.arange(L, dtype=jnp.int32), (B, L))
        places_BL = jnp.broadcast_to(positions.segment_positions(L, segments_BL), (B, L))
        new = kv_cache.NewTokens(prompts_BL, slots_BL, segments_BL, places_BL)
        return jax.tree.map(shard_rows, (new, kv_cache.empty_cache(self.model, B, L + tokens, self.of.dtype)))

    def step(
        self, rest: Any, blocks: Any, cache: kv_cache.Cache, new: kv_cache.NewTokens, last_B: Any, rows_B: Any, seed: Any,
        n: Any,
    ) -> tuple[kv_cache.NewTokens, kv_cache.Cache]:  # fmt: skip
        """The token after each row's last, and the cache with what came before it."""
        model, end = nnx.merge(self.of.graph, rest), self.of.config.data.document_end
        x_BLD, cache = kv_cache.extend_cache(model, blocks, cache, new, self.of.dtype)
        x_B1D = jnp.take_along_axis(x_BLD, last_B[:, None, None], axis=1)
        token_B = self.choose(model.logits(x_B1D)[:, 0], seed, n, rows_B)
        before_B, slot_B, segment_B, place_B = (
            jnp.take_along_axis(t, last_B[:, None], axis=1)[:, 0]
            for t in (new.tokens_BL, new.slots_BL, new.segments_BL, new.places_BL)
        )
        ended_B = jnp.zeros_like(before_B) if end is None else (before_B == end).astype(jnp.int32)
        after = (token_B, slot_B + 1, segment_B + ended_B, jnp.where(ended_B, 0, place_B + 1))
        return jax.tree.map(shard_rows, (kv_cache.NewTokens(*(t[:, None] for t in after)), cache))

    def __call__(
        self, prompts_BL: np.ndarray, lengths_B: np.ndarray, tokens: int, rows_B: np.ndarray, seed: int
    ) -> Iterator[np.ndarray]:
        """The next token of each prompt (padded to L; its own length is lengths_B), `tokens` times over."""
        rest, blocks = self.parts
        new, cache = self.begun(prompts_BL, tokens)
        last_B, names_B = jnp.asarray(lengths_B - 1), jnp.asarray(rows_B, jnp.uint32)
        for n in range(tokens):
            new, cache = self.compiled(rest, blocks, cache, new, last_B, names_B, jnp.uint32(seed), jnp.int32(n))
            last_B = jnp.zeros_like(last_B)
            yield np.asarray(new.tokens_BL)[:, 0]


def shard_rows(x: jax.Array) -> jax.Array:
    """`x` with its first axis over the devices of the mesh in force, if there is one."""
    return sharding.constrain_sharding(x, sharding.BATCH_AXES, *(None,) * (x.ndim - 1))


def _generate_uncached(
    of: TrainedModel, prompts_BL: np.ndarray, lengths_B: np.ndarray, tokens: int, choose: Any, seed: int
) -> Any:
    """Without: what lies behind a token cannot be seen from it, so one shape serves them all."""
    rows, tokens_BT = np.arange(len(prompts_BL)), np.pad(prompts_BL, ((0, 0), (0, tokens)))

    @jax.jit
    def compiled(params: Any, tokens_BT: jax.Array, last_B: jax.Array, seed: jax.Array, n: jax.Array) -> jax.Array:
        segments_BT = None if of.config.data.document_end is None else _segments(of, tokens_BT)
        logits_BTV = nnx.merge(of.graph, params)(tokens_BT, segments_BT, dtype=of.dtype)
        return choose(jnp.take_along_axis(logits_BTV, last_B[:, None, None], axis=1)[:, 0], seed, n)

    for n in range(tokens):
        token_B = np.asarray(compiled(of.params, tokens_BT, lengths_B + n - 1, jnp.uint32(seed), jnp.int32(n)))
        tokens_BT[rows, lengths_B + n] = token_B
        yield token_B

"""What a trained model makes of given tokens, and what it writes: batched, over all devices, the same in any company.

Axes: B rows, L positions, D width, V vocabulary, l positions of one block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import NamedSharding

from scaling.config.placement import Placement
from scaling.distributed import sharding
from scaling.inference.batched_sampling import BatchedGenerator
from scaling.inference.length_buckets import TOKENS_PER_DEVICE, bucket_batches, bucket_lengths, rolling_windows
from scaling.inference.load import TrainedModel
from scaling.inference.options import Sampling
from scaling.inference.sampling import text_token_mask
from scaling.models.attention.positions import document_ids
from scaling.models.loss import block_count, join_blocks, softcapped_logits, split_blocks, token_losses
from scaling.models.transformer import ForwardOptions

Tokens = Sequence[int] | np.ndarray


class ScoreError(ValueError):
    """What cannot be scored: one line that says which item, and why."""


@dataclass(frozen=True)
class ContinuationScore:
    """logp: nats of each token of a continuation after all before it, float32; greedy: each of them is the likeliest
    among those that stand for text."""

    logp: np.ndarray
    greedy: bool


def token_scores(
    x_BLD: jax.Array, w_DV: jax.Array, targets_BL: jax.Array, softcap: float | None, known_V: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Log-probability of each target in nats, float32, and whether no known token is likelier; each (B, L)."""
    B, L = targets_BL.shape
    w_DV = w_DV.astype(x_BLD.dtype)

    def one(part: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        x_BlD, targets_Bl = part
        logits_BlV = softcapped_logits(x_BlD, w_DV, softcap).reshape(*targets_Bl.shape, -1)
        best_Bl = jnp.argmax(logits_BlV + known_V[None, None], axis=-1)
        return -token_losses(logits_BlV, targets_Bl)[0], best_Bl == targets_Bl

    count = block_count(B, L, w_DV.shape[1])
    if count == 1:
        return one((x_BLD, targets_BL))
    logp, best = jax.lax.map(one, (split_blocks(x_BLD, count), split_blocks(targets_BL, count)))
    return join_blocks(logp, L), join_blocks(best, L)


class Scorer:
    """A trained model, laid over this host's devices, that scores tokens and writes text.

    A continuation's figures depend on its own tokens alone, not on what is scored beside it nor on its order (beyond
    rounding: rows of unlike length are computed in programs of unlike shape).
    """

    def __init__(self, of: TrainedModel, placement: Placement | None = None) -> None:
        placement = placement or Placement()
        shape = sharding.mesh_shape(placement, jax.local_device_count())
        self.mesh = sharding.arrange_devices(jax.local_devices()[: int(np.prod(shape))], shape)
        self.rows = NamedSharding(self.mesh, sharding.BATCH_SPEC)
        self.over = int(np.prod([self.mesh.shape[axis] for axis in sharding.BATCH_AXES]))
        self.of = replace(of, params=jax.device_put(of.params, sharding.tree_shardings(of.params, self.mesh)))
        scan = jax.default_backend() != "cpu" if placement.scan is None else placement.scan
        self.options = ForwardOptions(dtype=of.dtype, scan=scan, kernel=placement.attention)
        self.known_V = np.asarray(text_token_mask(of))
        self.compiled = jax.jit(self._scores)

    @property
    def context(self) -> int:
        """Tokens that the model reads at most: those it was trained on."""
        return self.of.config.data.length

    @property
    def begin(self) -> list[int]:
        """What stands before a text: the end of the document before; nothing where the run's text has none."""
        return [self.of.tokenizer.eod] if self.of.tokenizer.eod >= 0 else []

    def encode(self, text: str) -> list[int]:
        """Tokens of a text."""
        return [int(token) for token in self.of.tokenizer.encode(text.encode())]

    def pair(self, prompt: str, continuation: str) -> tuple[list[int], list[int]]:
        """Tokens of a prompt that begins a document, and of what follows it.

        Encoded as one text where that leaves the prompt's own tokens as they are (its last blanks may go over to the
        continuation), else apart.
        """
        stripped = prompt.rstrip()
        for split in dict.fromkeys((prompt, stripped)):
            before, whole = self.encode(split), self.encode(prompt + continuation)
            if whole[: len(before)] == before:
                return self.begin + before, whole[len(before) :]
        return self.begin + self.encode(prompt), self.encode(continuation)

    def continuations(self, pairs: Sequence[tuple[Tokens, Tokens]]) -> list[ContinuationScore]:
        """Each (prompt, continuation): the figures of the continuation's tokens.

        ScoreError where a prompt is empty, or both are more than the model reads.
        """
        for i, (prompt, continuation) in enumerate(pairs):
            if not len(prompt):
                raise ScoreError(f"item {i}: its prompt has no token: begin it with the end of a document")
            self.check_length(i, len(prompt), len(continuation))
        found: list[ContinuationScore | None] = [None] * len(pairs)
        rows = [np.asarray([*prompt, *continuation], np.int32) for prompt, continuation in pairs]
        for at, logp_BL, best_BL in self._batches(rows):
            for i, logp_L, best_L in zip(at, logp_BL, best_BL, strict=True):
                start, end = len(pairs[i][0]) - 1, len(rows[i]) - 1
                found[i] = ContinuationScore(logp_L[start:end].copy(), bool(best_L[start:end].all()))
        return [one for one in found if one is not None]

    def check_length(self, item: int, prompt: int, continuation: int) -> None:
        """ScoreError where so many tokens are more than the model reads (the last of them is not read)."""
        if prompt + continuation - 1 > self.context:
            raise ScoreError(
                f"item {item}: {prompt} tokens of prompt and {continuation} after it are more than the run's context "
                f"of {self.context}: fewer shots, or a run with a larger data.length"
            )

    def rolling(self, texts: Sequence[Tokens]) -> list[np.ndarray]:
        """Log-probability of every token of each text, nats, float32: windows of the context, each token once.

        The first token of a window comes after the last of the one before (of a text: after the end of a document)
        and sees nothing else.
        """
        if not self.begin:
            raise ScoreError("the run's text has no end of a document, which a whole text begins after")
        pairs, owner = [], []
        for i, text in enumerate(texts):
            for pair in rolling_windows([*self.begin, *(int(t) for t in text)], self.context):
                pairs.append(pair)
                owner.append(i)
        parts: list[list[np.ndarray]] = [[np.zeros(0, np.float32)] for _ in texts]
        for i, scored in zip(owner, self.continuations(pairs), strict=True):
            parts[i].append(scored.logp)
        return [np.concatenate(part) for part in parts]

    def generate(
        self,
        prompts: Sequence[Tokens],
        max_tokens: int,
        stop: Sequence[str] = (),
        *,
        temperature: float = 0.0,
        top_k: int = 0,
        top_p: float = 1.0,
        samples: int = 1,
        seed: int = 0,
    ) -> list[list[str]]:
        """Each prompt's texts, as many as `samples`: up to the first `stop`, the end of a document, `max_tokens`, or
        the end of the context.

        A text depends on the seed, its prompt and its number among the samples. ScoreError where a prompt is empty
        or leaves no room for a token.
        """
        for i, prompt in enumerate(prompts):
            if not len(prompt):
                raise ScoreError(f"item {i}: its prompt has no token: begin it with the end of a document")
            self.check_length(i, len(prompt), 1)
        how = Sampling(temperature=temperature, top_k=top_k, top_p=top_p)
        rows = [np.asarray(prompt, np.int32) for prompt in prompts]
        with jax.set_mesh(self.mesh):
            return self._texts.write(rows, max_tokens, stop, how, samples, seed)

    @cached_property
    def _texts(self) -> BatchedGenerator:
        return BatchedGenerator(self.of, self.context, self.over, bucket_lengths(self.context), TOKENS_PER_DEVICE)

    def _batches(self, rows: list[np.ndarray]) -> Iterator[tuple[list[int], np.ndarray, np.ndarray]]:
        """Which rows, and of each the figures of its tokens after the first, padded."""
        for at, length, height in bucket_batches(
            [len(row) - 1 for row in rows], bucket_lengths(self.context), self.over, TOKENS_PER_DEVICE
        ):
            tokens_BX = np.zeros((height, length + 1), np.int32)
            for into, i in enumerate(at):
                tokens_BX[into, : len(rows[i])] = rows[i]
            with jax.set_mesh(self.mesh):
                placed = jax.device_put(tokens_BX, self.rows)
                logp_BL, best_BL = self.compiled(self.of.params, placed)
            yield at, np.asarray(logp_BL)[: len(at)], np.asarray(best_BL)[: len(at)]

    def _scores(self, params: Any, tokens_BX: jax.Array) -> tuple[jax.Array, jax.Array]:
        model, end = nnx.merge(self.of.graph, params), self.of.config.data.document_end
        inputs_BL, targets_BL = tokens_BX[:, :-1], tokens_BX[:, 1:]
        segments_BL = None if end is None else document_ids(inputs_BL, end)
        x_BLD, _ = model.hidden_states(inputs_BL, segments_BL, self.options)
        return token_scores(
            x_BLD, model.head_matrix(), targets_BL, self.of.model.final_softcap, jnp.asarray(self.known_V)
        )

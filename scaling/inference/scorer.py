"""Scoring and generation of text by a trained model, batched and distributed over all devices.

Axes: B rows, L positions, X = L + 1 tokens of a row, D width, V vocabulary, l positions of one block.
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
from scaling.inference.length_buckets import Batching, bucket_batches, rolling_windows
from scaling.inference.load import TrainedModel
from scaling.inference.options import Generation
from scaling.inference.sampling import text_token_mask
from scaling.models.attention.positions import document_ids
from scaling.models.loss import block_count, join_blocks, softcapped_logits, split_blocks, token_losses
from scaling.models.transformer import ForwardOptions

Tokens = Sequence[int] | np.ndarray


class ScoreError(ValueError):
    """Tokens that cannot be scored or continued; the message is one line that names the item."""


@dataclass(frozen=True)
class ContinuationScore:
    """The score of a continuation.

    Attributes:
        logp: Log-probability of each token given all before it, in nats, float32.
        greedy: Whether each token is the most likely one among those that stand for text.
    """

    logp: np.ndarray
    greedy: bool


def token_scores(
    x_BLD: jax.Array, w_DV: jax.Array, targets_BL: jax.Array, softcap: float | None, mask_V: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Scores target tokens in blocks of positions, which limits the memory of the logits.

    Args:
        x_BLD: Activations that the output head reads.
        w_DV: The output head.
        targets_BL: Target tokens.
        softcap: Soft-cap of the logits, or None.
        mask_V: 0 for tokens that stand for text, -inf for others.

    Returns:
        The log-probability of each target in nats, float32, and whether it is the most likely token; each (B, L).
    """
    B, L = targets_BL.shape
    w_DV = w_DV.astype(x_BLD.dtype)

    def score_block(block: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        x_BlD, targets_Bl = block
        logits_BlV = softcapped_logits(x_BlD, w_DV, softcap).reshape(*targets_Bl.shape, -1)
        best_Bl = jnp.argmax(logits_BlV + mask_V[None, None], axis=-1)
        return -token_losses(logits_BlV, targets_Bl)[0], best_Bl == targets_Bl

    count = block_count(B, L, w_DV.shape[1])
    if count == 1:
        return score_block((x_BLD, targets_BL))
    logp, is_best = jax.lax.map(score_block, (split_blocks(x_BLD, count), split_blocks(targets_BL, count)))
    return join_blocks(logp, L), join_blocks(is_best, L)


class Scorer:
    """A trained model, distributed over this host's devices, that scores tokens and generates text.

    The score of a continuation does not depend on other rows or their order, up to rounding (rows of different length
    are computed by programs of different shape).
    """

    def __init__(self, model: TrainedModel, placement: Placement | None = None) -> None:
        """Moves the parameters to the devices.

        Args:
            model: The model.
            placement: How it is laid out over the devices.
        """
        placement = placement or Placement()
        shape = sharding.mesh_shape(placement, jax.local_device_count())
        self.mesh = sharding.arrange_devices(jax.local_devices()[: int(np.prod(shape))], shape)
        self.batch_sharding = NamedSharding(self.mesh, sharding.BATCH_SPEC)
        self.model = replace(
            model, params=jax.device_put(model.params, sharding.tree_shardings(model.params, self.mesh))
        )
        row_devices = int(np.prod([self.mesh.shape[axis] for axis in sharding.BATCH_AXES]))
        self.batching = Batching(self.context, row_devices)
        scan = jax.default_backend() != "cpu" if placement.scan is None else placement.scan
        self.options = ForwardOptions(dtype=model.dtype, scan=scan, kernel=placement.attention)
        self.mask_V = np.asarray(text_token_mask(model))
        self.compiled_scores = jax.jit(self._scores)

    @property
    def context(self) -> int:
        """Largest number of tokens that the model reads: its training context."""
        return self.model.config.data.length

    @property
    def document_start(self) -> tuple[int, ...]:
        """Tokens before a document: the one that begins it, else the one that ends one, as the tokenizer has them."""
        if self.model.tokenizer.bos is not None:
            return (self.model.tokenizer.bos,)
        return (self.model.tokenizer.eod,) if self.model.tokenizer.eod >= 0 else ()

    def encode(self, text: str) -> tuple[int, ...]:
        """Returns the tokens of a text."""
        return tuple(int(token) for token in self.model.tokenizer.encode(text.encode()))

    def encode_prompt(self, prompt: str) -> tuple[int, ...]:
        """Returns the tokens of a prompt that starts a document."""
        return self.document_start + self.encode(prompt)

    def encode_pair(self, prompt: str, continuation: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Returns the tokens of a prompt that starts a document, and of its continuation.

        Both are encoded as one text where that keeps the tokens of the prompt (or of the prompt without its trailing
        white space, which then belongs to the continuation), otherwise separately.

        Args:
            prompt: The prompt.
            continuation: What follows it.
        """
        whole = self.encode(prompt + continuation)
        for split in dict.fromkeys((prompt, prompt.rstrip())):
            before = self.encode(split)
            if whole[: len(before)] == before:
                return self.document_start + before, whole[len(before) :]
        return self.encode_prompt(prompt), self.encode(continuation)

    def score_continuations(self, pairs: Sequence[tuple[Tokens, Tokens]]) -> list[ContinuationScore]:
        """Scores continuations.

        Args:
            pairs: Tokens of each prompt and of its continuation.

        Raises:
            ScoreError: A prompt is empty, or a pair exceeds the context.
        """
        for item, (prompt, continuation) in enumerate(pairs):
            self._check_lengths(item, len(prompt), len(continuation))
        scores: list[ContinuationScore | None] = [None] * len(pairs)
        rows = [np.asarray([*prompt, *continuation], np.int32) for prompt, continuation in pairs]
        for indices, logp_BL, best_BL in self._score_rows(rows):
            for i, logp_L, best_L in zip(indices, logp_BL, best_BL, strict=True):
                start, end = len(pairs[i][0]) - 1, len(rows[i]) - 1
                scores[i] = ContinuationScore(logp_L[start:end].copy(), bool(best_L[start:end].all()))
        return [score for score in scores if score is not None]

    def score_texts(self, texts: Sequence[Tokens]) -> list[np.ndarray]:
        """Scores whole texts in windows of the context, each token once.

        The first token of a window is predicted from the last one before it (of a text: from the end of a document) and
        nothing else.

        Args:
            texts: Tokens of each text.

        Returns:
            The log-probability of every token in nats, float32, for each text.

        Raises:
            ScoreError: The tokenizer has no end-of-document token, which must precede a text.
        """
        if not self.document_start:
            raise ScoreError("the run's tokenizer has no end-of-document token, which must precede a whole text")
        pairs, text_indices = [], []
        for i, text in enumerate(texts):
            for pair in rolling_windows([*self.document_start, *(int(token) for token in text)], self.context):
                pairs.append(pair)
                text_indices.append(i)
        parts: list[list[np.ndarray]] = [[np.zeros(0, np.float32)] for _ in texts]
        for i, score in zip(text_indices, self.score_continuations(pairs), strict=True):
            parts[i].append(score.logp)
        return [np.concatenate(part) for part in parts]

    def generate(self, prompts: Sequence[Tokens], generation: Generation) -> list[list[str]]:
        """Generates texts: each up to its first stop, the end of a document, `max_tokens`, or the end of the context.

        A text depends on the seed, its prompt and its number among the samples.

        Args:
            prompts: Tokens of each prompt.
            generation: What to generate.

        Returns:
            The texts of each prompt, as many as `generation.samples`.

        Raises:
            ScoreError: A prompt is empty, or fills the whole context.
        """
        for item, prompt in enumerate(prompts):
            self._check_lengths(item, len(prompt), 1)
        rows = [np.asarray(prompt, np.int32) for prompt in prompts]
        with jax.set_mesh(self.mesh):
            return self._generator.generate(rows, generation)

    @cached_property
    def _generator(self) -> BatchedGenerator:
        return BatchedGenerator(self.model, self.batching)

    def _check_lengths(self, item: int, prompt: int, continuation: int) -> None:
        """Raises ScoreError for an empty prompt, or more tokens than the context; the last one is not read."""
        if not prompt:
            raise ScoreError(f"item {item}: its prompt is empty: start it with the end-of-document token")
        if prompt + continuation - 1 > self.context:
            raise ScoreError(
                f"item {item}: {prompt} tokens of prompt and {continuation} after it exceed the run's context of "
                f"{self.context}: use fewer shots, or a run with a larger data.length"
            )

    def _score_rows(self, rows: list[np.ndarray]) -> Iterator[tuple[list[int], np.ndarray, np.ndarray]]:
        """Yields indices of rows, and log-probability and greediness of their tokens after the first, padded."""
        for batch in bucket_batches([len(row) - 1 for row in rows], self.batching):
            tokens_BX = np.zeros((batch.rows, batch.length + 1), np.int32)
            for i, index in enumerate(batch.indices):
                tokens_BX[i, : len(rows[index])] = rows[index]
            with jax.set_mesh(self.mesh):
                placed_BX = jax.device_put(tokens_BX, self.batch_sharding)
                logp_BL, best_BL = self.compiled_scores(self.model.params, placed_BX)
            count = len(batch.indices)
            yield batch.indices, np.asarray(logp_BL)[:count], np.asarray(best_BL)[:count]

    def _scores(self, params: Any, tokens_BX: jax.Array) -> tuple[jax.Array, jax.Array]:
        transformer, end = nnx.merge(self.model.graph, params), self.model.config.data.document_end
        inputs_BL, targets_BL = tokens_BX[:, :-1], tokens_BX[:, 1:]
        segments_BL = None if end is None else document_ids(inputs_BL, end)
        x_BLD, _ = transformer.hidden_states(inputs_BL, segments_BL, self.options)
        softcap, mask_V = self.model.model.final_softcap, jnp.asarray(self.mask_V)
        return token_scores(x_BLD, transformer.head_matrix(), targets_BL, softcap, mask_V)

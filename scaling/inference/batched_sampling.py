"""Texts that a model writes, many prompts at once: each ends by itself. Axes: B rows, L positions."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scaling.inference import kv_cache
from scaling.inference.length_buckets import bucket_batches
from scaling.inference.load import TrainedModel
from scaling.inference.options import Sampling
from scaling.inference.sampling import CachedSampler

STOP_CHECK_TOKENS = 8  # tokens between looks for a stop: a look decodes the whole text


@dataclass
class GeneratedText:
    """One that is being written: at most so many tokens, until a stop."""

    prompt: int
    sample: int
    most: int
    tokens: list[int] = field(default_factory=list)
    ended: bool = False


class BatchedGenerator:
    """Writes for prompts of any length; each way of drawing is compiled once for each shape.

    context: tokens that the model reads; over, buckets, tokens: see batches.py.
    """

    def __init__(self, of: TrainedModel, context: int, over: int, buckets: Sequence[int], tokens: int) -> None:
        self.of, self.context, self.over, self.buckets, self.tokens = of, context, over, buckets, tokens
        self.parts = kv_cache.split_blocks(of.params, of.model.layers)
        self.writers: dict[Sampling, CachedSampler] = {}

    def write(
        self, prompts: list[np.ndarray], most: int, stop: Sequence[str], how: Sampling, samples: int, seed: int
    ) -> list[list[str]]:
        """The texts of each prompt; see Scorer.generate."""
        room = [min(most, self.context + 1 - len(prompt)) for prompt in prompts]
        texts = [GeneratedText(i, sample, room[i]) for i in range(len(prompts)) for sample in range(samples)]
        lengths = [len(prompts[text.prompt]) for text in texts]
        writer = self.writers.setdefault(how, CachedSampler(self.of, how, self.parts))
        stops = [s.encode() for s in stop if s]
        for at, length, height in bucket_batches(lengths, self.buckets, self.over, self.tokens):
            self._batch(writer, prompts, [texts[i] for i in at], (height, length), stops, seed)
        written: list[list[str]] = [[] for _ in prompts]
        for text in texts:
            written[text.prompt].append(self._decoded(text, stops)[0].decode(errors="replace"))
        return written

    def _batch(
        self,
        writer: CachedSampler,
        prompts: list[np.ndarray],
        texts: list[GeneratedText],
        shape: tuple[int, int],
        stops: list[bytes],
        seed: int,
    ) -> None:
        """Writes these, which fit a batch of that shape."""
        prompts_BL, lengths_B = np.zeros(shape, np.int32), np.ones(shape[0], np.int32)
        names_B = np.zeros(shape[0], np.uint32)
        for row, text in enumerate(texts):
            prompt = prompts[text.prompt]
            prompts_BL[row, : len(prompt)], lengths_B[row] = prompt, len(prompt)
            names_B[row] = text_id(prompt, text.sample)
        tokens = max(text.most for text in texts)
        for n, token_B in enumerate(writer(prompts_BL, lengths_B, tokens, names_B, seed), 1):
            for text, token in zip(texts, token_B.tolist(), strict=False):
                if not text.ended:
                    text.ended = token == self.of.tokenizer.eod
                    text.tokens += [] if text.ended else [token]
                    text.ended |= n == text.most or (n % STOP_CHECK_TOKENS == 0 and self._decoded(text, stops)[1])
            if all(text.ended for text in texts):
                break

    def _decoded(self, text: GeneratedText, stops: list[bytes]) -> tuple[bytes, bool]:
        """What was written up to the first stop, and whether there is one."""
        written = self.of.tokenizer.decode(np.asarray(text.tokens, np.int64))
        ends = [at for at in (written.find(stop) for stop in stops) if at >= 0]
        return (written[: min(ends)], True) if ends else (written, False)


def text_id(prompt: np.ndarray, sample: int) -> int:
    """What a text's random numbers hang on beside the seed, 32 bits: the prompt, and its number among the samples."""
    said: Any = hashlib.sha256(prompt.astype(np.int64).tobytes() + sample.to_bytes(8, "little"))
    return int.from_bytes(said.digest()[:4], "little")

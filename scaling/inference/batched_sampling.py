"""Generation for many prompts of different lengths; each text ends on its own.

Axes: B rows, L positions.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np

from scaling.inference import kv_cache
from scaling.inference.length_buckets import Batch, Batching, bucket_batches
from scaling.inference.load import TrainedModel
from scaling.inference.options import Generation, Sampling
from scaling.inference.sampling import CachedSampler

STOP_CHECK_TOKENS = 8  # tokens between checks for a stop text: each check decodes the whole text


@dataclass
class GeneratedText:
    """A text while it is generated.

    Attributes:
        prompt: Tokens of its prompt.
        sample: Its number among the prompt's samples.
        max_tokens: Largest number of tokens.
        tokens: The tokens generated so far.
        done: Whether it has ended.
    """

    prompt: np.ndarray
    sample: int
    max_tokens: int
    tokens: list[int] = field(default_factory=list)
    done: bool = False


class BatchedGenerator:
    """Generates texts for prompts of any length; each way of sampling is compiled once per shape."""

    def __init__(self, model: TrainedModel, batching: Batching) -> None:
        """Splits the model's parameters by layer.

        Args:
            model: The model.
            batching: Shapes of the batches; its context is that of the model.
        """
        self.model, self.batching = model, batching
        self.parts = kv_cache.split_blocks(model.params, model.model.layers)
        self.samplers: dict[Sampling, CachedSampler] = {}

    def generate(self, prompts: list[np.ndarray], generation: Generation) -> list[list[str]]:
        """Returns the texts of each prompt, as `Scorer.generate` does.

        Args:
            prompts: Tokens of each prompt, at least one.
            generation: What to generate.
        """
        texts = [
            GeneratedText(prompt, sample, min(generation.max_tokens, self.batching.context + 1 - len(prompt)))
            for prompt in prompts
            for sample in range(generation.samples)
        ]
        stops = [text.encode() for text in generation.stop if text]
        if generation.sampling not in self.samplers:
            self.samplers[generation.sampling] = CachedSampler(self.model, generation.sampling, self.parts)
        for batch in bucket_batches([len(text.prompt) for text in texts], self.batching):
            self._generate_batch([texts[i] for i in batch.indices], batch, generation, stops)
        decoded = [self._decode(text, stops)[0].decode(errors="replace") for text in texts]
        return [decoded[i * generation.samples : (i + 1) * generation.samples] for i in range(len(prompts))]

    def _generate_batch(
        self, texts: list[GeneratedText], batch: Batch, generation: Generation, stops: list[bytes]
    ) -> None:
        shape = (batch.rows, batch.length)
        prompts_BL, lengths_B = np.zeros(shape, np.int32), np.ones(batch.rows, np.int32)
        ids_B = np.zeros(batch.rows, np.uint32)
        for row, text in enumerate(texts):
            prompts_BL[row, : len(text.prompt)], lengths_B[row] = text.prompt, len(text.prompt)
            ids_B[row] = text_id(text.prompt, text.sample)
        tokens = max(text.max_tokens for text in texts)
        sampler = self.samplers[generation.sampling]
        for count, token_B in enumerate(sampler(prompts_BL, lengths_B, tokens, ids_B, generation.seed), 1):
            for text, token in zip(texts, token_B.tolist(), strict=False):
                if not text.done:
                    self._append(text, token, count, stops)
            if all(text.done for text in texts):
                break

    def _append(self, text: GeneratedText, token: int, count: int, stops: list[bytes]) -> None:
        """Appends a token, the `count`-th, and ends the text where it is complete."""
        if token == self.model.tokenizer.eod:
            text.done = True
            return
        text.tokens.append(token)
        check_stops = count % STOP_CHECK_TOKENS == 0
        text.done = count == text.max_tokens or (check_stops and self._decode(text, stops)[1])

    def _decode(self, text: GeneratedText, stops: list[bytes]) -> tuple[bytes, bool]:
        """Returns the text up to the first stop, and whether it contains one."""
        decoded = self.model.tokenizer.decode_after(text.prompt, np.asarray(text.tokens, np.int64))
        ends = [end for end in (decoded.find(stop) for stop in stops) if end >= 0]
        return (decoded[: min(ends)], True) if ends else (decoded, False)


def text_id(prompt: np.ndarray, sample: int) -> int:
    """Returns 32 bits that name a text's random numbers.

    Args:
        prompt: Tokens of the prompt.
        sample: Number of the text among the prompt's samples.
    """
    digest = hashlib.sha256(prompt.astype(np.int64).tobytes() + sample.to_bytes(8, "little")).digest()
    return int.from_bytes(digest[:4], "little")

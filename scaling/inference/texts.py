"""Continuations of texts: tokens of prompts, generation up to the end of a document, text of tokens."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from scaling.config.validation import require
from scaling.inference import kv_cache
from scaling.inference.load import TrainedModel
from scaling.inference.options import Sampling
from scaling.inference.sampling import generate


@dataclass
class Continuation:
    """A prompt and the text generated after it.

    Attributes:
        prompt: The prompt.
        tokens: The generated tokens, without the one that ended the text.
        text: Their text; invalid UTF-8 is replaced.
        stopped: Whether the text ended before the largest number of tokens.
    """

    prompt: str
    tokens: list[int] = field(default_factory=list)
    text: str = ""
    stopped: bool = False


def generate_texts(
    model: TrainedModel,
    prompts: Sequence[str],
    tokens: int,
    sampling: Sampling,
    *,
    seed: int = 0,
    stop: int | None = None,
    cache: bool = True,
) -> list[Continuation]:
    """Generates a continuation of each prompt. KeyboardInterrupt carries the texts so far as its argument.

    Args:
        model: The model.
        prompts: The prompts.
        tokens: Largest number of new tokens per prompt.
        sampling: How a token is sampled.
        seed: Seed of the samples.
        stop: Token that ends a text; None: the tokeniser's end of a document; -1: none does.
        cache: Whether to cache keys and values; a model whose blocks do not allow it is computed without.

    Raises:
        ConfigError: An argument is out of range.
    """
    require(tokens > 0, f"--tokens {tokens}: must be 1 or more")
    require(0 <= seed < 2**32, f"--seed {seed}: must be in [0, 2**32)")
    rows, encoded = [Continuation(text) for text in prompts], [encode_prompt(model, text) for text in prompts]
    stop = model.tokenizer.eod if stop is None else stop
    reason = kv_cache.uncacheable(model.model, model.graph, model.params) if cache else None
    if reason is not None:
        print(f"scaling generate: {reason}: the whole text is computed for each token", file=sys.stderr)
    try:
        for tokens_B in generate(model, encoded, tokens, sampling, seed=seed, cache=cache and reason is None):
            for row, token in zip(rows, tokens_B.tolist(), strict=True):
                if not row.stopped:
                    row.stopped = token == stop
                    row.tokens += [] if row.stopped else [token]
            if all(row.stopped for row in rows):
                break
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_decoded(model, rows, encoded)) from None
    return _decoded(model, rows, encoded)


def _decoded(model: TrainedModel, rows: list[Continuation], prompts: list[np.ndarray]) -> list[Continuation]:
    for row, prompt in zip(rows, prompts, strict=True):
        row.text = model.tokenizer.decode_after(prompt, np.array(row.tokens, np.int64)).decode(errors="replace")
    return rows


def encode_prompt(model: TrainedModel, text: str) -> np.ndarray:
    """Returns the tokens of a prompt, int32 (L,), after the token that begins a document if the tokenizer has one.

    An empty one without that token is the end-of-document token.

    Args:
        model: The model.
        text: The text.
    """
    require(text.isascii() or text.encode(errors="ignore").decode() == text, "--prompt: must be text in UTF-8")
    tokens = np.asarray(model.tokenizer.encode(text.encode()), np.int32)
    if model.tokenizer.bos is not None:
        tokens = np.concatenate([np.array([model.tokenizer.bos], np.int32), tokens])
    if len(tokens) == 0:
        require(
            model.tokenizer.eod >= 0, "--prompt: must not be empty: the run's tokenizer has no end-of-document token"
        )
        tokens = np.array([model.tokenizer.eod], np.int32)
    return tokens


def decode_text(model: TrainedModel, tokens: list[int]) -> str:
    """Returns the text of tokens; invalid UTF-8 is replaced.

    Args:
        model: The model.
        tokens: The tokens.
    """
    return model.tokenizer.decode(np.array(tokens, np.int64)).decode(errors="replace")

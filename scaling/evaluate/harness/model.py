"""Adapter that presents a trained model as a language model of the harness."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from lm_eval.api.model import LM

from scaling.inference.options import GREEDY, Generation, Sampling
from scaling.inference.scorer import ContinuationScore, Scorer

DEFAULT_MAX_TOKENS = 256  # for tasks that set no limit
MAX_TOKENS_KEYS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")


class HarnessModel(LM):
    """Scores and generates with `Scorer`, all requests of a kind in one call.

    Attributes:
        scorer: The model.
        seed: Seed of samples.
        scores: Score of each (context, continuation) that was requested.
    """

    def __init__(self, scorer: Scorer, seed: int = 0) -> None:
        """Wraps a scorer.

        Args:
            scorer: The model.
            seed: Seed of samples.
        """
        super().__init__()
        self.scorer, self.seed = scorer, seed
        self.scores: dict[tuple[str, str], ContinuationScore] = {}

    def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
        """Returns the log-probability of each continuation in nats, and whether greedy decoding would generate it."""
        pairs = [(str(context), str(continuation)) for context, continuation in (r.args for r in requests)]
        distinct = list(dict.fromkeys(pairs))
        scores = self.scorer.score_continuations([self.scorer.encode_pair(*pair) for pair in distinct])
        self.scores |= dict(zip(distinct, scores, strict=True))
        return [(math.fsum(self.scores[pair].logp.tolist()), self.scores[pair].greedy) for pair in pairs]

    def loglikelihood_rolling(self, requests: list[Any]) -> list[float]:
        """Returns the log-probability of each whole text in nats."""
        texts = [self.scorer.encode(request.args[0]) for request in requests]
        return [math.fsum(logp.tolist()) for logp in self.scorer.score_texts(texts)]

    def generate_until(self, requests: list[Any]) -> list[str]:
        """Generates a text for each request; a request that occurs n times gets n samples."""
        keys = [(json.dumps(request.args[1], sort_keys=True), request.args[0]) for request in requests]
        repeats: defaultdict[tuple[str, int], list[str]] = defaultdict(list)  # prompts by settings and repetitions
        for (settings, prompt), count in Counter(keys).items():
            repeats[settings, count].append(prompt)
        texts: dict[tuple[str, str], list[str]] = {}
        for (settings, count), prompts in repeats.items():
            generated = self.generate(prompts, json.loads(settings), count)
            texts |= {(settings, prompt): list(row) for prompt, row in zip(prompts, generated, strict=True)}
        return [texts[key].pop(0) for key in keys]

    def generate(self, prompts: Sequence[str], settings: dict[str, Any], count: int) -> list[list[str]]:
        """Generates `count` texts for each prompt.

        Args:
            prompts: The prompts.
            settings: The task's generation_kwargs; `greedy_first` makes the first text the greedy one.
            count: Texts per prompt.
        """
        tokens = [self.scorer.encode_prompt(prompt) for prompt in prompts]
        until = settings.get("until") or []
        max_tokens = next((settings[key] for key in MAX_TOKENS_KEYS if settings.get(key)), DEFAULT_MAX_TOKENS)
        stop = (until,) if isinstance(until, str) else tuple(until)
        temperature = float(settings.get("temperature") or 0.0)
        is_sampled = bool(settings.get("do_sample", temperature > 0))
        greedy_count = count if not is_sampled else 1 if settings.get("greedy_first") else 0
        texts: list[list[str]] = [[] for _ in tokens]
        if greedy_count:
            greedy = Generation(max_tokens=int(max_tokens), stop=stop, sampling=GREEDY)
            texts = [row * greedy_count for row in self.scorer.generate(tokens, greedy)]
        if count > greedy_count:
            sampling = Sampling(
                temperature=temperature or 1.0,
                top_k=int(settings.get("top_k") or 0),
                top_p=float(settings.get("top_p") or 1.0),
            )
            sampled = Generation(
                max_tokens=int(max_tokens), stop=stop, sampling=sampling, samples=count - greedy_count, seed=self.seed
            )
            texts = [first + rest for first, rest in zip(texts, self.scorer.generate(tokens, sampled), strict=True)]
        return texts

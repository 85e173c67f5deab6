"""A trained run as the harness's own kind of language model."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

from lm_eval.api.model import LM

from scaling.inference.scorer import ContinuationScore, Scorer

DEFAULT_MAX_TOKENS = 256  # of a generation that does not say


class HarnessModel(LM):
    """Scores and writes through the project's own Scorer, all requests of a kind at once.

    kept: what each (context, continuation) came to, token by token.
    """

    def __init__(self, scorer: Scorer, seed: int = 0) -> None:
        super().__init__()
        self.scorer, self.seed = scorer, seed
        self.kept: dict[tuple[str, str], ContinuationScore] = {}

    def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
        """Nats of each continuation as a whole, and whether greedy decoding would have written it."""
        asked = list(dict.fromkeys((str(a), str(b)) for a, b in (request.args for request in requests)))
        scored = self.scorer.continuations([self.scorer.pair(*pair) for pair in asked])
        self.kept |= dict(zip(asked, scored, strict=True))
        found = [self.kept[str(a), str(b)] for a, b in (request.args for request in requests)]
        return [(math.fsum(one.logp.tolist()), one.greedy) for one in found]

    def loglikelihood_rolling(self, requests: list[Any]) -> list[float]:
        """Nats of each whole text."""
        texts = [self.scorer.encode(request.args[0]) for request in requests]
        return [math.fsum(logp.tolist()) for logp in self.scorer.rolling(texts)]

    def generate_until(self, requests: list[Any]) -> list[str]:
        """What the model writes. A request that comes n times gets n texts; `greedy_first`: the first is greedy."""
        keys = [(json.dumps(request.args[1], sort_keys=True), request.args[0]) for request in requests]
        times = Counter(keys)
        written: dict[tuple[str, str], list[str]] = {}
        for how in dict.fromkeys(key[0] for key in times):
            for n in sorted({count for key, count in times.items() if key[0] == how}):
                prompts = [key[1] for key, count in times.items() if key[0] == how and count == n]
                found = self.write(prompts, json.loads(how), n)
                written |= {(how, prompt): texts for prompt, texts in zip(prompts, found, strict=True)}
        at: Counter[tuple[str, str]] = Counter()
        out = []
        for key in keys:
            out.append(written[key][at[key]])
            at[key] += 1
        return out

    def write(self, prompts: Iterable[str], how: dict[str, Any], count: int) -> list[list[str]]:
        """`count` texts of each prompt, as the task's generation_kwargs say."""
        tokens = [self.scorer.pair(prompt, "")[0] for prompt in prompts]
        until = how.get("until") or []
        stop = [until] if isinstance(until, str) else list(until)
        most = next((how[name] for name in MAX_TOKENS_KEYS if how.get(name)), DEFAULT_MAX_TOKENS)
        temperature = float(how.get("temperature") or 0.0)
        drawn = bool(how.get("do_sample", temperature > 0))
        greedy = count if not drawn else 1 if how.get("greedy_first") else 0
        texts: list[list[str]] = [[] for _ in tokens]
        if greedy:  # the same each time
            for mine, one in zip(texts, self.scorer.generate(tokens, int(most), stop), strict=True):
                mine += one * greedy
        if count > greedy:
            more = self.scorer.generate(
                tokens, int(most), stop, temperature=temperature or 1.0, top_k=int(how.get("top_k") or 0),
                top_p=float(how.get("top_p") or 1.0), samples=count - greedy, seed=self.seed,
            )  # fmt: skip
            for mine, others in zip(texts, more, strict=True):
                mine += others
        return texts


MAX_TOKENS_KEYS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")

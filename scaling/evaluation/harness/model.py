"""Adapter that presents a trained model as a language model of the harness."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from lm_eval.api.model import LM

from scaling.evaluation.scoring import too_long_note
from scaling.inference.options import GREEDY, Generation, Sampling
from scaling.inference.scorer import ContinuationScore, ScoreError, Scorer

DEFAULT_MAX_TOKENS = 256  # for tasks that set no limit
MAX_TOKENS_KEYS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")


class HarnessModel(LM):
    """Scores and generates with `Scorer`, all requests of a kind in one call.

    Attributes:
        scorer: The model.
        seed: Seed of samples.
        scores: Score of each (context, continuation) that was requested.
        too_long: Tokens of the questions that exceed the context, by task and by number of the question from 0. Their
            requests get placeholders, and `leave_out_long` keeps them out of the metrics.
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
        self.too_long: defaultdict[str, dict[int, int]] = defaultdict(dict)

    def fits(self, request: Any, tokens: int) -> bool:
        """Whether a request fits the context; notes the question of one that does not.

        Args:
            request: The request.
            tokens: Tokens that it reads.
        """
        if tokens > self.scorer.context:
            questions = self.too_long[str(request.task_name)]
            questions[int(request.doc_id)] = max(tokens, questions.get(int(request.doc_id), 0))
        return tokens <= self.scorer.context

    def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
        """Returns the log-probability of each continuation in nats, and whether greedy decoding would generate it."""
        pairs = [(str(context), str(continuation)) for context, continuation in (r.args for r in requests)]
        tokens = {pair: self.scorer.encode_pair(*pair) for pair in dict.fromkeys(pairs)}
        fitting = {
            pair: tokens[pair]
            for request, pair in zip(requests, pairs, strict=True)
            if self.fits(request, sum(map(len, tokens[pair])) - 1)
        }
        scores = self.scorer.score_continuations(list(fitting.values()))
        self.scores |= dict(zip(fitting, scores, strict=True))
        return [
            (math.fsum(self.scores[pair].logp.tolist()), self.scores[pair].greedy)
            if pair in fitting
            else (-math.inf, False)
            for pair in pairs
        ]

    def loglikelihood_rolling(self, requests: list[Any]) -> list[float]:
        """Returns the log-probability of each whole text in nats."""
        texts = [self.scorer.encode(request.args[0]) for request in requests]
        return [math.fsum(logp.tolist()) for logp in self.scorer.score_texts(texts)]

    def generate_until(self, requests: list[Any]) -> list[str]:
        """Generates a text for each request; a request that occurs n times gets n samples."""
        keys = [(json.dumps(request.args[1], sort_keys=True), request.args[0]) for request in requests]
        repeats: defaultdict[tuple[str, int], list[str]] = defaultdict(list)  # prompts by settings and repetitions
        fitting = {
            key
            for request, key in zip(requests, keys, strict=True)
            if self.fits(request, len(self.scorer.encode_prompt(key[1])))
        }
        for (settings, prompt), count in Counter(key for key in keys if key in fitting).items():
            repeats[settings, count].append(prompt)
        texts: dict[tuple[str, str], list[str]] = {}
        for (settings, count), prompts in repeats.items():
            generated = self.generate(prompts, json.loads(settings), count)
            texts |= {(settings, prompt): list(row) for prompt, row in zip(prompts, generated, strict=True)}
        return [texts[key].pop(0) if key in fitting else "" for key in keys]

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


def leave_out_long(model: HarnessModel, name: str, task: Any, names: Sequence[str]) -> None:
    """Makes a task of the harness leave out of its metrics the questions that exceed the model's context.

    The harness iterates over the questions twice: for the requests, when nothing is known to be too long yet, and after
    all requests for the metrics.

    Args:
        model: The model.
        name: Name of the task.
        task: The task, whose `doc_iterator` is replaced.
        names: Names of its questions, such as "line 3"; "question 3" where there are none.
    """
    iterate = task.doc_iterator

    def fitting_documents(
        *, rank: int = 0, limit: int | None = None, world_size: int = 1, samples: list[int] | None = None
    ) -> Iterator[tuple[int, Any]]:
        documents = list(iterate(rank=rank, limit=limit, world_size=world_size, samples=samples))
        long = model.too_long[name]
        if documents and all(number in long for number, _ in documents):
            raise ScoreError(long_note(model, name, names, len(documents)))
        return iter([(number, document) for number, document in documents if number not in long])

    task.doc_iterator = fitting_documents


def long_note(model: HarnessModel, name: str, names: Sequence[str], total: int) -> str:
    """Returns a line that names the questions of a task that exceed the model's context.

    Args:
        model: The model.
        name: Name of the task.
        names: Names of its questions; "question 3" where there are none.
        total: Number of its questions.
    """
    long = model.too_long[name]
    listed = [names[number] if number < len(names) else f"question {number + 1}" for number in sorted(long)]
    return too_long_note(name, listed, total, max(long.values()), model.scorer.context)

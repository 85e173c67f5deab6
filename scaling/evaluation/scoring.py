"""Scores the questions of a task: the answer and each choice by their log-probability, and generated answers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from scaling.data.tasks.family import ANSWER_END
from scaling.evaluation.config import EvaluationOptions
from scaling.evaluation.prompts import Question
from scaling.inference.options import Generation, Sampling
from scaling.inference.scorer import ContinuationScore, ScoreError, Scorer
from scaling.store.items import Row

Pair = tuple[tuple[int, ...], tuple[int, ...]]  # tokens of a prompt, and of what follows
MAX_NAMED = 10  # items that a note names


def fitting_pairs(
    scorer: Scorer, task: str, items: Sequence[tuple[str, Sequence[Pair]]]
) -> tuple[list[int], list[str]]:
    """Returns the indices of the items that fit the model's context, and a note about the others.

    Args:
        scorer: The model.
        task: Name of the task, for the note.
        items: Name of each item, and what is scored for it.

    Raises:
        ScoreError: None of them fits.
    """
    sizes = [max(len(prompt) + len(rest) - 1 for prompt, rest in pairs) for _, pairs in items]
    fitting = [i for i, size in enumerate(sizes) if size <= scorer.context]
    if len(fitting) == len(items):
        return fitting, []
    long = [name for (name, _), size in zip(items, sizes, strict=True) if size > scorer.context]
    note = too_long_note(task, long, len(items), max(sizes), scorer.context)
    if not fitting:
        raise ScoreError(note)
    return fitting, [note]


def too_long_note(task: str, names: Sequence[str], total: int, tokens: int, context: int) -> str:
    """Returns a line that names the items that are not scored because they exceed the context.

    Args:
        task: Name of the task.
        names: Names of the items.
        total: Number of items of the task.
        tokens: Tokens of the longest one.
        context: The model's context, in tokens.
    """
    listed = ", ".join(names[:MAX_NAMED]) + (f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else "")
    return (
        f"task {task}: not scored: {len(names):,} of {total:,} items exceed the run's context of {context} tokens "
        f"({listed}; up to {tokens:,} tokens): use fewer shots, or a run with a larger data.length"
    )


def score_questions(scorer: Scorer, questions: Sequence[Question]) -> list[Row]:
    """Scores the answer and each choice of the questions; returns one row per question.

    Args:
        scorer: The model.
        questions: The questions.
    """
    pairs = list(dict.fromkeys(pair for question in questions for pair in scoring_pairs(scorer, question)))
    scores = dict(zip(pairs, scorer.score_continuations(pairs), strict=True))
    rows = []
    for question in questions:
        item = question.item
        prompt, answer = scorer.encode_prompt(question.prompt), scorer.encode(item.answer)
        score = scores[prompt, answer + answer_end(scorer, question)]
        row: Row = {
            "task": question.task, "family": question.family, "difficulty": question.difficulty,
            "shots": question.shots, "step": scorer.model.step, "item": question.index,
            "metric_kind": "choice" if item.choices else "exact", "prompt": question.prompt, "answer": item.answer,
            "chance": item.chance, "answer_tokens": len(answer), "answer_bytes": len(item.answer.encode()),
            "answer_logp": score.logp[: len(answer)].tolist(), "greedy": bool(score.greedy),
        }  # fmt: skip
        if item.choices:
            row |= choice_columns(scorer, question, scores)
        rows.append({name: value for name, value in row.items() if value is not None})
    return rows


def choice_columns(scorer: Scorer, question: Question, scores: dict[Pair, ContinuationScore]) -> dict[str, Any]:
    """Returns the columns of a row about its choices.

    Args:
        scorer: The model.
        question: The question.
        scores: Scores of its `scoring_pairs`.
    """
    item, prompt = question.item, scorer.encode_prompt(question.prompt)
    choices = [scorer.encode(choice) for choice in item.choices]
    columns: dict[str, Any] = {
        "choices": list(item.choices), "gold": item.choices.index(item.answer),
        "choice_logp": [sum_logp(scores[prompt, choice].logp) for choice in choices],
        "choice_tokens": [len(choice) for choice in choices],
        "choice_bytes": [len(choice.encode()) for choice in item.choices],
    }  # fmt: skip
    if start := scorer.document_start:
        columns["choice_prior_logp"] = [sum_logp(scores[start, choice].logp) for choice in choices]
    return columns


def scoring_pairs(scorer: Scorer, question: Question) -> Iterator[Pair]:
    """Yields the pairs of tokens to score for a question: its answer, and each choice with and without the prompt.

    Args:
        scorer: The model.
        question: The question.
    """
    prompt, start = scorer.encode_prompt(question.prompt), scorer.document_start
    yield prompt, scorer.encode(question.item.answer) + answer_end(scorer, question)
    for choice in question.item.choices:
        yield prompt, scorer.encode(choice)
        if start:
            yield start, scorer.encode(choice)


def answer_end(scorer: Scorer, question: Question) -> tuple[int, ...]:
    """Returns the tokens that must follow an answer: a newline for an open question of a family, else none.

    Args:
        scorer: The model.
        question: The question.
    """
    is_open = question.difficulty is not None and not question.item.choices
    return scorer.encode(ANSWER_END) if is_open else ()


def add_generations(scorer: Scorer, questions: Sequence[Question], rows: list[Row], options: EvaluationOptions) -> None:
    """Adds generated answers to the rows, the greedy one first, and whether each is correct.

    Args:
        scorer: The model.
        questions: The questions.
        rows: Their rows.
        options: Number and temperature of the samples.
    """
    prompts = [scorer.encode_prompt(question.prompt) for question in questions]
    greedy = Generation(
        max_tokens=max(row["answer_tokens"] for row in rows) + 1,
        stop=(ANSWER_END,) if questions[0].difficulty is not None else (),
        seed=options.seed,
    )
    sampling = Sampling(temperature=options.temperature)
    sampled = dataclasses.replace(greedy, sampling=sampling, samples=options.samples)
    texts = zip(scorer.generate(prompts, greedy), scorer.generate(prompts, sampled), strict=True)
    for row, (first, others) in zip(rows, texts, strict=True):
        row["generated"] = [*first, *others]
        row["passed"] = [text == row["answer"] for text in row["generated"]]


def sum_logp(logp: np.ndarray) -> float:
    """Returns the sum of log-probabilities, computed without accumulating rounding errors."""
    return math.fsum(logp.tolist())

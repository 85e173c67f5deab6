"""Evaluation of one trained model: items of each task in files next to its record, their scores in the record."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scaling.config.validation import ConfigError
from scaling.data.tasks.family import ANSWER_END
from scaling.data.tokens import CorpusError
from scaling.evaluate import extraction, perplexity
from scaling.evaluate.config import EvaluationOptions
from scaling.evaluate.prompts import Question, task_questions
from scaling.evaluate.summary import mean_scores
from scaling.inference.load import TrainedModel
from scaling.inference.options import Generation, Sampling
from scaling.inference.scorer import ContinuationScore, ScoreError, Scorer
from scaling.store import items
from scaling.store.files import StoreError
from scaling.store.items import Row
from scaling.store.record import Store

Pair = tuple[tuple[int, ...], tuple[int, ...]]  # tokens of a prompt, and of what follows
Evaluations = set[tuple[str, int]]  # (task as in file names, shots)
ZERO_SHOT_TASKS = (perplexity.TASK, extraction.TASK)  # on the run's own text


def evaluate_run(
    model: TrainedModel, store: Store, options: EvaluationOptions, *, only_missing: bool = False
) -> tuple[dict[str, float], list[str]]:
    """Evaluates a model on every task and writes the results; an error in one task does not stop the others.

    Args:
        model: The model.
        store: The store that has its record.
        options: The tasks, and how to evaluate them.
        only_missing: Skip tasks that have an item file of this step.

    Returns:
        The new scores by name, and a line for each task that had an error.
    """
    folder, scorer = store.items_dir(model.record.run_id), Scorer(model)
    stored = stored_evaluations(folder, model.step) if only_missing else set()
    scores: dict[str, float] = {}
    errors = []
    for task, shots in planned_evaluations(options):
        try:
            name, used_shots, rows = task_rows(scorer, store, task, shots, options, stored)
        except (ConfigError, CorpusError, StoreError, ScoreError) as error:
            errors.append(str(error) if task in str(error) else f"task {task}: {error}")
            continue
        if rows:
            store.upload(items.write_items(folder, name, used_shots, model.step, rows))
            label = items.task_label(name, used_shots)
            scores |= {f"{label}/{score}": value for score, value in mean_scores(rows).items()}
    write_scores(store, model, scores)
    return scores, errors


def planned_evaluations(options: EvaluationOptions) -> Iterator[tuple[str, int | None]]:
    """Yields each task with each number of shots; None stands for the task's own number."""
    for task in options.tasks:
        for shots in options.shots or (None,):
            if not (task in ZERO_SHOT_TASKS and shots):
                yield task, shots


def stored_evaluations(folder: Path, step: int) -> Evaluations:
    """Returns the evaluations that have an item file.

    Args:
        folder: Folder of the run's items.
        step: Training steps of the model.
    """
    return {(file.task, file.shots) for file in items.item_files(folder) if file.step == step}


def has_missing(store: Store, run: str, step: int, options: EvaluationOptions) -> bool:
    """Whether an evaluation of a run has no item file yet.

    Args:
        store: The store.
        run: Run id.
        step: Training steps of the model.
        options: The tasks.
    """
    stored = stored_evaluations(store.items_dir(run), step)
    stored_tasks = {task for task, _ in stored}
    for task, shots in planned_evaluations(options):
        name = items.safe_name(Path(task).stem if task.endswith(".jsonl") else task)
        if (name not in stored_tasks) if shots is None else ((name, shots) not in stored):
            return True
    return False


def task_rows(
    scorer: Scorer, store: Store, task: str, shots: int | None, options: EvaluationOptions, stored: Evaluations
) -> tuple[str, int, list[Row]]:
    """Evaluates one task.

    Args:
        scorer: The model.
        store: The store that has the token files.
        task: Name of the task, or path of a user's file.
        shots: Solved examples before each question; None for the task's own number.
        options: How to evaluate it.
        stored: Evaluations to skip.

    Returns:
        The task's name, its shots, and its rows (empty if they are already stored).
    """
    if task == perplexity.TASK:
        name = perplexity.task_name(options.tokens)
        if (items.safe_name(name), 0) in stored:
            return name, 0, []
        return name, 0, perplexity.perplexity_rows(scorer, store, options.tokens, options.items)
    if task == extraction.TASK:
        return task, 0, [] if (task, 0) in stored else extraction.extraction_rows(scorer, options.items)
    questions = task_questions(task, shots, seed=options.seed, count=options.items)
    name, used_shots = questions[0].task, questions[0].shots
    if (items.safe_name(name), used_shots) in stored:
        return name, used_shots, []
    rows = score_questions(scorer, questions)
    if options.samples:
        add_generations(scorer, questions, rows, options)
    return name, used_shots, rows


def score_questions(scorer: Scorer, questions: Sequence[Question]) -> list[Row]:
    """Scores the answer and each choice of the questions; returns one row per question.

    Args:
        scorer: The model.
        questions: The questions.
    """
    pairs = list(dict.fromkeys(pair for question in questions for pair in scoring_pairs(scorer, question)))
    scores = dict(zip(pairs, scorer.score_continuations(pairs), strict=True))
    rows = []
    for number, question in enumerate(questions):
        item = question.item
        prompt, answer = scorer.encode_prompt(question.prompt), scorer.encode(item.answer)
        score = scores[prompt, answer + answer_end(scorer, question)]
        row: Row = {
            "task": question.task, "family": question.family, "difficulty": question.difficulty,
            "shots": question.shots, "step": scorer.model.step, "item": number,
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


def write_scores(store: Store, model: TrainedModel, scores: dict[str, float]) -> None:
    """Writes scores into the record, except those of tasks that were evaluated at a later step.

    Args:
        store: The store that has the record.
        model: The model.
        scores: Scores by name, TASK[@SHOTS]/METRIC.
    """
    record = store.read(model.record.run_id)
    if record is None or not scores:
        return
    later = [file for file in items.item_files(store.items_dir(record.run_id)) if file.step > model.step]
    newer = {items.task_label(file.task, file.shots) for file in later}
    current = {name: value for name, value in scores.items() if items.safe_name(name.rpartition("/")[0]) not in newer}
    store.write(dataclasses.replace(record, evals={**record.evals, **current}))


def print_warnings(lines: Sequence[str]) -> None:
    """Prints errors of tasks to standard error, one line each."""
    for line in lines:
        print(f"scaling evaluate: {line}", file=sys.stderr)

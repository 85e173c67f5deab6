"""Asking a trained model: each task's questions to rows of items, kept beside the record, and their scores in it."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from scaling.config.validation import ConfigError
from scaling.data.tasks.family import ANSWER_END
from scaling.data.tokens import CorpusError
from scaling.evaluate import extraction, perplexity
from scaling.evaluate.config import EvaluationOptions
from scaling.evaluate.prompts import Question, task_questions
from scaling.evaluate.summary import mean_scores
from scaling.inference.load import TrainedModel
from scaling.inference.scorer import ScoreError, Scorer
from scaling.store import items
from scaling.store.files import StoreError
from scaling.store.items import Row
from scaling.store.record import Store

Pair = tuple[tuple[int, ...], tuple[int, ...]]  # tokens of a context, and of what follows
ZERO_SHOT_TASKS = (perplexity.TASK, extraction.TASK)  # tasks about what the run has read, without shots


def evaluate_run(
    of: TrainedModel, store: Store, asked: EvaluationOptions, *, only_missing: bool = False
) -> tuple[dict[str, float], list[str]]:
    """Asks one model everything, and keeps it; the scores by name, and a line for each task that went wrong.

    A task that goes wrong does not stop the others. only_missing: leave out what is kept of this step already.
    """
    folder, scorer = store.items_dir(of.record.run_id), Scorer(of)
    there = (
        {(one.task, one.shots) for one in items.item_files(folder) if one.step == of.step} if only_missing else set()
    )
    out: dict[str, float] = {}
    wrong = []
    for task in asked.tasks:
        for shots in asked.shots or (None,):
            if task in ZERO_SHOT_TASKS and shots:
                continue  # has none
            try:
                name, used, rows = task_rows(of, scorer, store, task, shots, asked, there)
            except (ConfigError, CorpusError, StoreError, ScoreError) as error:
                wrong.append(str(error) if task in str(error) else f"task {task}: {error}")
                continue
            if rows:
                store.upload(items.write_items(folder, name, used, of.step, rows))
                out |= {f"{items.task_label(name, used)}/{score}": value for score, value in mean_scores(rows).items()}
    write_scores(store, of, out)
    return out, wrong


def task_rows(
    of: TrainedModel,
    scorer: Scorer,
    store: Store,
    task: str,
    shots: int | None,
    asked: EvaluationOptions,
    there: set[tuple[str, int]],
) -> tuple[str, int, list[Row]]:
    """A task's name, its shots and its rows; no rows where they are `there` already."""
    if task == perplexity.TASK:
        name = perplexity.task_name(asked.tokens)
        done = (items.safe_name(name), 0) in there
        return name, 0, [] if done else perplexity.perplexity_rows(of, scorer, store, asked.tokens, asked.items)
    if task == extraction.TASK:
        return task, 0, [] if (task, 0) in there else extraction.extraction_rows(of, scorer, asked.items)
    asked_now = task_questions(task, shots, seed=asked.seed, count=asked.items)
    first = asked_now[0]
    if (items.safe_name(first.task), first.shots) in there:
        return first.task, first.shots, []
    rows = score_questions(of, scorer, asked_now)
    if asked.samples:
        add_generations(of, scorer, asked_now, rows, asked)
    return first.task, first.shots, rows


def score_questions(of: TrainedModel, scorer: Scorer, asked: Sequence[Question]) -> list[Row]:
    """A row for each question: log-probabilities of its answer and of each choice."""
    pairs = list(dict.fromkeys(pair for question in asked for pair in scoring_pairs(of, question)))
    found = dict(zip(pairs, scorer.continuations(pairs), strict=True))
    rows = []
    for number, question in enumerate(asked):
        item, context = question.item, encode_prompt(of, question.prompt)
        answer = encode_text(of, item.answer)
        scored = found[context, answer + answer_end(of, question)]
        row: Row = {
            "task": question.task, "family": question.family, "difficulty": question.difficulty,
            "shots": question.shots, "step": of.step, "item": number,
            "metric_kind": "choice" if item.choices else "exact", "prompt": question.prompt, "answer": item.answer,
            "chance": item.chance, "answer_tokens": len(answer), "answer_bytes": len(item.answer.encode()),
            "answer_logp": scored.logp[: len(answer)].tolist(), "greedy": bool(scored.greedy),
        }  # fmt: skip
        if item.choices:
            parts = [encode_text(of, choice) for choice in item.choices]
            row |= {
                "choices": list(item.choices), "gold": item.choices.index(item.answer),
                "choice_logp": [sum_logp(found[context, part].logp) for part in parts],
                "choice_tokens": [len(part) for part in parts],
                "choice_bytes": [len(choice.encode()) for choice in item.choices],
            }  # fmt: skip
            if start := document_start(of):
                row["choice_prior_logp"] = [sum_logp(found[start, part].logp) for part in parts]
        rows.append({name: value for name, value in row.items() if value is not None})
    return rows


def scoring_pairs(of: TrainedModel, question: Question) -> Iterator[Pair]:
    """All that must be scored for a question."""
    context, start = encode_prompt(of, question.prompt), document_start(of)
    yield context, encode_text(of, question.item.answer) + answer_end(of, question)
    for choice in question.item.choices:
        yield context, encode_text(of, choice)
        if start:
            yield start, encode_text(of, choice)


def add_generations(
    of: TrainedModel, scorer: Scorer, asked: Sequence[Question], rows: list[Row], how: EvaluationOptions
) -> None:
    """Adds to each row what the model writes, greedily and in samples, and whether each is right."""
    stop = (ANSWER_END,) if asked[0].difficulty is not None else ()
    prompts = [encode_prompt(of, question.prompt) for question in asked]
    longest = max(row["answer_tokens"] for row in rows) + 1
    greedy = scorer.generate(prompts, longest, stop=stop, temperature=0.0, samples=1, seed=how.seed)
    drawn = scorer.generate(
        prompts, longest, stop=stop, temperature=how.temperature, samples=how.samples, seed=how.seed
    )
    for row, first, others in zip(rows, greedy, drawn, strict=True):
        row["generated"] = [*first, *others]
        row["passed"] = [text == row["answer"] for text in row["generated"]]


def encode_text(of: TrainedModel, text: str) -> tuple[int, ...]:
    return tuple(int(token) for token in of.tokenizer.encode(text.encode()))


def document_start(of: TrainedModel) -> tuple[int, ...]:
    """The token before a document, where there is one."""
    return (of.tokenizer.eod,) if of.tokenizer.eod >= 0 else ()


def encode_prompt(of: TrainedModel, prompt: str) -> tuple[int, ...]:
    """A prompt as a document begins with it."""
    return document_start(of) + encode_text(of, prompt)


def answer_end(of: TrainedModel, question: Question) -> tuple[int, ...]:
    """What an answer that is written out ends with: a family's has its end of a line."""
    return encode_text(of, ANSWER_END) if question.difficulty is not None and not question.item.choices else ()


def sum_logp(logp: np.ndarray) -> float:
    return math.fsum(logp.tolist())


def write_scores(store: Store, of: TrainedModel, found: dict[str, float]) -> None:
    """Puts the scores into the record, where no later step of the run has been asked."""
    record = store.read(of.record.run_id)
    if record is None or not found:
        return
    later = [one for one in items.item_files(store.items_dir(record.run_id)) if one.step > of.step]
    newest = {items.task_label(one.task, one.shots) for one in later}
    kept = {name: value for name, value in found.items() if items.safe_name(name.rpartition("/")[0]) not in newest}
    store.write(dataclasses.replace(record, evals={**record.evals, **kept}))


def has_missing(store: Store, run: str, step: int, asked: EvaluationOptions) -> bool:
    """Whether something of what is asked of this run at this step is not kept yet."""
    there = {(one.task, one.shots) for one in items.item_files(store.items_dir(run)) if one.step == step}
    tasks = {(task, shots) for task in asked.tasks for shots in asked.shots or (None,)}
    known = {task for task, _ in there}
    return any(
        (items.safe_name(Path(task).stem if task.endswith(".jsonl") else task), shots) not in there
        if shots is not None
        else items.safe_name(Path(task).stem if task.endswith(".jsonl") else task) not in known
        for task, shots in tasks
        if not (task in ZERO_SHOT_TASKS and shots)
    )


def print_warnings(lines: Sequence[str]) -> None:
    """What went wrong, a line each."""
    for line in lines:
        print(f"scaling evaluate: {line}", file=sys.stderr)

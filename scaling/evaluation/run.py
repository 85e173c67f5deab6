"""Evaluation of one trained model: items of each task in files next to its record, their scores in the record."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scaling.config.validation import ConfigError
from scaling.data.tokens import CorpusError
from scaling.evaluation import extraction, perplexity
from scaling.evaluation.config import EXTRACTION, PERPLEXITY, ZERO_SHOT_TASKS, EvaluationOptions
from scaling.evaluation.prompts import task_name, task_questions
from scaling.evaluation.scoring import add_generations, fitting_pairs, score_questions, scoring_pairs
from scaling.evaluation.summary import Score, mean_scores, record_facts
from scaling.inference.load import TrainedModel
from scaling.inference.scorer import ScoreError, Scorer
from scaling.store import items
from scaling.store.files import StoreError
from scaling.store.items import Row
from scaling.store.record import Record, Store

Evaluations = set[tuple[str, int]]  # (task as in file names, shots)
INPUT_ERRORS = (ConfigError, CorpusError, StoreError)


@dataclass
class Evaluation:
    """Results of all tasks of a model.

    Attributes:
        scores: By name of the task with its shots, then by name of the score.
        errors: One line for each task that had an error.
        notes: Lines about items that were left out.
        bad_input: Whether every error is one of the input.
    """

    scores: dict[str, dict[str, Score]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    bad_input: bool = True

    def add_error(self, task: str, error: Exception | str) -> None:
        """Adds the error of a task.

        Args:
            task: Name of the task.
            error: The error.
        """
        message = " ".join(str(error).split())
        self.errors.append(message if task in message else f"task {task}: {message}")
        self.bad_input &= isinstance(error, INPUT_ERRORS)

    def merge(self, other: Evaluation) -> None:
        """Adds the results of other tasks."""
        self.scores |= other.scores
        self.errors += other.errors
        self.notes += other.notes
        self.bad_input &= other.bad_input

    @property
    def facts(self) -> dict[str, float]:
        """Entries of a record, by name, TASK[@SHOTS]/SCORE."""
        return {
            name: value for label, scores in self.scores.items() for name, value in record_facts(label, scores).items()
        }


@dataclass(frozen=True)
class TaskRows:
    """Scored items of a task.

    Attributes:
        name: Name of the task.
        shots: Solved examples in the prompt.
        rows: One row per item; empty if they are stored already.
        notes: Lines about items that were left out.
    """

    name: str
    shots: int
    rows: list[Row]
    notes: Sequence[str] = ()


def evaluate_run(
    model: TrainedModel, store: Store, options: EvaluationOptions, *, only_missing: bool = False
) -> Evaluation:
    """Evaluates a model on every task and writes the results; an error in one task does not stop the others.

    Args:
        model: The model.
        store: The store that has its record.
        options: The tasks, and how to evaluate them.
        only_missing: Skip tasks that have an item file of this step.
    """
    folder, scorer = store.items_dir(model.record.run_id), Scorer(model)
    stored = stored_evaluations(folder, model.step) if only_missing else set()
    result = Evaluation()
    for task, shots in planned_evaluations(options):
        try:
            scored = task_rows(scorer, store, task, shots, options, stored)
        except (*INPUT_ERRORS, ScoreError) as error:
            result.add_error(task, error)
            continue
        if scored.rows:
            label, scores = items.task_label(scored.name, scored.shots), mean_scores(scored.rows)
            result.scores[label] = scores
            result.notes += [note for note in scored.notes if note not in result.notes]
            # After each task, and before its items: a process that is killed leaves no items without their scores.
            write_scores(store, model, record_facts(label, scores))
            store.upload(items.write_items(folder, scored.name, scored.shots, model.step, scored.rows))
    return result


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
        name = items.safe_name(perplexity.task_name(options.tokens) if task == PERPLEXITY else task_name(task))
        if (name not in stored_tasks) if shots is None else ((name, shots) not in stored):
            return True
    return False


def task_rows(
    scorer: Scorer, store: Store, task: str, shots: int | None, options: EvaluationOptions, stored: Evaluations
) -> TaskRows:
    """Evaluates one task.

    Args:
        scorer: The model.
        store: The store that has the token files.
        task: Name of the task, or path of a user's file.
        shots: Solved examples before each question; None for the task's own number.
        options: How to evaluate it.
        stored: Evaluations to skip.
    """
    if task == PERPLEXITY:
        name = perplexity.task_name(options.tokens)
        if (items.safe_name(name), 0) in stored:
            return TaskRows(name, 0, [])
        return TaskRows(name, 0, *perplexity.perplexity_rows(scorer, store, options.tokens, options.items))
    if task == EXTRACTION:
        if (task, 0) in stored:
            return TaskRows(task, 0, [])
        return TaskRows(task, 0, *extraction.extraction_rows(scorer, options.items))
    requested = task_questions(task, shots, seed=options.seed, count=options.items, skip_bad=options.skip_bad)
    name, used_shots = requested.questions[0].task, requested.questions[0].shots
    if (items.safe_name(name), used_shots) in stored:
        return TaskRows(name, used_shots, [])
    pairs = [(question.location, list(scoring_pairs(scorer, question))) for question in requested.questions]
    fitting, long = fitting_pairs(scorer, task, pairs)
    questions = [requested.questions[i] for i in fitting]
    rows = score_questions(scorer, questions)
    if options.samples:
        add_generations(scorer, questions, rows, options)
    return TaskRows(name, used_shots, rows, [*requested.notes, *long])


def write_scores(store: Store, model: TrainedModel, scores: dict[str, float]) -> None:
    """Writes scores into the record, each with the step of the model.

    Args:
        store: The store that has the record.
        model: The model.
        scores: Scores by name, TASK[@SHOTS]/METRIC.
    """
    record = store.read(model.record.run_id)
    if record is not None and scores:
        store.write(with_scores(record, model.step, scores))


def with_scores(record: Record, step: int, scores: dict[str, float]) -> Record:
    """Returns a record with the scores of a model of its run added.

    Args:
        record: The record.
        step: Training steps of the model.
        scores: Scores by name, TASK[@SHOTS]/METRIC.
    """
    named = {items.score_name(name, step, record.config.steps): value for name, value in scores.items()}
    return dataclasses.replace(record, evals={**record.evals, **named})


def print_warnings(lines: Sequence[str]) -> None:
    """Prints errors of tasks to standard error, one line each."""
    for line in lines:
        print(f"scaling evaluate: {line}", file=sys.stderr)

"""Questions with their shots, as text, from a task family or a user's file.

The task of a file is named by its path, FILE.jsonl; shots are other lines of the file.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from scaling.config.validation import ConfigError, require
from scaling.data.tasks import FAMILIES
from scaling.data.tasks.family import Item, distinct_items, get_family, parse_task, stored_task_name
from scaling.evaluation.config import ZERO_SHOT_TASKS, EvaluationOptions
from scaling.evaluation.json_lines import read_entries
from scaling.evaluation.question_file import parse_item

SHOT_POOL = 64  # training items that shots are drawn from
FILE_SUFFIXES = (".jsonl", ".json", ".ndjson")  # of files of questions, also with .gz


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question as a model reads it.

    Attributes:
        task: Name of the task.
        family: Name of the task's family, or of the file.
        difficulty: Difficulty in the family; None for a file.
        shots: Solved examples in the prompt.
        prompt: The whole prompt.
        item: The question and its answer.
        index: Its place among the questions of the task, from 0; questions that are left out count too.
        location: Its name for the user: "line 3" of a file, else "question 3", from 1.
    """

    task: str
    family: str
    difficulty: int | None
    shots: int
    prompt: str
    item: Item
    index: int
    location: str


@dataclass(frozen=True)
class TaskQuestions:
    """The questions of a task.

    Attributes:
        questions: The questions.
        notes: Lines for the user: what was left out, and why there are fewer questions than requested.
    """

    questions: list[Question]
    notes: tuple[str, ...] = ()


def is_file(task: str) -> bool:
    """Whether the name of a task is the path of a file of questions."""
    return task.removesuffix(".gz").endswith(FILE_SUFFIXES)


def task_name(task: str) -> str:
    """Returns the name of a task in records and item files.

    The name of a file of questions is its own without suffixes; that of a function in a user's file has the content
    hash of the file, so that scores of a changed task have another name.
    """
    if not is_file(task):
        return stored_task_name(task)
    name = Path(task).name.removesuffix(".gz")
    return name.removesuffix(next(suffix for suffix in FILE_SUFFIXES if name.endswith(suffix)))


def bad_tasks(options: EvaluationOptions) -> dict[str, str]:
    """Returns the tasks that cannot be evaluated on any model, each with a message; loads no model."""
    messages: dict[str, str] = {}
    by_name: dict[str, str] = {}
    for task in options.tasks:
        try:
            other = by_name.setdefault(task_name(task), task)
            require(other == task, f"task {task}: has the same name as {other}: rename the file, or results would mix")
            for shots in options.shots or (None,):
                if task not in ZERO_SHOT_TASKS:
                    task_questions(task, shots, seed=options.seed, count=options.items, skip_bad=options.skip_bad)
        except ConfigError as error:
            messages[task] = str(error)
    return messages


def task_questions(task: str, shots: int | None, *, seed: int, count: int, skip_bad: bool = False) -> TaskQuestions:
    """Returns held-out questions of a task, with shots from its training split.

    Args:
        task: Name such as addition-3, the path of a file FILE.jsonl, or FILE.py:NAME-3, a function of a user's file.
        shots: Solved examples before each question; None: all examples of an item that has its own, else 0.
        seed: Seed of questions and shots.
        count: Number of questions.
        skip_bad: Leave bad lines of a file out.

    Raises:
        ConfigError: The task is unknown, a line of the file is wrong, or there are too few examples.
    """
    if is_file(task):
        return file_questions(Path(task), shots or 0, seed=seed, count=count, skip_bad=skip_bad)
    name, difficulty = parse_task(task)
    family, label = get_family(name), task_name(task)
    items = distinct_items(name, difficulty, "held-out", seed, count)
    own_examples = len(items[0].examples)
    require(
        not own_examples or shots is None or shots <= own_examples,
        f"task {task}: --shots {shots}: its questions have {own_examples} examples each",
    )
    shots = own_examples if shots is None else shots
    needs_pool = shots and not own_examples
    pool = distinct_items(name, difficulty, "train", f"shots {seed}", max(SHOT_POOL, shots)) if needs_pool else []
    questions = []
    for i, item in enumerate(items):
        prompt = item.with_shots(shots, draw_shots(pool, shots, f"{seed} {label} {i}"))
        questions.append(
            Question(
                task=label, family=family.label, difficulty=difficulty, shots=shots, prompt=prompt, item=item, index=i,
                location=f"question {i + 1}",
            )
        )  # fmt: skip
    if len(items) == count:
        return TaskQuestions(questions)
    return TaskQuestions(
        questions, (f"task {task}: {len(items)} questions instead of {count}: no others are held out from training",)
    )


def draw_shots(pool: list[Item], shots: int, stream: str) -> tuple[Item, ...]:
    """Draws distinct items from a pool in random order; returns all of them if the pool is smaller.

    Args:
        pool: Items to draw from.
        shots: Number of items.
        stream: Names the random stream.
    """
    remaining, uniform = list(pool), random.Random(stream).random
    return tuple(remaining.pop(int(uniform() * len(remaining))) for _ in range(min(shots, len(remaining))))


def file_questions(path: Path, shots: int, *, seed: int, count: int, skip_bad: bool) -> TaskQuestions:
    """Returns the first questions of a user's file, with other lines as shots.

    Args:
        path: The file.
        shots: Solved examples before each question.
        seed: Seed of the shots.
        count: Largest number of questions.
        skip_bad: Leave bad lines out.

    Raises:
        ConfigError: The file cannot be read, a line is wrong, or there are too few lines for the shots.
    """
    name = task_name(path.name)
    family = name.rpartition("-")[0]
    require(
        family not in FAMILIES and name not in ZERO_SHOT_TASKS,
        f"task {path}: {name} is the name of another task: rename the file, or results would mix",
    )
    entries, bad = read_entries(path, parse_item, skip_bad=skip_bad)
    require(
        shots < len(entries),
        f"task {path}: --shots {shots}: must be below the number of its questions, {len(entries)}",
    )
    questions = []
    for i, entry in enumerate(entries[:count]):
        others = [other.value for other in entries[:i] + entries[i + 1 :]]
        prompt = entry.value.with_shots(shots, draw_shots(others, shots, f"{seed} {name} {i}"))
        questions.append(
            Question(
                task=name, family=name, difficulty=None, shots=shots, prompt=prompt, item=entry.value,
                index=entry.index, location=entry.name,
            )
        )  # fmt: skip
    notes = [f"left out: {line}" for line in bad]
    if count < len(entries):
        notes.append(f"task {name}: the first {count:,} of its {len(entries):,} questions: --items M sets how many")
    return TaskQuestions(questions, tuple(notes))

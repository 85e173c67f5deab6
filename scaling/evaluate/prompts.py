"""Questions with their shots, as text, from a task family or a user's file.

The task of a file is named by its path, FILE.jsonl. Each line is a question: {"prompt": ..., "answer": ...}, or
{"prompt": ..., "choices": [...], "gold": 0} with the index of the correct choice; "chance" is optional. Shots are other
lines of the file.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scaling.config.validation import require
from scaling.data.tasks.family import Item, distinct_items, parse_task

SHOT_POOL = 64  # training items that shots are drawn from
LINE_FIELDS = ("prompt", "answer", "choices", "gold", "chance")


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
    """

    task: str
    family: str
    difficulty: int | None
    shots: int
    prompt: str
    item: Item


def task_questions(task: str, shots: int | None, *, seed: int, count: int) -> list[Question]:
    """Returns held-out questions of a task, with shots from its training split.

    Args:
        task: Name such as addition-3, or the path of a file FILE.jsonl.
        shots: Solved examples before each question; None: all examples of an item that has its own, else 0.
        seed: Seed of questions and shots.
        count: Number of questions.

    Raises:
        ConfigError: The task is unknown, a line of the file is wrong, or there are too few examples.
    """
    if task.endswith(".jsonl"):
        return file_questions(Path(task), shots or 0, seed=seed, count=count)
    name, difficulty = parse_task(task)
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
        prompt = item.with_shots(shots, draw_shots(pool, shots, f"{seed} {task} {i}"))
        questions.append(Question(task=task, family=name, difficulty=difficulty, shots=shots, prompt=prompt, item=item))
    return questions


def draw_shots(pool: list[Item], shots: int, stream: str) -> tuple[Item, ...]:
    """Draws distinct items from a pool in random order; returns all of them if the pool is smaller.

    Args:
        pool: Items to draw from.
        shots: Number of items.
        stream: Names the random stream.
    """
    remaining, uniform = list(pool), random.Random(stream).random
    return tuple(remaining.pop(int(uniform() * len(remaining))) for _ in range(min(shots, len(remaining))))


def file_questions(path: Path, shots: int, *, seed: int, count: int) -> list[Question]:
    """Returns the first questions of a user's file, with other lines as shots.

    Args:
        path: The file.
        shots: Solved examples before each question.
        seed: Seed of the shots.
        count: Largest number of questions.

    Raises:
        ConfigError: The file cannot be read, a line is wrong, or there are too few lines for the shots.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        require(False, f"task {path}: cannot be read: {reason}")
    items = [parse_line(line, f"{path}, line {i}") for i, line in enumerate(lines, 1) if line.strip()]
    require(bool(items), f"task {path}: has no questions")
    require(
        shots < len(items), f"task {path}: --shots {shots}: must be below the number of its questions, {len(items)}"
    )
    questions = []
    for i, item in enumerate(items[:count]):
        others = items[:i] + items[i + 1 :]
        prompt = item.with_shots(shots, draw_shots(others, shots, f"{seed} {path.stem} {i}"))
        questions.append(
            Question(task=path.stem, family=path.stem, difficulty=None, shots=shots, prompt=prompt, item=item)
        )
    return questions


def parse_line(line: str, location: str) -> Item:
    """Parses a line of a user's file.

    Args:
        line: The line.
        location: File and line number, for messages.

    Raises:
        ConfigError: The line is not a JSON object, or a field is wrong.
    """
    try:
        data = json.loads(line)
    except json.JSONDecodeError as error:
        require(False, f"{location}: not JSON: {error.msg}")
    require(
        isinstance(data, dict), f"{location}: must be an object with prompt and answer, or prompt, choices and gold"
    )
    return parse_item(data, location)


def parse_item(data: dict[str, Any], location: str) -> Item:
    """Checks the fields of a line and returns its item; raises ConfigError for an invalid field.

    Args:
        data: The object of the line.
        location: File and line number, for messages.
    """
    unknown = [key for key in data if key not in LINE_FIELDS]
    require(not unknown, f"{location}: unknown field {', '.join(unknown)}: must be one of {', '.join(LINE_FIELDS)}")
    prompt, answer, choices, gold = (data.get(key) for key in ("prompt", "answer", "choices", "gold"))
    require(isinstance(prompt, str) and prompt != "", f"{location}: prompt must be text")
    if choices is not None:
        texts = isinstance(choices, list) and len(choices) > 1 and all(isinstance(c, str) and c for c in choices)
        require(texts, f"{location}: choices must be two texts or more")
        in_range = isinstance(gold, int) and not isinstance(gold, bool) and 0 <= gold < len(choices)
        require(
            in_range, f"{location}: gold = {gold!r}: must be the index of the correct choice, 0 to {len(choices) - 1}"
        )
        require(answer in (None, choices[gold]), f"{location}: answer and choices[gold] differ: leave answer out")
        answer = choices[gold]
    require(isinstance(answer, str) and answer != "", f"{location}: answer must be text")
    chance = data.get("chance", 1 / len(choices) if choices else None)
    is_probability = chance is None or (isinstance(chance, int | float) and 0 <= chance <= 1)
    require(is_probability, f"{location}: chance = {chance!r}: must be between 0 and 1")
    return Item(prompt=str(prompt), answer=str(answer), key=str(prompt), chance=chance, choices=tuple(choices or ()))

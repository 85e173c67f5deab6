"""What a model is asked: the questions of a task with their shots, as text; families', or a person's own from a file.

A file's task is named by its path, FILE.jsonl, a question a line: {"prompt": ..., "answer": ...}, or {"prompt": ...,
"choices": [...], "gold": 0}, the right one by its place; "chance" where it is known. Its shots are other lines of it.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scaling.config.validation import require
from scaling.data.tasks.family import Item, distinct_items, parse_task

SHOT_POOL = 64  # questions that shots are drawn from


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question as a model sees it. difficulty: None where the task is not one of a family."""

    task: str
    family: str
    difficulty: int | None
    shots: int
    prompt: str
    item: Item


def task_questions(task: str, shots: int | None, *, seed: int, count: int) -> list[Question]:
    """The held-out questions of a task, their shots from its training split; ConfigError says what is wrong.

    shots: None: none, but of a family whose questions bring their own examples all of them.
    """
    if task.endswith(".jsonl"):
        return file_questions(Path(task), shots or 0, seed=seed, count=count)
    name, difficulty = parse_task(task)
    asked = distinct_items(name, difficulty, "held-out", seed, count)
    own = len(asked[0].examples)
    require(
        not own or shots is None or shots <= own,
        f"task {task}: --shots {shots}: its questions have {own} examples each",
    )
    used = own if shots is None else shots
    pool = [] if own or not used else distinct_items(name, difficulty, "train", f"shots {seed}", max(SHOT_POOL, used))
    return [
        Question(
            task=task, family=name, difficulty=difficulty, shots=used, prompt=item.with_shots(used, others), item=item
        )
        for item, others in ((item, draw_shots(pool, used, f"{seed} {task} {i}")) for i, item in enumerate(asked))
    ]


def draw_shots(pool: list[Item], shots: int, stream: str, but: int | None = None) -> tuple[Item, ...]:
    """So many of the pool, without the one at `but`, in an order of chance; fewer where it has fewer."""
    left = [item for i, item in enumerate(pool) if i != but]
    draw = random.Random(stream).random
    return tuple(left.pop(int(draw() * len(left))) for _ in range(min(shots, len(left))))


def file_questions(path: Path, shots: int, *, seed: int, count: int) -> list[Question]:
    """A person's own questions; the first `count` of them."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        require(False, f"task {path}: cannot be read: {reason}")
    found = [parse_item(parse_line(line, f"{path}, line {i + 1}"), f"{path}, line {i + 1}")
             for i, line in enumerate(lines) if line.strip()]  # fmt: skip
    require(bool(found), f"task {path}: has no questions")
    require(
        shots < len(found), f"task {path}: --shots {shots}: it has {len(found)} questions, the one asked among them"
    )
    return [
        Question(
            task=path.stem, family=path.stem, difficulty=None, shots=shots, item=item,
            prompt=item.with_shots(shots, draw_shots(found, shots, f"{seed} {path.stem} {i}", but=i)),
        )
        for i, item in enumerate(found[:count])
    ]  # fmt: skip


def parse_line(line: str, where: str) -> dict[str, Any]:
    """A line's object."""
    try:
        data = json.loads(line)
    except json.JSONDecodeError as error:
        require(False, f"{where}: not JSON: {error.msg}")
    require(isinstance(data, dict), f"{where}: must be an object with prompt and answer, or prompt, choices and gold")
    return dict(data)


def parse_item(data: dict[str, Any], where: str) -> Item:
    """The question of a line."""
    known = ("prompt", "answer", "choices", "gold", "chance")
    strange = [key for key in data if key not in known]
    require(not strange, f"{where}: unknown field {', '.join(strange)}: known are {', '.join(known)}")
    prompt, answer, choices, gold = (data.get(key) for key in ("prompt", "answer", "choices", "gold"))
    require(isinstance(prompt, str) and prompt != "", f"{where}: prompt must be text")
    if choices is not None:
        texts = isinstance(choices, list) and len(choices) > 1 and all(isinstance(c, str) and c for c in choices)
        require(texts, f"{where}: choices must be two texts or more")
        right = isinstance(gold, int) and not isinstance(gold, bool) and 0 <= gold < len(choices)
        require(right, f"{where}: gold = {gold!r}: must be the place of the right choice, 0 to {len(choices) - 1}")
        require(answer in (None, choices[gold]), f"{where}: answer and choices[gold] differ: leave answer out")
        answer = choices[gold]
    require(isinstance(answer, str) and answer != "", f"{where}: answer must be text")
    chance = data.get("chance", 1 / len(choices) if choices else None)
    known_chance = chance is None or (isinstance(chance, int | float) and 0 <= chance <= 1)
    require(known_chance, f"{where}: chance = {chance!r}: must be between 0 and 1")
    return Item(prompt=str(prompt), answer=str(answer), key=str(prompt), chance=chance, choices=tuple(choices or ()))


__all__ = ["END", "Question", "checked", "family", "of_task"]

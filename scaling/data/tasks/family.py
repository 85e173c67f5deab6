"""Items of a task family: drawn by difficulty, equal on every machine, with a held-out split that training never uses.

An item's split depends on the hash of its own key, so it is the same for every seed, count and mixture.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from scaling.config.user_code import CodeReference, UserCodeError, load_object, parse_reference, read_code, user_errors
from scaling.config.validation import ConfigError, require
from scaling.data.tasks import FAMILIES

SPLITS = ("train", "held-out")
HELD_OUT_SHARE = 0.1  # of the items, by hash
REPEATS_PER_ITEM = 20  # draws without a new item, per distinct item drawn, after which there are no others
MIN_REPEATS = 500  # draws without a new item before the same conclusion where few items are drawn
MAX_DRAWS_OUTSIDE_SPLIT = 5000  # consecutive draws in the other split, after which a split counts as empty
ANSWER_END = "\n"  # follows every answer
LETTERS = "abcdefghijklmnopqrstuvwxyz"
RandomBelow = Callable[[int], int]  # a random integer in [0, n)
LABEL_DIGITS = 8  # of the content hash of a user's file, in the name of its task
LARGEST_DIFFICULTY = 10**6  # of a user's task that does not limit it


@dataclass(frozen=True, kw_only=True)
class Item:
    """One question with its answer.

    The prompt of a model is `head`, then as many of `examples` as there are shots, then `prompt`.

    Attributes:
        prompt: The question.
        answer: The correct answer.
        key: Identity of the question, which determines its split: 12+34 and 34+12 have the same key.
        chance: Probability that a random guess is correct, among the choices or among all possible answers; None where
            unknown.
        choices: Answers to choose from; empty for an open question.
        head: Text before the examples.
        examples: Solved examples that belong to this item alone. Without them, shots are other items of the family.
    """

    prompt: str
    answer: str
    key: str
    chance: float | None
    choices: tuple[str, ...] = ()
    head: str = ""
    examples: tuple[str, ...] = ()

    def solved(self, shots: int | None = None) -> str:
        """Returns the item with its answer, as training text has it.

        Args:
            shots: How many of its own examples to include; all unless given.
        """
        return self.with_shots(len(self.examples) if shots is None else shots) + self.answer + ANSWER_END

    def with_shots(self, shots: int, others: tuple[Item, ...] = ()) -> str:
        """Returns the prompt of a model.

        Args:
            shots: Number of solved examples before the question.
            others: Items to use as examples where the item has none of its own.
        """
        if self.examples:
            return self.head + "".join(self.examples[:shots]) + self.prompt
        return "".join(other.solved() for other in others[:shots]) + self.head + self.prompt


@dataclass(frozen=True)
class Family:
    """A family of questions.

    Attributes:
        name: Names the random streams and the split of an item; a changed file keeps it, so that no held-out item of a
            user's task becomes one of training.
        label: Name in records and item files; of a user's task with its content hash.
        draw: Draws an item of a difficulty (None for a family that has none).
        difficulties: Lowest and highest difficulty; None for a family that has none.
        default_difficulties: Those of a mixture that names none.
        question_pattern: Regular expression that matches each question; None where a user's task does not have one.
    """

    name: str
    label: str
    draw: Callable[[int | None, RandomBelow], Item]
    difficulties: tuple[int, int] | None
    default_difficulties: tuple[int, int] | None
    question_pattern: str | None

    def task(self, difficulty: int | None) -> str:
        """Returns the name of a task in records and item files."""
        return self.label if difficulty is None else f"{self.label}-{difficulty}"


def get_family(name: str) -> Family:
    """Returns a family of the package, or one of a user's file; ConfigError lists the known families.

    Args:
        name: A key of FAMILIES, or FILE.py:NAME as the user gave it: the file is run.
    """
    reference = parse_reference(name)
    if reference is not None:
        return _user_family(reference)
    require(name in FAMILIES, f"unknown task family {name!r}: must be one of {', '.join(FAMILIES)}, or FILE.py:NAME")
    module = importlib.import_module(FAMILIES[name])
    return Family(
        name, name, module.draw, module.DIFFICULTIES, module.DEFAULT_DIFFICULTIES, module.QUESTION_PATTERN
    )  # fmt: skip


def _user_family(reference: CodeReference) -> Family:
    """Runs a user's file and returns the family of its function `NAME(difficulty, randbelow)` or `NAME(randbelow)`."""
    function = load_object(reference, kind="a function", accepts=inspect.isfunction)
    parameters = list(inspect.signature(function).parameters)
    require(
        is_task(function) and len(parameters) <= 2,
        f"task {reference}: must be a function of (difficulty, randbelow) or of (randbelow), not of {parameters}",
    )

    def draw(difficulty: int | None, randbelow: RandomBelow) -> Item:
        with user_errors():
            item = function(randbelow) if difficulty is None else function(difficulty, randbelow)
        if not isinstance(item, Item):
            raise UserCodeError(f"task {reference}: returns {type(item).__name__}: must return a scaling.Item")
        return item

    difficulties = getattr(function, "difficulties", (1, LARGEST_DIFFICULTY)) if len(parameters) > 1 else None
    defaults = getattr(function, "default_difficulties", difficulties)
    return Family(
        reference.name,
        _user_label(reference),
        draw,
        difficulties,
        defaults,
        getattr(function, "question_pattern", None),
    )


def _user_label(reference: CodeReference) -> str:
    return f"{reference.name}.{read_code(reference.source).sha256[:LABEL_DIGITS]}"


def stored_task_name(task: str) -> str:
    """Returns the name of a task in records and item files; a user's file is read, but not run.

    Args:
        task: As for `--tasks`: addition-3, FILE.py:NAME-3, FILE.py:NAME, FILE.jsonl.
    """
    family, dash, difficulty = task.rpartition("-")
    for name, suffix in ((task, ""), (family, dash + difficulty)):
        reference = parse_reference(name)
        if reference is not None:
            return _user_label(reference) + suffix
    return task


def is_task(function: Any) -> bool:
    """Whether a function of a user's file draws items: its last parameter is named randbelow."""
    return inspect.isfunction(function) and list(inspect.signature(function).parameters)[-1:] == ["randbelow"]


def parse_task(task: str) -> tuple[str, int | None]:
    """Splits `addition-3` into family and difficulty; ConfigError says what is allowed.

    The family of a user's file is FILE.py:NAME, and its task FILE.py:NAME-3, or FILE.py:NAME without difficulties.
    """
    if parse_reference(task) is not None:
        return task, check_difficulty(task, None)
    name, _, number = task.rpartition("-")
    known = f"must be one of {', '.join(FAMILIES)} with a difficulty, such as addition-3, perplexity, extraction, "
    known += "a file of questions, FILE.jsonl, or a function of yours, FILE.py:NAME-3"
    is_known = name in FAMILIES or parse_reference(name) is not None
    require(number.isdecimal() and is_known, f"unknown task {task!r}: {known}")
    return name, check_difficulty(name, int(number))


def check_difficulty(name: str, difficulty: int | None) -> int | None:
    """Returns the difficulty unchanged; ConfigError where the family does not have it.

    Args:
        name: Name of the family.
        difficulty: The difficulty, in the unit of the family; None for a family that has none.
    """
    difficulties = get_family(name).difficulties
    if difficulties is None or difficulty is None:
        require(difficulties is None, f"task {name}: needs a difficulty, such as {name}-{(difficulties or (1,))[0]}")
        require(difficulty is None, f"task {name}-{difficulty}: {name} has no difficulties: leave -{difficulty} out")
        return None
    lowest, highest = difficulties
    require(
        lowest <= difficulty <= highest,
        f"task {name}-{difficulty}: difficulties of {name} are {lowest} to {highest}",
    )
    return difficulty


def item_split(name: str, key: str) -> str:
    """Returns the split of an item, which depends on the hash of its key alone.

    Args:
        name: Name of the family.
        key: Key of the item.
    """
    number = int.from_bytes(hashlib.sha256(f"{name} {key}".encode()).digest()[:8], "big")
    return SPLITS[number < HELD_OUT_SHARE * 2**64]


def draw_items(name: str, difficulty: int | None, split: str, seed: int | str) -> Iterator[Item]:
    """Draws items of a split without end, with repetitions; equal arguments give equal items on every machine.

    Args:
        name: Name of the family.
        difficulty: The difficulty, in the unit of the family.
        split: `train` or `held-out`.
        seed: Names the random stream.

    Raises:
        ConfigError: The family, difficulty or split is unknown, or the split has no items.
    """
    require(split in SPLITS, f"split {split!r}: must be one of {', '.join(SPLITS)}")
    check_difficulty(name, difficulty)
    family = get_family(name)
    uniform = random.Random(f"{family.name} {difficulty} {split} {seed}").random  # a stream that Python guarantees

    def randbelow(bound: int) -> int:
        return int(uniform() * bound)

    draws_outside = 0
    while draws_outside < MAX_DRAWS_OUTSIDE_SPLIT:
        item = family.draw(difficulty, randbelow)
        draws_outside += 1
        if item_split(family.name, item.key) == split:
            draws_outside = 0
            yield item
    raise ConfigError(f"task {family.task(difficulty)}: has no items in the {split} split: use a higher difficulty")


def distinct_items(name: str, difficulty: int | None, split: str, seed: int | str, count: int) -> list[Item]:
    """Draws distinct items of a split.

    Args:
        name: Name of the family.
        difficulty: The difficulty, in the unit of the family.
        split: `train` or `held-out`.
        seed: Names the random stream.
        count: Number of items.

    Returns:
        `count` items, or all that were drawn before the draws stopped giving new ones.
    """
    items: dict[str, Item] = {}
    repeats = 0
    for item in draw_items(name, difficulty, split, seed):
        repeats = repeats + 1 if item.key in items else 0
        items.setdefault(item.key, item)
        if len(items) == count or repeats >= max(MIN_REPEATS, REPEATS_PER_ITEM * len(items)):
            break
    return list(items.values())


def question_pattern(names: list[str]) -> re.Pattern[str]:
    """Compiles a pattern that matches any question of these families in a text.

    Raises:
        ConfigError: A user's task does not say what its questions look like.
    """
    patterns = {name: get_family(name).question_pattern for name in names}
    for name, pattern in patterns.items():
        require(
            pattern is not None,
            f"{name}: set the function's question_pattern, a regular expression that matches its questions: documents "
            "of other parts that contain one are left out",
        )
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns.values()))


def distinct_letters(count: int, randbelow: RandomBelow, alphabet: str = LETTERS) -> str:
    """Draws distinct letters.

    Args:
        count: Number of letters.
        randbelow: Source of random integers.
        alphabet: Letters to draw from.
    """
    remaining, drawn_letters = list(alphabet), ""
    for _ in range(count):
        drawn_letters += remaining.pop(randbelow(len(remaining)))
    return drawn_letters

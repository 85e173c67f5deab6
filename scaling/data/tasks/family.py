"""Items of a task family: drawn by difficulty, equal on every machine, with a held-out split that training never uses.

An item's split depends on the hash of its own key, so it is the same for every seed, count and mixture.
"""

from __future__ import annotations

import hashlib
import importlib
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType

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


def get_family(name: str) -> ModuleType:
    """Imports the module of a family; ConfigError lists the known families."""
    require(name in FAMILIES, f"unknown task family {name!r}: must be one of {', '.join(FAMILIES)}")
    return importlib.import_module(FAMILIES[name])


def parse_task(task: str) -> tuple[str, int]:
    """Splits `addition-3` into family and difficulty; ConfigError says what is allowed."""
    name, _, number = task.rpartition("-")
    known = f"must be one of {', '.join(FAMILIES)} with a difficulty, such as addition-3, perplexity, extraction, "
    known += "or a file of questions, FILE.jsonl"
    require(number.isdecimal() and name in FAMILIES, f"unknown task {task!r}: {known}")
    return name, check_difficulty(name, int(number))


def check_difficulty(name: str, difficulty: int) -> int:
    """Returns the difficulty unchanged; ConfigError where the family does not have it.

    Args:
        name: Name of the family.
        difficulty: The difficulty, in the unit of the family.
    """
    lowest, highest = get_family(name).DIFFICULTIES
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


def draw_items(name: str, difficulty: int, split: str, seed: int | str) -> Iterator[Item]:
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
    draw = get_family(name).draw
    uniform = random.Random(f"{name} {difficulty} {split} {seed}").random  # a stream that Python guarantees

    def randbelow(bound: int) -> int:
        return int(uniform() * bound)

    draws_outside = 0
    while draws_outside < MAX_DRAWS_OUTSIDE_SPLIT:
        item = draw(difficulty, randbelow)
        draws_outside += 1
        if item_split(name, item.key) == split:
            draws_outside = 0
            yield item
    raise ConfigError(f"task {name}-{difficulty}: has no items in the {split} split: use a higher difficulty")


def distinct_items(name: str, difficulty: int, split: str, seed: int | str, count: int) -> list[Item]:
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
    """Compiles a pattern that matches any question of these families in a text."""
    return re.compile("|".join(f"(?:{get_family(name).QUESTION_PATTERN})" for name in names))


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

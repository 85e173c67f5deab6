"""Families of tasks: questions by difficulty, the same everywhere, with a held-out split that training never sees."""

from __future__ import annotations

import hashlib
import importlib
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType

from scaling.config.validation import ConfigError, require
from scaling.data.tasks.registry import FAMILIES

SPLITS = ("train", "held-out")
HELD_OUT = 0.1  # share of the questions, by hash
TRIES = 20  # draws in vain for each question found: there are no others
NONE = 5000  # draws outside a split: there is nothing in it
END = "\n"  # after every answer
Whole = Callable[[int], int]  # a whole number in [0, n)


@dataclass(frozen=True, kw_only=True)
class Item:
    """One question. What is shown is `head`, as many of `own` as shots are asked for, and `prompt`.

    own: solved examples that belong to this question alone; without them, shots are other questions of the family.
    key: what is asked, by which a question falls in a split: 12+34 and 34+12 ask the same.
    chance: probability that a guess is right, where it is known: among the choices, or among all possible answers.
    """

    prompt: str
    answer: str
    key: str
    chance: float | None
    choices: tuple[str, ...] = ()
    head: str = ""
    own: tuple[str, ...] = ()

    @property
    def solved(self) -> str:
        """The whole question with all of its own examples, answered."""
        return self.answered(len(self.own))

    def answered(self, shots: int) -> str:
        """The question with so many of its own examples, answered: as training reads it."""
        return self.shown(shots) + self.answer + END

    def shown(self, shots: int, others: tuple[Item, ...] = ()) -> str:
        """What the model is given before its answer; others: questions to show where it has no examples of its own."""
        if self.own:
            return self.head + "".join(self.own[:shots]) + self.prompt
        return "".join(other.solved for other in others[:shots]) + self.head + self.prompt


def family(name: str) -> ModuleType:
    """The module of a family; ConfigError lists the known ones."""
    require(name in FAMILIES, f"unknown family of tasks {name!r}: known are {', '.join(FAMILIES)}")
    return importlib.import_module(FAMILIES[name])


def parse(task: str) -> tuple[str, int]:
    """`addition-3` as its family and difficulty; ConfigError says what is allowed."""
    name, _, number = task.rpartition("-")
    known = f"known are {', '.join(FAMILIES)}, with a difficulty: addition-3"
    require(number.isdecimal() and name in FAMILIES, f"unknown task {task!r}: {known}")
    checked(name, int(number))
    return name, int(number)


def checked(name: str, difficulty: int) -> int:
    """The difficulty, where the family has it."""
    least, most = family(name).DIFFICULTIES
    require(least <= difficulty <= most, f"task {name}-{difficulty}: difficulties of {name} are {least} to {most}")
    return difficulty


def split_of(name: str, key: str) -> str:
    """The split of a question: by its own hash, so that no other question has a say in it."""
    number = int.from_bytes(hashlib.sha256(f"{name} {key}".encode()).digest()[:8], "big")
    return SPLITS[number < HELD_OUT * 2**64]


def draws(name: str, difficulty: int, split: str, seed: int | str) -> Iterator[Item]:
    """Questions of a split without end, some of them more than once; the same for the same arguments, everywhere.

    ConfigError where the split has none.
    """
    require(split in SPLITS, f"split {split!r}: must be one of {', '.join(SPLITS)}")
    checked(name, difficulty)
    draw = family(name).draw
    stream = random.Random(f"{name} {difficulty} {split} {seed}").random  # a stream that Python guarantees

    def whole(below: int) -> int:
        return int(stream() * below)

    vain = 0
    while vain < NONE:
        item = draw(difficulty, whole)
        vain += 1
        if split_of(name, item.key) == split:
            vain = 0
            yield item
    raise ConfigError(
        f"task {name}-{difficulty}: has so few questions that none is in the {split} split: a harder one has"
    )


def items(name: str, difficulty: int, split: str, seed: int | str, count: int) -> list[Item]:
    """That many different questions, or all that were found where there are fewer."""
    found: dict[str, Item] = {}
    vain = 0
    for item in draws(name, difficulty, split, seed):
        vain = vain + 1 if item.key in found else 0
        found.setdefault(item.key, item)
        if len(found) == count or vain >= max(500, TRIES * len(found)):
            break
    return list(found.values())


def pattern(names: list[str]) -> re.Pattern[str]:
    """Finds a question of these families in any text."""
    return re.compile("|".join(f"(?:{family(name).QUESTION})" for name in names))


def letters(count: int, whole: Whole, among: str = "abcdefghijklmnopqrstuvwxyz") -> str:
    """That many different letters."""
    left, out = list(among), ""
    for _ in range(count):
        out += left.pop(whole(len(left)))
    return out


__all__ = [
    "END", "HELD_OUT", "SPLITS", "ConfigError", "Item", "Whole", "checked", "draws", "family", "items", "letters",
    "parse", "pattern", "split_of",
]  # fmt: skip

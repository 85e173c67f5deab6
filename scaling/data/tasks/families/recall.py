"""recall-N: the value of one of N keys, `find aK bZ qC b=Z` (associative recall, Ba 2016)."""

from __future__ import annotations

from scaling.data.tasks.family import Item, RandomBelow, distinct_letters

QUESTION_PATTERN = r"find (?:[a-z][A-Z] )+[a-z]="
DIFFICULTIES = (1, 26)  # pairs
DEFAULT_DIFFICULTIES = (1, 8)  # of a mixture that names none
VALUES = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def draw(pairs: int, randbelow: RandomBelow) -> Item:
    """Draws distinct keys and distinct values.

    Args:
        pairs: Number of keys.
        randbelow: Source of random integers.

    Returns:
        The item; a guess is one of the values in the prompt.
    """
    keys, values = distinct_letters(pairs, randbelow), distinct_letters(pairs, randbelow, VALUES)
    query = randbelow(pairs)
    table = " ".join(key + value for key, value in zip(keys, values, strict=True))
    prompt = f"find {table} {keys[query]}="
    choices = tuple(sorted(values))
    return Item(prompt=prompt, answer=values[query], key=prompt, choices=choices, chance=1 / pairs)

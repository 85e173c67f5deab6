"""sorting-N: N distinct letters in order, `sort dbca=abcd`."""

from __future__ import annotations

import math

from scaling.data.tasks.family import Item, RandomBelow, distinct_letters

QUESTION_PATTERN = r"sort [a-z]+="
DIFFICULTIES = (2, 26)  # letters
DEFAULT_DIFFICULTIES = (2, 8)  # of a mixture that names none


def draw(count: int, randbelow: RandomBelow) -> Item:
    """Draws distinct letters.

    Args:
        count: Number of letters.
        randbelow: Source of random integers.

    Returns:
        The item; a guess is one of the orders of the letters.
    """
    text = distinct_letters(count, randbelow)
    prompt = f"sort {text}="
    return Item(prompt=prompt, answer="".join(sorted(text)), key=text, chance=1 / math.factorial(count))

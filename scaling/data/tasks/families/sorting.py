"""sorting-N: N different letters in order, `sort dbca=abcd`."""

from __future__ import annotations

import math

from scaling.data.tasks.family import Item, Whole, letters

QUESTION = r"sort [a-z]+="
DIFFICULTIES = (2, 26)  # letters
USUAL = (2, 8)  # in a mixture that names none


def draw(count: int, whole: Whole) -> Item:
    """A guess is one of the orders of these letters."""
    text = letters(count, whole)
    prompt = f"sort {text}="
    return Item(prompt=prompt, answer="".join(sorted(text)), key=text, chance=1 / math.factorial(count))

"""multiplication-K: the product of two numbers of K digits, `mul 12*34=408`."""

from __future__ import annotations

from scaling.data.tasks.families.addition import number, pair, span
from scaling.data.tasks.family import Item, Whole

QUESTION = r"mul \d+\*\d+="
DIFFICULTIES = (1, 8)  # digits
USUAL = (1, 3)  # in a mixture that names none


def draw(digits: int, whole: Whole) -> Item:
    """Two numbers without leading zeros. A guess is a number between the least and the largest product."""
    a, b = number(digits, whole), number(digits, whole)
    least, most = span(digits)
    return Item(prompt=f"mul {a}*{b}=", answer=str(a * b), key=pair(a, b), chance=1 / (most**2 - least**2 + 1))

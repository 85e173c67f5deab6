"""multiplication-K: the product of two numbers of K digits, `mul 12*34=408`."""

from __future__ import annotations

from scaling.data.tasks.families.addition import digit_range, random_number, unordered_pair
from scaling.data.tasks.family import Item, RandomBelow

QUESTION_PATTERN = r"mul \d+\*\d+="
DIFFICULTIES = (1, 8)  # digits
DEFAULT_DIFFICULTIES = (1, 3)  # of a mixture that names none


def draw(digits: int, randbelow: RandomBelow) -> Item:
    """Draws two numbers without leading zeros.

    Args:
        digits: Digits of each number.
        randbelow: Source of random integers.

    Returns:
        The item; a guess is a number from the smallest to the largest product.
    """
    a, b = random_number(digits, randbelow), random_number(digits, randbelow)
    smallest, largest = digit_range(digits)
    chance = 1 / (largest**2 - smallest**2 + 1)
    return Item(prompt=f"mul {a}*{b}=", answer=str(a * b), key=unordered_pair(a, b), chance=chance)

"""reversed-addition-K: addition-K with the sum written from its lowest digit, `dda 123+458=185`.

Models learn it from less data than addition (Lee 2023, section 3): carries then move in the order of writing.
"""

from __future__ import annotations

from scaling.data.tasks.families import addition
from scaling.data.tasks.family import Item, RandomBelow

QUESTION_PATTERN = r"dda \d+\+\d+="
DIFFICULTIES = addition.DIFFICULTIES
DEFAULT_DIFFICULTIES = addition.DEFAULT_DIFFICULTIES


def draw(digits: int, randbelow: RandomBelow) -> Item:
    """Draws two numbers without leading zeros, as `addition` does.

    Args:
        digits: Digits of each number.
        randbelow: Source of random integers.

    Returns:
        The item; a guess is one of the possible sums.
    """
    a, b = addition.random_number(digits, randbelow), addition.random_number(digits, randbelow)
    key, chance = addition.unordered_pair(a, b), addition.sum_chance(digits)
    return Item(prompt=f"dda {a}+{b}=", answer=str(a + b)[::-1], key=key, chance=chance)

"""reversed-addition-K: as addition-K, the sum written from its lowest digit: `dda 123+458=185`, as carries go."""

from __future__ import annotations

from scaling.data.tasks.families import addition
from scaling.data.tasks.family import Item, Whole

QUESTION = r"dda \d+\+\d+="
DIFFICULTIES = addition.DIFFICULTIES
USUAL = (1, 5)  # in a mixture that names none


def draw(digits: int, whole: Whole) -> Item:
    """The question of `addition`, its answer the other way round (Lee 2023, section 3, has it learned from less)."""
    a, b = addition.number(digits, whole), addition.number(digits, whole)
    least, most = addition.span(digits)
    chance = 1 / (2 * (most - least) + 1)
    return Item(prompt=f"dda {a}+{b}=", answer=str(a + b)[::-1], key=addition.pair(a, b), chance=chance)

"""copying-N: repeat N letters, `copy kzza=kzza`."""

from __future__ import annotations

from scaling.data.tasks.family import LETTERS, Item, RandomBelow

QUESTION_PATTERN = r"copy [a-z]+="
DIFFICULTIES = (1, 64)  # letters
DEFAULT_DIFFICULTIES = (1, 12)  # of a mixture that names none


def draw(count: int, randbelow: RandomBelow) -> Item:
    """Draws letters, with repetitions.

    Args:
        count: Number of letters.
        randbelow: Source of random integers.

    Returns:
        The item; a guess is any string of `count` letters.
    """
    text = "".join(LETTERS[randbelow(26)] for _ in range(count))
    return Item(prompt=f"copy {text}=", answer=text, key=text, chance=26.0**-count)

"""copying-N: N letters once more, `copy kzza=kzza`."""

from __future__ import annotations

from scaling.data.tasks.family import Item, Whole

QUESTION = r"copy [a-z]+="
DIFFICULTIES = (1, 64)  # letters
USUAL = (1, 12)  # in a mixture that names none


def draw(count: int, whole: Whole) -> Item:
    """A guess is any word of so many letters."""
    text = "".join(chr(ord("a") + whole(26)) for _ in range(count))
    return Item(prompt=f"copy {text}=", answer=text, key=text, chance=26.0**-count)

"""induction-N: N different letters, then some of them again: what comes next? `next kxwqz kxw=q` (Olsson 2022)."""

from __future__ import annotations

from scaling.data.tasks.family import Item, Whole, letters

QUESTION = r"next [a-z]+ [a-z]+="
DIFFICULTIES = (2, 26)  # letters
USUAL = (2, 12)  # in a mixture that names none


def draw(count: int, whole: Whole) -> Item:
    """Any run of one to three of the letters but the last is said again. A guess is one of the letters."""
    text = letters(count, whole)
    last = 1 + whole(count - 1)  # the answer's place
    again = text[max(0, last - 1 - whole(3)) : last]
    return Item(
        prompt=f"next {text} {again}=", answer=text[last], key=f"{text} {again}", choices=tuple(sorted(text)),
        chance=1 / count,
    )  # fmt: skip

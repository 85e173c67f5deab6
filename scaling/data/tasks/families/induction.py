"""induction-N: N distinct letters, then some of them again; what comes next? `next kxwqz kxw=q` (Olsson 2022)."""

from __future__ import annotations

from scaling.data.tasks.family import Item, RandomBelow, distinct_letters

QUESTION_PATTERN = r"next [a-z]+ [a-z]+="
DIFFICULTIES = (2, 26)  # letters
DEFAULT_DIFFICULTIES = (2, 12)  # of a mixture that names none


def draw(count: int, randbelow: RandomBelow) -> Item:
    """Draws distinct letters and repeats one to three consecutive ones, never the last.

    Args:
        count: Number of letters.
        randbelow: Source of random integers.

    Returns:
        The item; a guess is one of the letters.
    """
    text = distinct_letters(count, randbelow)
    answer_index = 1 + randbelow(count - 1)
    repeated = text[max(0, answer_index - 1 - randbelow(3)) : answer_index]
    return Item(
        prompt=f"next {text} {repeated}=", answer=text[answer_index], key=f"{text} {repeated}",
        choices=tuple(sorted(text)), chance=1 / count,
    )  # fmt: skip

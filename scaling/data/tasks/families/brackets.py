"""brackets-D: close D open brackets of four kinds, `close [(<>{=})]`."""

from __future__ import annotations

from scaling.data.tasks.family import Item, RandomBelow

QUESTION_PATTERN = r"close [\[\](){}<>]+="
DIFFICULTIES = (1, 32)  # brackets open at the end
DEFAULT_DIFFICULTIES = (1, 6)  # of a mixture that names none
KINDS = (("(", ")"), ("[", "]"), ("{", "}"), ("<", ">"))


def draw(depth: int, randbelow: RandomBelow) -> Item:
    """Draws open brackets, each followed with probability 1/2 by a pair that is closed already.

    Args:
        depth: Brackets that are open at the end.
        randbelow: Source of random integers.

    Returns:
        The item; a guess is any sequence of `depth` closing brackets.
    """
    text, answer = "", ""
    for _ in range(depth):
        opening, closing = KINDS[randbelow(4)]
        text, answer = text + opening, closing + answer
        text += "".join(KINDS[randbelow(4)]) if randbelow(2) else ""
    return Item(prompt=f"close {text}=", answer=answer, key=text, chance=4.0**-depth)

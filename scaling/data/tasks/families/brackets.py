"""brackets-D: closing D open brackets of four kinds, `close [(<>{=})]`."""

from __future__ import annotations

from scaling.data.tasks.family import Item, Whole

QUESTION = r"close [\[\](){}<>]+="
DIFFICULTIES = (1, 32)  # brackets open at the end
USUAL = (1, 6)  # in a mixture that names none
KINDS = (("(", ")"), ("[", "]"), ("{", "}"), ("<", ">"))


def draw(depth: int, whole: Whole) -> Item:
    """After each opening bracket, as often as not, a pair that is closed already. A guess: any row of closing ones."""
    text, closing = "", ""
    for _ in range(depth):
        opening, closed = KINDS[whole(4)]
        text, closing = text + opening, closed + closing
        text += "".join(KINDS[whole(4)]) if whole(2) else ""
    return Item(prompt=f"close {text}=", answer=closing, key=text, chance=4.0**-depth)

"""labelling-K: what is a letter's class called today? `label 2 a>X d>Q c>X e=X` (labels in context: Chan 2022).

The classes are always the same, letters by their place in the alphabet modulo K; what they are called differs from
question to question. The labelled letters are a question's own examples, so its score over shots is learning in
context. The split is by the names: what is held out is no question with names that training has seen together.
"""

from __future__ import annotations

from scaling.evaluate.family import Item, Whole, letters

QUESTION = r"label \d (?:[a-z]>[A-Z] )*[a-z]="
DIFFICULTIES = (2, 6)  # classes
USUAL = (2, 4)  # in a mixture that names none
EXAMPLES = 8
NAMES = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def draw(classes: int, whole: Whole) -> Item:
    """The letters differ from each other. A guess is one of the names, whether it was shown or not."""
    names = letters(classes, whole, NAMES)
    *given, asked = [(x, names[(ord(x) - ord("a")) % classes]) for x in letters(EXAMPLES + 1, whole)]
    return Item(
        prompt=f"{asked[0]}=", answer=asked[1], key=names, choices=tuple(sorted(names)), chance=1 / classes,
        head=f"label {classes} ", own=tuple(f"{x}>{name} " for x, name in given),
    )  # fmt: skip

"""labelling-K: what is this letter called here? `label 2 a>X d>Q a>X a>X d=Q` (names in context: Chan 2022).

K letters have a name each, others in each question. The named letters that are shown, some of them again and others
not at all, are a question's own examples, so its score over shots is learning in context: a name that was not shown
can only be guessed. The split is by the first letter and name shown and the letter asked, whatever else is shown.
"""

from __future__ import annotations

from scaling.data.tasks.family import Item, Whole, letters

QUESTION = r"label \d (?:[a-z]>[A-Z] )*[a-z]="
DIFFICULTIES = (2, 8)  # letters
USUAL = (2, 4)  # in a mixture that names none
EXAMPLES = 8
NAMES = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def draw(count: int, whole: Whole) -> Item:
    """Letters and names differ from each other. A guess is one of the names, whether it was shown or not."""
    keys, names = letters(count, whole), letters(count, whole, NAMES)
    *shown, asked = [whole(count) for _ in range(EXAMPLES + 1)]
    own = tuple(f"{keys[i]}>{names[i]} " for i in shown)
    return Item(
        prompt=f"{keys[asked]}=", answer=names[asked], key=f"{count} {own[0]}{keys[asked]}",
        choices=tuple(sorted(names)), chance=1 / count, head=f"label {count} ", own=own,
    )  # fmt: skip

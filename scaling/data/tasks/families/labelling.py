"""labelling-K: the name of a class, learned in context, `label 2 a>X d>Q a>X a>X d=Q` (Chan 2022).

K letters have one name each, different in every item. The examples, letters with their names, are drawn with
repetitions and belong to the item, so the score as a function of shots measures in-context learning: a name that no
example shows can only be guessed. The split depends on the first example and the letter asked for.
"""

from __future__ import annotations

from scaling.data.tasks.family import Item, RandomBelow, distinct_letters

QUESTION_PATTERN = r"label \d (?:[a-z]>[A-Z] )*[a-z]="
DIFFICULTIES = (2, 8)  # letters
DEFAULT_DIFFICULTIES = (2, 4)  # of a mixture that names none
EXAMPLES = 8
NAMES = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def draw(count: int, randbelow: RandomBelow) -> Item:
    """Draws distinct letters, distinct names, and the examples.

    Args:
        count: Number of letters.
        randbelow: Source of random integers.

    Returns:
        The item; a guess is one of the names, whether an example shows it or not.
    """
    keys, names = distinct_letters(count, randbelow), distinct_letters(count, randbelow, NAMES)
    *example_indices, query = [randbelow(count) for _ in range(EXAMPLES + 1)]
    examples = tuple(f"{keys[i]}>{names[i]} " for i in example_indices)
    return Item(
        prompt=f"{keys[query]}=", answer=names[query], key=f"{count} {examples[0]}{keys[query]}",
        choices=tuple(sorted(names)), chance=1 / count, head=f"label {count} ", examples=examples,
    )  # fmt: skip

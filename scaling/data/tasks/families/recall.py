"""recall-N: the value of one of N keys, `find aK bZ qC b=Z` (associative recall, Ba 2016)."""

from __future__ import annotations

from scaling.data.tasks.family import Item, Whole, letters

QUESTION = r"find (?:[a-z][A-Z] )+[a-z]="
DIFFICULTIES = (1, 26)  # pairs
USUAL = (1, 8)  # in a mixture that names none


def draw(pairs: int, whole: Whole) -> Item:
    """Keys and values differ from each other. A guess is one of the values shown."""
    keys, values = letters(pairs, whole), letters(pairs, whole, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    asked = whole(pairs)
    table = " ".join(key + value for key, value in zip(keys, values, strict=True))
    prompt = f"find {table} {keys[asked]}="
    return Item(
        prompt=prompt, answer=values[asked], key=prompt, choices=tuple(sorted(values)), chance=1 / pairs
    )  # fmt: skip

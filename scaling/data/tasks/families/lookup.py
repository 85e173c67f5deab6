"""lookup-H: H steps through a table of eight letters, `hop af fc ... a 2=c`: from a to f, from f to c."""

from __future__ import annotations

from scaling.data.tasks.family import Item, RandomBelow, distinct_letters

QUESTION_PATTERN = r"hop (?:[a-z][a-z] )+[a-z] \d+="
DIFFICULTIES = (1, 7)  # hops
DEFAULT_DIFFICULTIES = (1, 4)  # of a mixture that names none
TABLE_SIZE = 8  # letters


def draw(hops: int, randbelow: RandomBelow) -> Item:
    """Draws letters that form one ring, whose steps are listed in random order.

    Args:
        hops: Steps from the first letter to the answer.
        randbelow: Source of random integers.

    Returns:
        The item; a guess is one of the letters except the first.
    """
    ring = distinct_letters(TABLE_SIZE, randbelow)
    steps = [ring[i] + ring[(i + 1) % TABLE_SIZE] for i in range(TABLE_SIZE)]
    table = " ".join(steps.pop(randbelow(len(steps))) for _ in range(TABLE_SIZE))
    start = randbelow(TABLE_SIZE)
    prompt = f"hop {table} {ring[start]} {hops}="
    choices = tuple(sorted(set(ring) - {ring[start]}))
    answer = ring[(start + hops) % TABLE_SIZE]
    return Item(prompt=prompt, answer=answer, key=prompt, choices=choices, chance=1 / len(choices))

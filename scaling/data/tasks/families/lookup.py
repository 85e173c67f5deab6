"""lookup-H: H steps through a table of eight letters, `hop af fc ... a 2=c`: from a to f, from f to c."""

from __future__ import annotations

from scaling.data.tasks.family import Item, Whole, letters

QUESTION = r"hop (?:[a-z][a-z] )+[a-z] \d+="
DIFFICULTIES = (1, 7)  # hops
USUAL = (1, 4)  # in a mixture that names none
LETTERS = 8


def draw(hops: int, whole: Whole) -> Item:
    """The letters form one ring, its arrows shown in any order. A guess is one of the letters but the first."""
    ring = letters(LETTERS, whole)
    arrows = [ring[i] + ring[(i + 1) % LETTERS] for i in range(LETTERS)]
    shown = " ".join(arrows.pop(whole(len(arrows))) for _ in range(LETTERS))
    start = whole(LETTERS)
    prompt = f"hop {shown} {ring[start]} {hops}="
    choices = tuple(sorted(set(ring) - {ring[start]}))
    answer = ring[(start + hops) % LETTERS]
    return Item(prompt=prompt, answer=answer, key=prompt, choices=choices, chance=1 / len(choices))

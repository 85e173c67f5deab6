"""modular-P: addition modulo P, all numbers as wide as P - 1: `mod 97 95+06=04`."""

from __future__ import annotations

from scaling.data.tasks.families.addition import pair
from scaling.data.tasks.family import Item, Whole

QUESTION = r"mod \d+ \d+\+\d+="
DIFFICULTIES = (2, 9999)  # the modulus, prime or not
USUAL = (97, 97)  # in a mixture that names none


def draw(modulus: int, whole: Whole) -> Item:
    """Two residues. A guess is one of the residues."""
    a, b, wide = whole(modulus), whole(modulus), len(str(modulus - 1))
    prompt = f"mod {modulus} {a:0{wide}}+{b:0{wide}}="
    answer = f"{(a + b) % modulus:0{wide}}"
    return Item(prompt=prompt, answer=answer, key=f"{modulus} {pair(a, b)}", chance=1 / modulus)

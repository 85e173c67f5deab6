"""modular-P: addition modulo P, every number padded to the digits of P - 1, `mod 97 95+06=04`."""

from __future__ import annotations

from scaling.data.tasks.families.addition import unordered_pair
from scaling.data.tasks.family import Item, RandomBelow

QUESTION_PATTERN = r"mod \d+ \d+\+\d+="
DIFFICULTIES = (2, 9999)  # the modulus, prime or not
DEFAULT_DIFFICULTIES = (97, 97)  # of a mixture that names none


def draw(modulus: int, randbelow: RandomBelow) -> Item:
    """Draws two residues.

    Args:
        modulus: The modulus.
        randbelow: Source of random integers.

    Returns:
        The item; a guess is one of the residues.
    """
    a, b, width = randbelow(modulus), randbelow(modulus), len(str(modulus - 1))
    prompt = f"mod {modulus} {a:0{width}}+{b:0{width}}="
    answer = f"{(a + b) % modulus:0{width}}"
    return Item(prompt=prompt, answer=answer, key=f"{modulus} {unordered_pair(a, b)}", chance=1 / modulus)

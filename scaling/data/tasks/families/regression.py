"""regression-D: a linear function of D inputs, given by its values at some points (Garg 2022, in whole numbers).

`fit 3>14 5>20 2=11`, or with two inputs `fit 3,1>14 ... 2,0=9`. The points are a question's own examples: shots are how
many of them are shown, so its score over shots is learning in context. The split is by function: what is held out is
no question about a function that training has seen.
"""

from __future__ import annotations

from scaling.data.tasks.family import Item, Whole

QUESTION = r"fit [\d,> ]+="
DIFFICULTIES = (1, 4)  # inputs
USUAL = (1, 1)  # in a mixture that names none
DIGITS = 10  # weights and inputs are 0 to 9


def points(inputs: int) -> int:
    """Points of a question: twice what determines the function, and four more."""
    return 2 * (inputs + 1) + 4


def draw(inputs: int, whole: Whole) -> Item:
    """Inputs of one question differ from each other. A guess is one of the values that there can be."""
    weights = [whole(DIGITS) for _ in range(inputs + 1)]  # the last is what no input multiplies
    taken: dict[tuple[int, ...], int] = {}
    while len(taken) < min(points(inputs) + 1, DIGITS**inputs):
        x = tuple(whole(DIGITS) for _ in range(inputs))
        taken[x] = sum(w * value for w, value in zip(weights, x, strict=False)) + weights[-1]
    *given, (asked, answer) = [(",".join(map(str, x)), str(y)) for x, y in taken.items()]
    own = tuple(f"{x}>{y} " for x, y in given)
    key = " ".join(map(str, weights))
    most = (DIGITS - 1) ** 2 * inputs + DIGITS - 1
    return Item(prompt=f"{asked}=", answer=answer, key=key, chance=1 / (most + 1), head="fit ", own=own)

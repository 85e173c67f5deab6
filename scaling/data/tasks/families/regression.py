"""regression-D: a linear function of D inputs, from its values at some points (Garg 2022, in integers).

`fit 3>14 5>20 2=11`, or with two inputs `fit 3,1>14 ... 2,0=9`. The points are examples of the item, and shots are how
many of them the prompt shows, so the score as a function of shots measures in-context learning. The split is by
function: training has no item about a held-out function.
"""

from __future__ import annotations

from scaling.data.tasks.family import Item, RandomBelow

QUESTION_PATTERN = r"fit [\d,> ]+="
DIFFICULTIES = (1, 4)  # inputs
DEFAULT_DIFFICULTIES = (1, 1)  # of a mixture that names none
DIGITS = 10  # weights and inputs are 0 to 9


def example_count(inputs: int) -> int:
    """Returns the number of examples: twice what determines the function, and four more."""
    return 2 * (inputs + 1) + 4


def draw(inputs: int, randbelow: RandomBelow) -> Item:
    """Draws a linear function and distinct inputs; the last one is the question.

    Args:
        inputs: Inputs of the function.
        randbelow: Source of random integers.

    Returns:
        The item; a guess is one of the values that such a function can have.
    """
    *weights, bias = [randbelow(DIGITS) for _ in range(inputs + 1)]
    values: dict[tuple[int, ...], int] = {}
    while len(values) < min(example_count(inputs) + 1, DIGITS**inputs):
        x = tuple(randbelow(DIGITS) for _ in range(inputs))
        values[x] = sum(weight * digit for weight, digit in zip(weights, x, strict=True)) + bias
    *points, (query, answer) = [(",".join(map(str, x)), str(y)) for x, y in values.items()]
    largest = (DIGITS - 1) ** 2 * inputs + DIGITS - 1
    return Item(
        prompt=f"{query}=", answer=answer, key=" ".join(map(str, [*weights, bias])), chance=1 / (largest + 1),
        head="fit ", examples=tuple(f"{x}>{y} " for x, y in points),
    )  # fmt: skip

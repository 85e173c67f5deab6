"""addition-K: the sum of two numbers of K digits, `add 123+456=579`."""

from __future__ import annotations

from scaling.data.tasks.family import Item, RandomBelow

QUESTION_PATTERN = r"add \d+\+\d+="
DIFFICULTIES = (1, 12)  # digits
DEFAULT_DIFFICULTIES = (1, 5)  # of a mixture that names none


def draw(digits: int, randbelow: RandomBelow) -> Item:
    """Draws two numbers without leading zeros (of one digit: 0 to 9).

    Args:
        digits: Digits of each number.
        randbelow: Source of random integers.

    Returns:
        The item; a guess is one of the possible sums.
    """
    a, b = random_number(digits, randbelow), random_number(digits, randbelow)
    return Item(prompt=f"add {a}+{b}=", answer=str(a + b), key=unordered_pair(a, b), chance=sum_chance(digits))


def sum_chance(digits: int) -> float:
    """Returns the probability of guessing the sum of two numbers, one of all possible sums."""
    smallest, largest = digit_range(digits)
    return 1 / (2 * (largest - smallest) + 1)


def digit_range(digits: int) -> tuple[int, int]:
    """Returns the smallest and the largest number with this number of digits."""
    return (10 ** (digits - 1) if digits > 1 else 0), 10**digits - 1


def random_number(digits: int, randbelow: RandomBelow) -> int:
    """Draws a number digit by digit: one random float has too few bits for twelve digits at once.

    Args:
        digits: Digits of the number.
        randbelow: Source of random integers.
    """
    first = randbelow(9) + 1 if digits > 1 else randbelow(10)
    return int(str(first) + "".join(str(randbelow(10)) for _ in range(digits - 1)))


def unordered_pair(a: int, b: int) -> str:
    """Returns both numbers as a key that does not depend on their order.

    Args:
        a: One number.
        b: The other.
    """
    return f"{min(a, b)} {max(a, b)}"

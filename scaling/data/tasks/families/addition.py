"""addition-K: the sum of two numbers of K digits, `add 123+456=579`."""

from __future__ import annotations

from scaling.data.tasks.family import Item, Whole

QUESTION = r"add \d+\+\d+="
DIFFICULTIES = (1, 12)  # digits
USUAL = (1, 5)  # in a mixture that names none


def draw(digits: int, whole: Whole) -> Item:
    """Two numbers without leading zeros (of one digit: 0 to 9). A guess is one of the sums there can be."""
    a, b = number(digits, whole), number(digits, whole)
    least, most = span(digits)
    return Item(prompt=f"add {a}+{b}=", answer=str(a + b), key=pair(a, b), chance=1 / (2 * (most - least) + 1))


def span(digits: int) -> tuple[int, int]:
    """The smallest and the largest number of so many digits."""
    return (10 ** (digits - 1) if digits > 1 else 0), 10**digits - 1


def number(digits: int, whole: Whole) -> int:
    """A number of so many digits, drawn digit by digit: a float has not enough of them for all at once."""
    first = whole(9) + 1 if digits > 1 else whole(10)
    return int(str(first) + "".join(str(whole(10)) for _ in range(digits - 1)))


def pair(a: int, b: int) -> str:
    """Both, in an order that does not matter."""
    return f"{min(a, b)} {max(a, b)}"

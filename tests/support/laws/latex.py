"""Evaluates the equations of the laws, which are written in a small part of LaTeX."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

FUNCTIONS = {r"\ln": np.log, r"\log_{10}": np.log10}
CLOSING = {"(": ")", "[": "]", "{": "}"}


def evaluate(text: str, values: dict[str, Any]) -> Any:
    """The value of an expression.

    Args:
        text: The expression, such as r"E + \\frac{A}{N^\\alpha}".
        values: Value of each symbol.
    """
    text = re.sub(r"\\(left|right)(?![A-Za-z])", "", expand_product(text))
    parser = _Parser(text, values)
    value = parser.sum()
    assert parser.at_end(), f"{text}: not understood from {parser.text[parser.i :]!r}"
    return value


def expand_product(text: str) -> str:
    """Writes out the factors of a product over i that ends the expression."""
    match = re.search(r"\\prod_\{i=1\}\^\{(\d)\}(.*)", text)
    if match is None:
        return text
    factors = [match[2].replace("_i", f"_{i}") for i in range(1, int(match[1]) + 1)]
    return text[: match.start()] + " ".join(factors)


class _Parser:
    """Recursive descent over sums, products, powers and groups."""

    def __init__(self, text: str, values: dict[str, Any]) -> None:
        self.text, self.i = text, 0
        self.values = {"e": np.e, **values}
        self.names = sorted(self.values, key=len, reverse=True)

    def at_end(self) -> bool:
        return not self.text[self.i :].strip()

    def accept(self, word: str) -> bool:
        rest = self.text[self.i :]
        start = len(rest) - len(rest.lstrip())
        follows = rest[start + len(word) : start + len(word) + 1]
        if not rest.startswith(word, start) or (word[:1] == "\\" and word[-1:].isalpha() and follows.isalpha()):
            return False
        self.i += start + len(word)
        return True

    def sum(self) -> Any:
        value = -self.product() if self.accept("-") else self.product()
        while True:
            if self.accept("+"):
                value = value + self.product()
            elif self.accept("-"):
                value = value - self.product()
            else:
                return value

    def product(self) -> Any:
        value = self.power()
        while True:
            if self.accept("/"):
                value = value / self.power()
            elif self.at_end() or self.text[self.i :].lstrip()[0] in "+-,)]}":
                return value
            else:
                value = value * self.power()

    def power(self) -> Any:
        base = self.base()
        return base ** self.base() if self.accept("^") else base

    def base(self) -> Any:
        for name in self.names:
            if self.accept(name):
                return self.values[name]
        for name, function in FUNCTIONS.items():
            if self.accept(name):
                return function(self.base())
        if self.accept(r"\frac"):
            return self.base() / self.base()
        if self.accept(r"\min"):
            assert self.accept("(")
            first = self.sum()
            assert self.accept(",")
            second = self.sum()
            assert self.accept(")")
            return np.minimum(first, second)
        for opening, closing in CLOSING.items():
            if self.accept(opening):
                value = self.sum()
                assert self.accept(closing), f"{self.text}: {closing} expected at {self.text[self.i :]!r}"
                return value
        number = re.match(r"\s*(\d+(?:\.\d+)?)", self.text[self.i :])
        assert number, f"{self.text}: not understood from {self.text[self.i :]!r}"
        self.i += number.end()
        return float(number[1])

"""modular: every equation a ∘ b = c modulo p, a share of them to train on, the others held out (Power 2022, section 2).

An example is a, b, the sign =, and the answer c, which alone is scored: data.objective = "examples", data.length = 3.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np

from scaling.data.corpus import Tokens, known_options, number
from scaling.data.tokens import DataError

DEFAULTS = {"p": "97", "op": "add", "fraction": "0.4", "seed": "0"}
OPERATIONS: dict[str, Callable[[int, int, int], int]] = {
    "add": lambda a, b, p: (a + b) % p,
    "subtract": lambda a, b, p: (a - b) % p,
    "multiply": lambda a, b, p: a * b % p,
    "divide": lambda a, b, p: a * pow(b, -1, p) % p,
    "squares": lambda a, b, p: (a * a + b * b) % p,
    "cubic": lambda a, b, p: (a * a * a + a * b) % p,
}
MOST = 4096  # p: the equations are held in memory
EXAMPLE = 4  # tokens


def open_corpus(argument: str, options: dict[str, str]) -> Tokens:
    """Options: p, op, fraction (of the equations, to train on), seed (of which ones). The sign = is token p."""
    known_options("modular", {**options, **({argument: ""} if argument else {})}, tuple(DEFAULTS))
    given = {**DEFAULTS, **options}
    p, seed = (int(number("modular", name, given[name], int)) for name in ("p", "seed"))
    fraction, op = number("modular", "fraction", given["fraction"], float), given["op"]
    if op not in OPERATIONS:
        raise DataError(f"corpus modular: op={op}: known are {', '.join(OPERATIONS)}")
    if not (2 <= p <= MOST and 0 < fraction < 1):
        allowed = f"p from 2 to {MOST:,} and fraction between 0 and 1"
        raise DataError(f"corpus modular: allowed are {allowed}; given were p={p},fraction={fraction:g}")
    if op == "divide" and any(p % d == 0 for d in range(2, int(p**0.5) + 1)):
        raise DataError(f"corpus modular: op=divide,p={p}: must be a prime, or not every b divides")
    found = equations(p, op, seed)
    trained = round(fraction * len(found))
    if not 0 < trained < len(found):
        raise DataError(f"corpus modular: fraction={fraction:g} of {len(found)} equations leaves a split without any")
    facts = {"example": EXAMPLE, "answer": 1, "train": trained, "equations": len(found), "classes": p, "chance": 1 / p}
    return Tokens(
        lambda: iter([found[:trained].ravel()]), p + 1, None, "symbols", facts, trained * EXAMPLE,
        validation=lambda: iter([found[trained:].ravel()]),
    )  # fmt: skip


def equations(p: int, op: str, seed: int) -> np.ndarray:
    """All of them in an order of their own for each seed, (n, EXAMPLE): a larger share to train on has the smaller."""
    answer, least = OPERATIONS[op], int(op == "divide")
    draw = random.Random(f"modular {p} {op} {seed}").random  # a stream that Python guarantees
    keyed = sorted((draw(), a, b) for a in range(p) for b in range(least, p))
    return np.array([(a, b, p, answer(a, b, p)) for _, a, b in keyed], np.uint32)

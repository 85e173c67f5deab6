"""modular: every equation a ∘ b = c modulo p, a share of them for training (grokking: Power 2022, section 2).

An example is a, b, the equals sign and the answer c, and only the answer has a loss: train with
data.objective = "examples" and data.length = 3.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np

from scaling.data.corpus import TokenCorpus, check_options, parse_number
from scaling.data.tokens import CorpusError

DEFAULTS = {"p": "97", "op": "add", "fraction": "0.4", "seed": "0"}
OPERATIONS: dict[str, Callable[[int, int, int], int]] = {
    "add": lambda a, b, p: (a + b) % p,
    "subtract": lambda a, b, p: (a - b) % p,
    "multiply": lambda a, b, p: a * b % p,
    "divide": lambda a, b, p: a * pow(b, -1, p) % p,
    "squares": lambda a, b, p: (a * a + b * b) % p,
    "cubic": lambda a, b, p: (a * a * a + a * b) % p,
}
MAX_MODULUS = 4096  # all equations are in memory
EXAMPLE_LENGTH = 4  # tokens


def open_corpus(argument: str, options: dict[str, str]) -> TokenCorpus:
    """Opens the corpus; the equals sign is token p.

    Args:
        argument: Not used; must be empty.
        options: p, op, fraction (of the equations, for training), seed (of the order); DEFAULTS for those not given.

    Raises:
        CorpusError: An option is unknown or out of range.
    """
    check_options("modular", options, DEFAULTS, argument)
    values = {**DEFAULTS, **options}
    p, seed = (parse_number("modular", name, values[name], int) for name in ("p", "seed"))
    fraction, op = parse_number("modular", "fraction", values["fraction"], float), values["op"]
    if op not in OPERATIONS:
        raise CorpusError(f"corpus modular: op={op}: must be one of {', '.join(OPERATIONS)}")
    if not (2 <= p <= MAX_MODULUS and 0 < fraction < 1):
        allowed = f"p from 2 to {MAX_MODULUS:,} and fraction between 0 and 1"
        raise CorpusError(f"corpus modular: p={p},fraction={fraction:g}: requires {allowed}")
    if op == "divide" and any(p % divisor == 0 for divisor in range(2, int(p**0.5) + 1)):
        raise CorpusError(f"corpus modular: op=divide,p={p}: p must be prime, or some b has no inverse")
    equations = all_equations(p, op, seed)
    count = round(fraction * len(equations))
    if not 0 < count < len(equations):
        raise CorpusError(f"corpus modular: fraction={fraction:g} of {len(equations)} equations leaves a split empty")
    facts = {
        "example": EXAMPLE_LENGTH, "answer": 1, "train": count, "equations": len(equations), "classes": p,
        "chance": 1 / p,
    }  # fmt: skip
    return TokenCorpus(
        lambda: iter([equations[:count].ravel()]), p + 1, None, "symbols", facts, count * EXAMPLE_LENGTH,
        validation=lambda: iter([equations[count:].ravel()]),
    )  # fmt: skip


def all_equations(p: int, op: str, seed: int) -> np.ndarray:
    """Returns every equation in a random order: the training split of a smaller fraction is part of a larger one's.

    Args:
        p: The modulus.
        op: One of OPERATIONS.
        seed: Seed of the order.

    Returns:
        Tokens, uint32 (n, EXAMPLE_LENGTH).
    """
    operation, smallest_b = OPERATIONS[op], int(op == "divide")
    uniform = random.Random(f"modular {p} {op} {seed}").random  # a stream that Python guarantees
    pairs = sorted((uniform(), a, b) for a in range(p) for b in range(smallest_b, p))
    return np.array([(a, b, p, operation(a, b, p)) for _, a, b in pairs], np.uint32)

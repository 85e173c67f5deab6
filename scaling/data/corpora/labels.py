"""labels: short strings to be sorted into classes, some of the training labels wrong (Nakkiran 2019, section 2).

Each class has prototypes, random strings; an input is one of them with symbols replaced at random. Labels of
held-out examples are all right. An example is the input and its label, which alone is scored: data.objective =
"examples", data.length = `length`.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np

from scaling.data.corpus import Tokens, known_options, number
from scaling.data.tokens import DataError

Draw = Callable[[], float]  # of a number from 0 to 1
DEFAULTS = {
    "classes": "10", "examples": "1000", "held": "2000", "noise": "0.15", "length": "8", "symbols": "16",
    "prototypes": "1", "blur": "0.3", "seed": "0",
}  # fmt: skip
WHOLE = ("classes", "examples", "held", "length", "symbols", "prototypes", "seed")
ALLOWED = (
    "classes ≥ 2, symbols ≥ 2, examples, held, length and prototypes ≥ 1, noise and blur at least 0 and less than 1"
)


def open_corpus(argument: str, options: dict[str, str]) -> Tokens:
    """Options: classes; examples and held, of each split; noise, the share of training labels that are wrong; length,
    symbols, prototypes (of a class), blur (the share of a prototype's symbols that are drawn anew); seed."""
    known_options("labels", {**options, **({argument: ""} if argument else {})}, tuple(DEFAULTS))
    given = {**DEFAULTS, **options}
    n = {name: int(number("labels", name, given[name], int)) for name in WHOLE}
    noise, blur = (number("labels", name, given[name], float) for name in ("noise", "blur"))
    least = {"classes": 2, "symbols": 2, "seed": n["seed"]}
    if any(n[name] < least.get(name, 1) for name in WHOLE) or not (0 <= noise < 1 and 0 <= blur < 1):
        raise DataError(f"corpus labels: allowed are {ALLOWED}; given were {given}".replace("'", ""))
    draw = random.Random(f"labels {n['seed']}").random  # a stream that Python guarantees
    prototypes = strings(draw, n["classes"] * n["prototypes"], n["length"], n["symbols"])
    train, held = (sampled(draw, prototypes, n, blur, n[split]) for split in ("examples", "held"))
    train[:, -1] = mistaken(draw, train[:, -1], n["symbols"], n["classes"], noise)
    facts = {
        "example": n["length"] + 1, "answer": 1, "train": n["examples"], "classes": n["classes"],
        "chance": 1 / n["classes"], "noise": noise,
    }  # fmt: skip
    return Tokens(
        lambda: iter([train.ravel()]), n["symbols"] + n["classes"], None, "symbols", facts, train.size,
        validation=lambda: iter([held.ravel()]),
    )  # fmt: skip


def strings(draw: Draw, count: int, length: int, symbols: int) -> np.ndarray:
    """Random ones, (count, length)."""
    return np.array([int(draw() * symbols) for _ in range(count * length)], np.uint32).reshape(count, length)


def sampled(draw: Draw, prototypes: np.ndarray, n: dict[str, int], blur: float, count: int) -> np.ndarray:
    """Inputs with their right labels, (count, length + 1); a class's prototypes stand together."""
    out = np.empty((count, n["length"] + 1), np.uint32)
    for row in out:
        which = int(draw() * len(prototypes))
        row[:-1], row[-1] = prototypes[which], n["symbols"] + which // n["prototypes"]
        for place in range(n["length"]):
            if draw() < blur:
                row[place] = int(draw() * n["symbols"])
    return out


def mistaken(draw: Draw, labels: np.ndarray, first: int, classes: int, noise: float) -> np.ndarray:
    """Each label with probability `noise` one of the others, all as likely."""
    moved = [1 + int(draw() * (classes - 1)) if draw() < noise else 0 for _ in labels]
    return first + (labels - first + np.array(moved, np.uint32)) % classes

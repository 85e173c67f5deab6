"""labels: short strings to classify, some training labels wrong, for double descent (Nakkiran 2019, section 2).

Each class has prototypes, random strings; an input is a prototype with some symbols replaced at random. Labels of the
validation split are all correct. An example is the input and its label, and only the label has a loss: train with
data.objective = "examples" and data.length = `length`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scaling.data.corpus import TokenCorpus, check_options, format_options, parse_number
from scaling.data.tokens import CorpusError

Uniform = Callable[[], float]  # a random number in [0, 1)
DEFAULTS = {
    "classes": "10", "examples": "1000", "held": "2000", "noise": "0.15", "length": "8", "symbols": "16",
    "prototypes": "1", "blur": "0.3", "seed": "0",
}  # fmt: skip
ALLOWED = (
    "classes ≥ 2, symbols ≥ 2, examples, held, length and prototypes ≥ 1, noise and blur at least 0 and less than 1"
)


@dataclass(frozen=True)
class LabelOptions:
    """Options of the corpus.

    Attributes:
        classes: Number of classes.
        examples: Training examples.
        validation_examples: Examples of the validation split; the option `held`.
        length: Symbols of an input.
        symbols: Size of the input alphabet.
        prototypes: Prototypes per class.
        seed: Names the random stream.
        noise: Share of training labels that are wrong.
        blur: Share of a prototype's symbols that are drawn anew.
    """

    classes: int
    examples: int
    validation_examples: int
    length: int
    symbols: int
    prototypes: int
    seed: int
    noise: float
    blur: float


def open_corpus(argument: str, options: dict[str, str]) -> TokenCorpus:
    """Opens the corpus.

    Args:
        argument: Not used; must be empty.
        options: Fields of LabelOptions; DEFAULTS for those not given.

    Raises:
        CorpusError: An option is unknown or out of range.
    """
    check_options("labels", options, DEFAULTS, argument)
    opts = parse_options({**DEFAULTS, **options})
    uniform = random.Random(f"labels {opts.seed}").random  # a stream that Python guarantees
    prototypes = random_strings(uniform, opts.classes * opts.prototypes, opts.length, opts.symbols)
    train, validation = (
        sample_examples(uniform, prototypes, opts, count) for count in (opts.examples, opts.validation_examples)
    )
    train[:, -1] = add_label_noise(uniform, train[:, -1], opts)
    facts = {
        "example": opts.length + 1, "answer": 1, "train": opts.examples, "classes": opts.classes,
        "chance": 1 / opts.classes, "noise": opts.noise,
    }  # fmt: skip
    return TokenCorpus(
        lambda: iter([train.ravel()]), opts.symbols + opts.classes, None, "symbols", facts, train.size,
        validation=lambda: iter([validation.ravel()]),
    )  # fmt: skip


def parse_options(options: dict[str, str]) -> LabelOptions:
    """Parses and checks the options; CorpusError says what is allowed."""
    numeric = {name: parse_number("labels", name, options[name], float) for name in ("noise", "blur")}
    integers = {name: parse_number("labels", name, text, int) for name, text in options.items() if name not in numeric}
    minimum = {"classes": 2, "symbols": 2, "seed": integers["seed"]}
    valid = all(value >= minimum.get(name, 1) for name, value in integers.items())
    if not valid or not all(0 <= value < 1 for value in numeric.values()):
        raise CorpusError(f"corpus labels: {format_options(options)}: requires {ALLOWED}")
    return LabelOptions(
        validation_examples=integers.pop("held"), noise=numeric["noise"], blur=numeric["blur"], **integers
    )


def random_strings(uniform: Uniform, count: int, length: int, symbols: int) -> np.ndarray:
    """Draws random strings.

    Args:
        uniform: Source of random numbers.
        count: Number of strings.
        length: Symbols of a string.
        symbols: Size of the alphabet.

    Returns:
        Symbols, uint32 (count, length).
    """
    return np.array([int(uniform() * symbols) for _ in range(count * length)], np.uint32).reshape(count, length)


def sample_examples(uniform: Uniform, prototypes: np.ndarray, opts: LabelOptions, count: int) -> np.ndarray:
    """Draws inputs with their correct labels.

    Args:
        uniform: Source of random numbers.
        prototypes: Symbols, (classes · prototypes, length); the prototypes of a class are consecutive.
        opts: Options of the corpus.
        count: Number of examples.

    Returns:
        Inputs and labels, uint32 (count, length + 1).
    """
    out = np.empty((count, opts.length + 1), np.uint32)
    for row in out:
        index = int(uniform() * len(prototypes))
        row[:-1], row[-1] = prototypes[index], opts.symbols + index // opts.prototypes
        for position in range(opts.length):
            if uniform() < opts.blur:
                row[position] = int(uniform() * opts.symbols)
    return out


def add_label_noise(uniform: Uniform, labels: np.ndarray, opts: LabelOptions) -> np.ndarray:
    """Replaces each label with probability `noise` by one of the other classes, all equally likely.

    Args:
        uniform: Source of random numbers.
        labels: Tokens of the labels, which follow the symbols in the vocabulary.
        opts: Options of the corpus.
    """
    shifts = [1 + int(uniform() * (opts.classes - 1)) if uniform() < opts.noise else 0 for _ in labels]
    return opts.symbols + (labels - opts.symbols + np.array(shifts, np.uint32)) % opts.classes

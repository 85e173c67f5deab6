"""Prepares a corpus that a function of this file generates, one document after the other.

On the command line: python -m scaling prepare own_corpus.py:sums,count=50000 --store S.
"""

import random

import scaling


def sums(count=20_000, seed=0):
    """Yields documents of sums, such as "17+25=42"; the same ones each time."""
    numbers = random.Random(seed)
    for _ in range(count):
        a, b = numbers.randrange(100), numbers.randrange(100)
        yield f"{a}+{b}={a + b}\n"


if __name__ == "__main__":
    tokens = scaling.prepare(f"{__file__}:sums,count=5000", "S")
    print("training and validation tokens:", tokens.counts)
    print("data.tokens of a config:", tokens.content_hash)

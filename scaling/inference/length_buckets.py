"""Rows of unlike length as batches of few shapes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

MIN_BUCKET = 32  # positions of the shortest rows; then twice as many, and so on
TOKENS_PER_DEVICE = 8192  # of a batch, on each device


def rolling_windows(text: list[int], length: int) -> Iterator[tuple[list[int], list[int]]]:
    """Every token of a text after the first, `length` at a time, each after the token before."""
    for start in range(1, len(text), length):
        yield text[start - 1 : start], text[start : start + length]


def bucket_lengths(context: int) -> list[int]:
    """Lengths that rows are padded to."""
    doubled = itertools.takewhile(lambda n: n < context, (MIN_BUCKET * 2**i for i in itertools.count()))
    return [*doubled, context]


def bucket_batches(
    lengths: Sequence[int], buckets: Sequence[int], over: int, tokens: int
) -> Iterator[tuple[list[int], int, int]]:
    """Rows of like length together: which, padded to which length, in a batch of how many rows.

    over: devices, which divide a batch's rows; tokens: of a batch on one of them. Few shapes: rows are a power of two
    a device, fewer than the most alone where there are so few.
    """
    by_length: dict[int, list[int]] = {}
    for i, length in enumerate(lengths):
        by_length.setdefault(next(n for n in buckets if n >= length), []).append(i)
    for length, rows in sorted(by_length.items()):
        most = over * 2 ** max(0, (tokens // length).bit_length() - 1)
        for start in range(0, len(rows), most):
            at = rows[start : start + most]
            few = over * 2 ** (-(-len(rows) // over) - 1).bit_length()
            yield at, length, min(most, few)

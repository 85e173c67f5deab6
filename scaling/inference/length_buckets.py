"""Batches with few distinct shapes for rows of different lengths, so that few programs are compiled."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

MIN_BUCKET = 32  # positions of the shortest padded length; each further length doubles
TOKENS_PER_DEVICE = 8192  # largest number of tokens of a batch per device


class Batch(NamedTuple):
    """Rows that are computed together.

    Attributes:
        indices: Indices of the rows.
        length: Positions that each row is padded to.
        rows: Rows of the batch, padding rows included.
    """

    indices: list[int]
    length: int
    rows: int


@dataclass(frozen=True)
class Batching:
    """Shapes of batches.

    Attributes:
        context: Longest row.
        devices: Devices that share the rows of a batch; the number of rows is a multiple.
        tokens: Tokens of a batch on each device.
    """

    context: int
    devices: int
    tokens: int = TOKENS_PER_DEVICE


def rolling_windows(text: list[int], length: int) -> Iterator[tuple[list[int], list[int]]]:
    """Splits a text into windows to score, each token after the first once.

    Args:
        text: Tokens of the text.
        length: Largest number of tokens of a window.

    Yields:
        The token before a window, and the tokens of the window.
    """
    for start in range(1, len(text), length):
        yield text[start - 1 : start], text[start : start + length]


def bucket_lengths(context: int) -> list[int]:
    """Returns the lengths that rows are padded to, up to the context."""
    doubling = (MIN_BUCKET * 2**i for i in itertools.count())
    return [*itertools.takewhile(lambda length: length < context, doubling), context]


def bucket_batches(lengths: Sequence[int], batching: Batching) -> Iterator[Batch]:
    """Groups rows of similar length into batches.

    The rows of a batch are a power of two per device: the most that `tokens` allows, or fewer for a bucket with few
    rows.

    Args:
        lengths: Length of each row.
        batching: Shapes of the batches.
    """
    buckets = bucket_lengths(batching.context)
    by_length: dict[int, list[int]] = {}
    for i, length in enumerate(lengths):
        by_length.setdefault(next(bucket for bucket in buckets if bucket >= length), []).append(i)
    for length, indices in sorted(by_length.items()):
        largest = batching.devices * 2 ** max(0, (batching.tokens // length).bit_length() - 1)
        sufficient = batching.devices * 2 ** (-(-len(indices) // batching.devices) - 1).bit_length()
        for start in range(0, len(indices), largest):
            yield Batch(indices[start : start + largest], length, min(largest, sufficient))

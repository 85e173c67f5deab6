"""Canaries: random documents planted 1, 2, 4, ... times in a corpus to measure memorisation (Carlini 2023)."""

from __future__ import annotations

import random
from collections.abc import Iterator

from scaling.data.corpus import is_validation
from scaling.data.tokens import CorpusError

CANARY_LENGTH = 64  # letters
Canaries = list[tuple[str, int]]  # a document, and how often it occurs


def make_canaries(min_repeats: int, max_repeats: int, size: float, seed: int) -> Canaries:
    """Makes equally many documents for each power of two in a range of repetitions; all are in the training split.

    Args:
        min_repeats: Smallest number of repetitions.
        max_repeats: Largest number of repetitions.
        size: Largest total size of all repetitions, in bytes.
        seed: Seed of the random documents.

    Returns:
        The documents with their repetitions.

    Raises:
        CorpusError: The range has no power of two, or the size is below one document of each count.
    """
    repetitions = [2**k for k in range(20) if min_repeats <= 2**k <= max_repeats]
    if not repetitions:
        raise CorpusError(f"canary:{min_repeats}-{max_repeats}: the range of repetitions must contain a power of two")
    required = (CANARY_LENGTH + 1) * sum(repetitions)
    documents_per_count = int(size / required)
    if not documents_per_count:
        raise CorpusError(
            f"canary:{min_repeats}-{max_repeats}: one document of each count needs {required} bytes, the share is "
            f"{size:.0f}"
        )
    uniform = random.Random(f"canary {seed}").random
    canaries: Canaries = []
    while len(canaries) < documents_per_count * len(repetitions):
        text = "".join(chr(ord("a") + int(uniform() * 26)) for _ in range(CANARY_LENGTH))
        if not is_validation(text.encode()):
            canaries.append((text, repetitions[len(canaries) % len(repetitions)]))
    return canaries


def shuffled_copies(canaries: Canaries, seed: int) -> Iterator[bytes]:
    """Yields each document as often as it occurs, in random order.

    Args:
        canaries: The documents with their repetitions.
        seed: Names the random stream.
    """
    copies = [text for text, times in canaries for _ in range(times)]
    uniform = random.Random(f"scattered {seed}").random
    for i in range(len(copies) - 1, 0, -1):
        j = int(uniform() * (i + 1))
        copies[i], copies[j] = copies[j], copies[i]
    for text in copies:
        yield text.encode()

"""Documents of random letters, planted once, twice, four times, ...: what a model says of them it has by heart."""

from __future__ import annotations

import random
from collections.abc import Iterator

from scaling.data.corpus import held_out
from scaling.data.tokens import DataError

LETTERS = 64  # of a document
Planted = list[tuple[str, int]]  # a text, and how often it occurs


def planted(low: int, high: int, size: float, seed: int) -> Planted:
    """As many texts of each power of two between `low` and `high`, in `size` bytes altogether; all of them train."""
    times = [2**k for k in range(20) if low <= 2**k <= high]
    if not times:
        raise DataError(f"canary:{low}-{high}: a power of two must lie between them: how often documents occur")
    need = (LETTERS + 1) * sum(times)
    each = int(size / need)
    if not each:
        raise DataError(f"canary:{low}-{high}: one document of each count takes {need} bytes, its share is {size:.0f}")
    draw = random.Random(f"canary {seed}").random
    out: Planted = []
    while len(out) < each * len(times):
        text = "".join(chr(ord("a") + int(draw() * 26)) for _ in range(LETTERS))
        if not held_out(text.encode()):
            out.append((text, times[len(out) % len(times)]))
    return out


def scattered(texts: Planted, seed: int) -> Iterator[bytes]:
    """Every text as often as it occurs, in an order of chance."""
    copies = [text for text, times in texts for _ in range(times)]
    draw = random.Random(f"scattered {seed}").random
    for i in range(len(copies) - 1, 0, -1):
        j = int(draw() * (i + 1))
        copies[i], copies[j] = copies[j], copies[i]
    for text in copies:
        yield text.encode()

"""Prints the damaged files that a command left out."""

from __future__ import annotations

import sys
from typing import TextIO

from scaling.store.record import Store


def print_damaged(store: Store, stream: TextIO | None = None) -> None:
    """Prints each file of `store.damaged` once, as `left out: PATH: damaged: REASON: REMEDY`.

    Args:
        store: The store.
        stream: Where to print; by default standard error.
    """
    for path, problem in store.damaged.items():
        if path not in store.printed_damaged:
            store.printed_damaged.add(path)
            print(f"left out: {store.root / path}: {problem}", file=stream or sys.stderr)

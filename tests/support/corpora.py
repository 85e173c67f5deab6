"""Folders of documents to prepare."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scaling.data.tokens import TokenFile
from scaling.data.windows import training_windows


def write_documents(folder: Path, count: int = 300) -> list[bytes]:
    """Files short and long, with line ends of every kind, two of them far longer than any window."""
    folder.mkdir()
    texts = [f"document {i}\r\n\tβ {'😀' * (i % 7)}  {i * i}".encode() for i in range(count)]
    texts[17] = ("a long line\n" * 20_000).encode()
    texts[40] = ("ein langes Wort: " + "ä" * 90_000).encode()
    for i, text in enumerate(texts):
        at = folder / f"{i % 3}" / f"{i:04d}.txt"
        at.parent.mkdir(exist_ok=True)
        at.write_bytes(text)
    return [path.read_bytes() for path in sorted(folder.rglob("*.txt"))]


def training_batch(tokens: TokenFile, *, seed: int, size: int, length: int, index: int) -> np.ndarray:
    """Batch `index` of a run, int32 (size, length + 1)."""
    rows = index * size + np.arange(size, dtype=np.int64)
    return training_windows(tokens, seed=seed, length=length, rows=rows)

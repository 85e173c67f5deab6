"""Folders of documents to prepare."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scaling.data.shards.manifest import MANIFEST, Shard, ShardManifest, content_hash, encode_manifest
from scaling.data.tokens import TokenFile, token_dtype
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


def write_shards(folder: Path, train: np.ndarray, validation: np.ndarray, sizes: Sequence[int]) -> ShardManifest:
    """Tokens in shards of these sizes in turn, in a folder with their manifest; vocabulary of 257 or more."""
    folder.mkdir(parents=True)
    shards, turns = [], itertools.cycle(sizes)
    vocab = max(257, int(max(train.max(), validation.max())) + 1)
    dtype = token_dtype(vocab)
    for split, tokens in (("train", train), ("validation", validation)):
        start = 0
        while start < len(tokens):
            part = tokens[start : start + next(turns)].astype(dtype)
            name = f"{split}-{len(shards):05d}-{len(shards) % 3:03d}.bin"
            (folder / name).write_bytes(part.tobytes())
            shards.append(Shard(split, name, len(part), hashlib.sha256(part.tobytes()).hexdigest()))
            start += len(part)
    counts = (len(train), len(validation))
    identity = content_hash(dtype, vocab, counts, shards)
    manifest = ShardManifest("text:x", "bytes", vocab, 256, 1, {}, dtype, counts, identity, tuple(shards))
    (folder / MANIFEST).write_bytes(encode_manifest(manifest))
    return manifest

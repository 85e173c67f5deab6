"""Corpora in a folder of tokens, found by content or by name: token files and sharded corpora.

A token file (scaling/data/shards/token_file.py) is one file. A sharded corpus (scaling/data/shards/manifest.py) is a
folder with a manifest, whose shards may lie in a bucket. Both open as a `TokenFile`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from scaling.config.text import printable
from scaling.data.shards import token_file
from scaling.data.shards.manifest import MANIFEST, read_manifest
from scaling.data.shards.manifest import SUFFIX as SHARDS_SUFFIX
from scaling.data.shards.reader import ReadOptions, open_shards
from scaling.data.shards.token_file import (
    ALIGNMENT,
    CHUNK_BYTES,
    MAGIC,
    SUFFIX,
    TEXT_TOKENIZERS,
    TOKEN_BYTES,
    CorpusError,
    TokenArray,
    TokenFile,
    content_hash,
    corpus_slug,
    has_content,
    mark_verified,
    open_token_file,
    token_dtype,
)

__all__ = [
    "ALIGNMENT", "CHUNK_BYTES", "MAGIC", "SUFFIX", "TEXT_TOKENIZERS", "TOKEN_BYTES", "CorpusError", "ReadOptions",
    "TokenArray", "TokenFile", "content_hash", "corpus_slug", "find_corpus", "find_tokens", "has_content", "is_sharded",
    "mark_verified", "open_tokens", "read_header", "token_dtype", "token_paths",
]  # fmt: skip


def is_sharded(path: Path) -> bool:
    """Whether a path is that of a sharded corpus rather than of a token file."""
    return path.suffix == SHARDS_SUFFIX


def token_paths(folder: Path, stem: str = "*") -> list[Path]:
    """Lists the token files and the complete sharded corpora in a folder, in order of their names.

    Args:
        folder: Folder of tokens.
        stem: Pattern of the names without their suffix.
    """
    shards = (path for path in folder.glob(f"{stem}{SHARDS_SUFFIX}") if (path / MANIFEST).exists())
    return sorted([*folder.glob(f"{stem}{SUFFIX}"), *shards])


def modified(path: Path) -> int:
    """Returns when a token file or a sharded corpus was written, in ns since 1970."""
    return (path / MANIFEST if is_sharded(path) else path).stat().st_mtime_ns


def read_header(path: Path) -> dict[str, Any]:
    """Reads what a token file, or the manifest of a sharded corpus, says of its content.

    Returns:
        The fields that `token_file.HEADER_FIELDS` lists; of a token file also `offset`, where the tokens start.

    Raises:
        CorpusError: It cannot be read, or is damaged.
    """
    if not is_sharded(path):
        return token_file.read_header(path)
    manifest = read_manifest(path)
    return {name: getattr(manifest, name) for name in token_file.HEADER_FIELDS}


def open_tokens(path: Path, options: ReadOptions = ReadOptions()) -> TokenFile:
    """Opens a token file or a sharded corpus and verifies what lies on this machine.

    The checksum of a file is computed once for each state of it. Shards in a bucket are verified as they are read
    (scaling/data/shards/cache.py).

    Args:
        path: The file, or the folder with the manifest.
        options: How shards that lie elsewhere are read.

    Raises:
        CorpusError: It cannot be read, is damaged, or does not match its checksum.
    """
    return open_shards(path, options) if is_sharded(path) else open_token_file(path)


def find_tokens(folder: Path, content_hash: str) -> Path:
    """Finds the token file with a content hash.

    Args:
        folder: Folder of token files.
        content_hash: 64 hex digits.

    Raises:
        CorpusError: The folder has no such file.
    """
    for path in token_paths(folder, f"*-{content_hash[:16]}"):
        if read_header(path)["content_hash"] == content_hash:
            return path
    raise CorpusError(
        f"no token file with content hash {content_hash[:16]}… in {folder}: run `python -m scaling prepare` there"
    )


def find_corpus(folder: Path, corpus: str, tokenizer: str = "bytes") -> Path | None:
    """Finds the most recently prepared token file of a corpus.

    Args:
        folder: Folder of token files.
        corpus: Specification of the corpus.
        tokenizer: Name of the tokeniser; a corpus that brings its own tokens (markov, seqio) matches any.

    Returns:
        The path, or None where the corpus is not prepared in this folder.

    Raises:
        CorpusError: A token file that has the name of this corpus is damaged; others are named on standard error.
    """
    paths = []
    for path in token_paths(folder):
        try:
            header = read_header(path)
        except CorpusError as error:
            if path.name.startswith(f"{corpus_slug(corpus)}-"):
                raise
            print(printable(f"left out: {error}"), file=sys.stderr)
            continue
        is_text = header["tokenizer"].partition(":")[0] in TEXT_TOKENIZERS
        own_tokens = not is_text or header["facts"].get("own_tokens") is True
        if header["corpus"] == corpus and (own_tokens or header["tokenizer"] == tokenizer):
            paths.append(path)
    return max(paths, key=modified, default=None)

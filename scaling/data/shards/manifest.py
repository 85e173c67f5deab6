"""Manifest of a sharded corpus: which shards it has, in reading order, with the hash of each and of the whole.

A sharded corpus is a folder `SLUG-HASH16.shards` with `manifest.json`, which is written last: a folder without it is no
corpus. Shards are raw little-endian tokens without a header, so token i of a shard is at byte i times the size of a
token. They lie beside the manifest, or at the address that it names, such as a folder of a bucket.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scaling.config.os_errors import open_file
from scaling.data.shards.token_file import TOKEN_BYTES, CorpusError

FORMAT = 1
MANIFEST = "manifest.json"
SUFFIX = ".shards"
SPLITS = ("train", "validation")  # in reading order
REMEDY = "remove the folder and prepare the corpus again"
MANIFEST_FIELDS: dict[str, Any] = {
    "format": int, "corpus": str, "tokenizer": str, "vocab": int, "eod": int | None, "documents": int, "facts": dict,
    "dtype": str, "counts": list, "content_hash": str, "shards": list,
}  # fmt: skip
SHARD_FIELDS = {"split": str, "name": str, "tokens": int, "sha256": str}
SHARD_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,200}")
HEX_DIGITS = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Shard:
    """One file of tokens.

    Attributes:
        split: `train` or `validation`.
        name: File name.
        tokens: Number of tokens.
        sha256: SHA-256 of the file, 64 hex digits.
    """

    split: str
    name: str
    tokens: int
    sha256: str


@dataclass(frozen=True)
class ShardManifest:
    """The content of a sharded corpus.

    Attributes:
        corpus: Specification of the corpus.
        tokenizer: Name of the tokeniser.
        vocab: Vocabulary size.
        eod: Token that ends each document; None where the corpus is one stream.
        documents: Number of documents.
        facts: Known properties of the corpus.
        dtype: NumPy type of a token, `<u2` or `<u4`.
        counts: Tokens of the training split and of the validation split.
        content_hash: SHA-256 over tokens, type, vocabulary, split and shards, by which runs refer to the corpus.
        shards: The shards in reading order, those of the training split first.
        address: Folder or address (gs://, s3://, ...) that has the shards; empty before it is known.
    """

    corpus: str
    tokenizer: str
    vocab: int
    eod: int | None
    documents: int
    facts: dict[str, Any]
    dtype: str
    counts: tuple[int, int]
    content_hash: str
    shards: tuple[Shard, ...]
    address: str = ""

    def split(self, name: str) -> tuple[Shard, ...]:
        """Returns the shards of a split in reading order."""
        return tuple(shard for shard in self.shards if shard.split == name)


def content_hash(dtype: str, vocab: int, counts: Sequence[int], shards: Sequence[Shard]) -> str:
    """Computes the content hash of a sharded corpus, 64 hex digits; names and addresses are no part of it.

    Args:
        dtype: NumPy type of a token.
        vocab: Vocabulary size.
        counts: Tokens of the training split and of the validation split.
        shards: The shards in reading order.
    """
    identity = {
        "dtype": dtype, "vocab": vocab, "train": counts[0], "validation": counts[1],
        "shards": [[shard.split, shard.tokens, shard.sha256] for shard in shards],
    }  # fmt: skip
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def encode_manifest(manifest: ShardManifest, address: str | None = None) -> bytes:
    """Encodes a manifest as the file that `read_manifest` reads.

    Args:
        manifest: The manifest.
        address: Address or absolute path of the shards, or the name of a folder beside that of the manifest; None where
            they are beside the manifest.
    """
    fields = {name: value for name, value in asdict(manifest).items() if name != "address"}
    where = {} if address is None else {"address": address}
    return json.dumps({"format": FORMAT, **fields, **where}, allow_nan=False).encode()


def read_manifest(folder: Path | str) -> ShardManifest:
    """Reads the manifest of a sharded corpus and checks it against its content hash; reads no shard.

    Args:
        folder: Folder or address of the sharded corpus.

    Raises:
        CorpusError: There is no manifest, it cannot be read, or it is damaged.
    """
    name = f"{folder}/{MANIFEST}"
    data = _read(Path(folder)) if "://" not in str(folder) else _read_remote(str(folder))
    try:
        fields = json.loads(data)
        address = _resolve_address(str(folder), fields.pop("address", None))
        manifest = _parse_manifest(fields, address)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise CorpusError(f"{name}: damaged manifest: {REMEDY}") from None
    if content_hash(manifest.dtype, manifest.vocab, manifest.counts, manifest.shards) != manifest.content_hash:
        raise CorpusError(f"{name}: altered: its shards do not match its content hash: {REMEDY}")
    return manifest


def _read(folder: Path) -> bytes:
    try:
        with open_file(folder / MANIFEST) as file:
            return file.read()
    except FileNotFoundError:
        raise CorpusError(f"{folder}: has no {MANIFEST}: it is not prepared completely: run prepare again") from None
    except OSError as error:
        raise CorpusError(f"{folder / MANIFEST}: cannot be read: {error.strerror}") from None


def _read_remote(address: str) -> bytes:
    from scaling.store.remote.files import RemoteFiles  # here: fsspec takes time to import

    try:
        return RemoteFiles(address).read(MANIFEST)
    except FileNotFoundError:
        raise CorpusError(f"{address}: has no {MANIFEST}: it is not prepared completely: run prepare again") from None
    except OSError as error:
        raise CorpusError(f"{address}/{MANIFEST}: cannot be read: {error.strerror}") from None


def _resolve_address(folder: str, address: str | None) -> str:
    """Returns where the shards are: beside the manifest, in a folder beside its folder, or elsewhere."""
    if address is None:
        return folder
    if "://" in address or address.startswith("/"):
        return address
    if not SHARD_NAME.fullmatch(address):
        raise ValueError(address)
    return f"{folder.rstrip('/').rpartition('/')[0]}/{address}"


def _parse_manifest(fields: dict[str, Any], address: str) -> ShardManifest:
    """Returns the manifest of the fields of a file; ValueError, KeyError or TypeError where they are damaged."""
    if fields.keys() != MANIFEST_FIELDS.keys() or fields.pop("format") != FORMAT:
        raise KeyError
    if not all(isinstance(value, MANIFEST_FIELDS[name]) for name, value in fields.items()):
        raise TypeError
    shards = tuple(_parse_shard(shard) for shard in fields.pop("shards"))
    train, validation = (sum(s.tokens for s in shards if s.split == split) for split in SPLITS)
    ordered = sorted(shards, key=lambda shard: SPLITS.index(shard.split))
    if fields["counts"] != [train, validation] or list(shards) != ordered or fields["dtype"] not in TOKEN_BYTES:
        raise ValueError
    return ShardManifest(**{**fields, "counts": (train, validation)}, shards=shards, address=address)


def _parse_shard(fields: dict[str, Any]) -> Shard:
    if fields.keys() != SHARD_FIELDS.keys() or not all(isinstance(fields[n], kind) for n, kind in SHARD_FIELDS.items()):
        raise TypeError
    shard = Shard(**fields)
    if shard.split not in SPLITS or shard.tokens < 1 or not SHARD_NAME.fullmatch(shard.name):
        raise ValueError
    if not HEX_DIGITS.fullmatch(shard.sha256):
        raise ValueError
    return shard

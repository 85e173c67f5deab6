"""Sharded corpora as training reads them: windows of tokens, from disk or from a bucket through a bounded cache.

Where the shards lie on this machine they are memory-mapped. At an address the reader chooses between two ways:

- by pieces of some MB, each fetched once and kept in the cache of the host (scaling/data/shards/cache.py), where the
  cache holds all pieces that are read in the same time: the order `blocks`, and any order of a corpus smaller than the
  cache;
- by windows, one range request each, where it does not.

Either way the requests run in threads, ahead of the step that needs them, and a host reads only what its own rows need.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scaling.data.shards.cache import PieceCache, default_folder
from scaling.data.shards.fetching import Fetcher
from scaling.data.shards.manifest import ShardManifest, read_manifest
from scaling.data.shards.sources import Layout, LocalShards, RemoteShards, verify_shards
from scaling.data.shards.token_file import CorpusError, TokenFile

SLICE_TOKENS = 1 << 21  # tokens of one request of a slice


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How shards at an address are read.

    Attributes:
        address: Another folder or address that has the same sharded corpus, such as a bucket in this region; empty: the
            one that the manifest names.
        cache_gb: Largest size of the cache of pieces on this host in GB (1e9 bytes); 0: none.
        cache_folder: Its folder; None: `tokens` in the user's cache.
    """

    address: str = ""
    cache_gb: float = 10.0
    cache_folder: Path | None = None


@dataclass(frozen=True)
class Pieces:
    """How the windows of a run are cut into pieces.

    Attributes:
        tokens: Tokens from the start of a piece to the start of the next.
        overlap: Tokens of the next piece that the last window of a piece needs.
        working: Pieces that are read in the same time, including those fetched ahead; None: any of the split.
    """

    tokens: int
    overlap: int
    working: int | None


@dataclass(frozen=True)
class _Announced:
    """A window that is fetched ahead.

    Attributes:
        number: Number of the fetch that reads it.
        future: Windows of that fetch.
        place: Its place among them.
    """

    number: int
    future: Future[list[np.ndarray]]
    place: int


class TokenSplit:
    """Tokens of one split of a sharded corpus: indexed like an array, and read by windows.

    Attributes:
        name: Name of the split and of the corpus, by which its pieces are cached.
        source: Where the shards are.
        cache: The cache of pieces; None without one.
    """

    def __init__(self, name: str, source: LocalShards | RemoteShards, cache: PieceCache | None) -> None:
        self.name, self.source, self.cache = name, source, cache
        self._pieces: Fetcher[np.ndarray] = Fetcher()
        self._windows: Fetcher[list[np.ndarray]] = Fetcher()
        self._announced: dict[int, _Announced] = {}  # by the start of the window

    @property
    def dtype(self) -> np.dtype:
        """NumPy type of a token."""
        return np.dtype(self.source.dtype)

    def __len__(self) -> int:
        return self.source.layout.count

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step < 0:
                raise IndexError("a split of a sharded corpus is sliced forwards only")
            bounds = [(i, min(i + SLICE_TOKENS, stop)) for i in range(start, stop, SLICE_TOKENS)]
            return np.concatenate([np.zeros(0, self.dtype), *self.source.read(bounds)])[::step]
        indices = np.asarray(index)
        if indices.size and not (-len(self) <= indices.min() and indices.max() < len(self)):
            raise IndexError(f"index outside the {len(self)} tokens of the split")
        unique, which = np.unique(np.where(indices < 0, indices + len(self), indices), return_inverse=True)
        edges = np.flatnonzero(np.diff(unique) > 1) + 1
        runs = [(int(run[0]), int(run[-1]) + 1) for run in np.split(unique, edges)] if unique.size else []
        tokens = np.concatenate([np.zeros(0, self.dtype), *self.source.read(runs)])
        return tokens[which.reshape(indices.shape)]

    def windows(self, starts: np.ndarray, length: int, pieces: Pieces | None = None) -> np.ndarray:
        """Reads windows of tokens.

        Args:
            starts: First token of each window, int64 (S,).
            length: Tokens of a window.
            pieces: How windows are cut into pieces; None: each window alone.

        Returns:
            Tokens, (S, length).

        Raises:
            CorpusError: The shards cannot be read.
        """
        out = np.empty((len(starts), length), self.dtype)
        if pieces is None or not self.reads_pieces(pieces):
            for row, tokens in enumerate(self._read_windows(starts, length)):
                out[row] = tokens
            return out
        numbers = starts // pieces.tokens
        wanted = np.unique(numbers)
        missing = [int(n) for n in wanted if not self._is_cached(int(n), pieces)]
        fetches = {n: self._pieces.enqueue(n, self._piece_work(n, pieces), now=True) for n in missing}
        for number in wanted:
            piece = self._piece(int(number), pieces, fetches.get(int(number)))
            rows = np.flatnonzero(numbers == number)
            offsets = starts[rows] - number * pieces.tokens
            out[rows] = piece[offsets[:, None] + np.arange(length)[None, :]]
        return out

    def prefetch(self, starts: np.ndarray, length: int, pieces: Pieces | None = None) -> None:
        """Starts to fetch windows that will be read soon; does nothing for shards on this machine.

        Args:
            starts: First token of each window, in the order in which they will be read.
            length: Tokens of a window.
            pieces: As for `windows`.
        """
        if not self.source.is_remote or not len(starts):
            return
        if pieces is not None and self.reads_pieces(pieces):
            numbers = starts // pieces.tokens
            for number in numbers[np.sort(np.unique(numbers, return_index=True)[1])]:
                if not self._is_cached(int(number), pieces):
                    self._pieces.enqueue(int(number), self._piece_work(int(number), pieces))
            return
        ranges = [(int(start), int(start) + length) for start in starts]
        number = ranges[0][0]
        future = self._windows.enqueue(number, functools.partial(self.source.read, ranges))
        self._announced |= {start: _Announced(number, future, i) for i, (start, _) in enumerate(ranges)}

    def reads_pieces(self, pieces: Pieces) -> bool:
        """Whether windows are read by pieces: remote shards, and a cache for all pieces read in the same time."""
        if not self.source.is_remote or self.cache is None or self.cache.is_full:
            return False
        count = -(-len(self) // pieces.tokens)
        working = count if pieces.working is None else min(pieces.working, count)
        return working * (pieces.tokens + pieces.overlap) * self.dtype.itemsize <= 0.9 * self.cache.limit

    def _read_windows(self, starts: np.ndarray, length: int) -> list[np.ndarray]:
        ranges = [(int(start), int(start) + length) for start in starts]
        if not self._announced:
            return self.source.read(ranges)
        out: dict[int, np.ndarray] = {}
        for row, (start, _) in enumerate(ranges):
            announced = self._announced.pop(start, None)
            if announced is not None:
                self._windows.start(announced.number)
                window = announced.future.result()[announced.place]
                out |= {row: window} if len(window) == length else {}
        rest = [row for row in range(len(ranges)) if row not in out]
        out |= zip(rest, self.source.read([ranges[row] for row in rest]), strict=True)
        return [out[row] for row in range(len(ranges))]

    def _bounds(self, number: int, pieces: Pieces) -> tuple[int, int]:
        start = number * pieces.tokens
        return start, min(start + pieces.tokens + pieces.overlap, len(self))

    def _piece_name(self, number: int, pieces: Pieces) -> str:
        start, stop = self._bounds(number, pieces)
        return f"{self.name}-{start}-{stop}"

    def _is_cached(self, number: int, pieces: Pieces) -> bool:
        assert self.cache is not None
        return self.cache.contains(self._piece_name(number, pieces))

    def _piece_work(self, number: int, pieces: Pieces) -> Callable[[], np.ndarray]:
        def fetch() -> np.ndarray:
            if (stored := self._stored_piece(number, pieces)) is not None:  # since the caller has looked
                return stored
            assert self.cache is not None
            [tokens] = self.source.read([self._bounds(number, pieces)])
            self.cache.store(self._piece_name(number, pieces), tokens)
            return tokens

        return fetch

    def _stored_piece(self, number: int, pieces: Pieces) -> np.ndarray | None:
        """Returns a piece from the cache; None where it is not stored or was damaged."""
        assert self.cache is not None
        data = self.cache.read(self._piece_name(number, pieces))
        start, stop = self._bounds(number, pieces)
        whole = data is not None and len(data) == (stop - start) * self.dtype.itemsize
        return data.view(self.dtype) if data is not None and whole else None

    def _piece(self, number: int, pieces: Pieces, fetch: Future[np.ndarray] | None) -> np.ndarray:
        """Returns a piece from its fetch or from the cache; fetches it where it is damaged or was removed."""
        if fetch is not None:
            return fetch.result()
        stored = self._stored_piece(number, pieces)
        return stored if stored is not None else self._piece_work(number, pieces)()


@dataclass(frozen=True)
class ShardedTokens(TokenFile):
    """A sharded corpus; attributes as of a token file, whose `offset` is 0.

    Attributes:
        manifest: Its shards.
        options: How shards at an address are read.
    """

    manifest: ShardManifest
    options: ReadOptions

    @functools.cached_property
    def train(self) -> TokenSplit:
        """Tokens of the training split."""
        return self._split("train")

    @functools.cached_property
    def validation(self) -> TokenSplit:
        """Tokens of the validation split."""
        return self._split("validation")

    def _split(self, name: str) -> TokenSplit:
        layout, address = Layout(self.manifest.split(name)), self.manifest.address
        label = f"{self.content_hash[:32]}-{name}"
        if "://" not in address:
            return TokenSplit(label, LocalShards(Path(address), layout, self.dtype), None)
        limit = int(self.options.cache_gb * 1e9)
        cache = PieceCache(self.options.cache_folder or default_folder(), limit) if limit else None
        return TokenSplit(label, RemoteShards(address, layout, self.dtype), cache)


def open_shards(folder: Path | str, options: ReadOptions = ReadOptions()) -> ShardedTokens:
    """Opens a sharded corpus. Shards on this machine are verified, once for each state of a file.

    Args:
        folder: Folder or address that has the manifest.
        options: How shards at an address are read.

    Raises:
        CorpusError: The manifest or a shard on this machine cannot be read or is damaged, or the copy at
            `options.address` has another content.
    """
    manifest = read_manifest(folder)
    if options.address and options.address != str(folder):
        copy = read_manifest(options.address)
        if copy.content_hash != manifest.content_hash:
            raise CorpusError(
                f"{options.address}: its content hash is {copy.content_hash[:16]}…, that of {folder} is "
                f"{manifest.content_hash[:16]}…: give the address of a copy of the same corpus"
            )
        manifest = copy
    if "://" not in manifest.address:
        verify_shards(Path(manifest.address), manifest.shards, manifest.dtype)
    return ShardedTokens(
        path=folder if isinstance(folder, Path) else Path(folder.rstrip("/").rpartition("/")[2]),
        corpus=manifest.corpus,
        tokenizer=manifest.tokenizer,
        vocab=manifest.vocab,
        eod=manifest.eod,
        documents=manifest.documents,
        content_hash=manifest.content_hash,
        facts=manifest.facts,
        dtype=manifest.dtype,
        offset=0,
        counts=manifest.counts,
        manifest=manifest,
        options=options,
    )

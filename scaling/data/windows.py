"""Windows of a token file and the order in which a run reads them.

Row i of a run is a pure function of (content hash, seed, length, i). There is no state between batches, so the rows do
not depend on resuming, batch size or host.

Axes: S windows, L + 1 tokens of a window.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scaling.data.shards.blocks import BlockOrder, block_order, blocks_read, unique_block_windows
from scaling.data.shards.permutation import permute
from scaling.data.shards.reader import Pieces, TokenSplit
from scaling.data.tokens import CorpusError, TokenArray, TokenFile

PIECE_TOKENS = 1 << 21  # of a piece in the order `random`
AHEAD_TOKENS = 1 << 22  # fetched ahead in the order `random`
WORKING_GROUPS = 3  # groups of blocks whose pieces are read in the same time: the last, this one, and the next ahead


def count_windows(count: int, length: int, stride: int | None = None) -> int:
    """Returns how many windows of length + 1 tokens a split has.

    Args:
        count: Tokens of the split.
        length: Targets of a window, L.
        stride: Tokens from the start of one window to the next. L unless given, so that each token is a target once;
            L + 1 for examples, which share no token.
    """
    return max(0, (count - 1 - length) // (stride or length) + 1)


@dataclass(frozen=True)
class WindowOrder:
    """Which windows of the training split a run reads, and in which order.

    Attributes:
        tokens: The token file.
        seed: Seed of the run.
        length: Targets of a window, L.
        unique: Unique training tokens that the run may read. Its windows are a random subset of the split, the same for
            every seed, and a smaller subset is part of a larger one: of windows, or under `blocks` of whole blocks.
            None: all tokens.
        stride: As for `count_windows`.
        blocks: Sizes of the order `blocks`; None for the order `random`, in which every window is permuted.
    """

    tokens: TokenFile
    seed: int
    length: int
    unique: int | None = None
    stride: int | None = None
    blocks: BlockOrder | None = None

    @property
    def available(self) -> int:
        """Windows of the split."""
        return count_windows(len(self.tokens.train), self.length, self.stride)

    @property
    def size(self) -> int:
        """Windows of an epoch."""
        return self.available if self.unique is None else min(self.available, self.unique // self.length)

    @property
    def step(self) -> int:
        """Tokens from the start of one window to the next."""
        return self.stride or self.length

    @property
    def width(self) -> int:
        """Windows of a block or piece."""
        return (self.blocks or BlockOrder(PIECE_TOKENS, 1)).windows(self.step)

    @property
    def pieces(self) -> Pieces:
        """How a reader of remote shards cuts the split: into blocks, each with what its last window needs."""
        working = None if self.blocks is None else WORKING_GROUPS * self.blocks.group
        return Pieces(self.width * self.step, self.length + 1 - self.step, working)

    def windows(self, rows: np.ndarray) -> np.ndarray:
        """Returns the window that each row reads: every window once per epoch, each epoch in another order.

        Args:
            rows: Numbers of the rows, from the start of the run.
        """
        return self._each_epoch(rows, in_blocks=False)

    def first_windows(self, rows: np.ndarray) -> np.ndarray:
        """Returns a window of the block that each row reads, which is quicker to compute; rows as for `windows`."""
        return self._each_epoch(rows, in_blocks=self.blocks is not None)

    def _each_epoch(self, rows: np.ndarray, in_blocks: bool) -> np.ndarray:
        epochs, positions = rows // self.size, rows % self.size
        out = np.empty_like(rows)
        for epoch in np.unique(epochs):
            of_epoch = epochs == epoch
            key = f"{self.tokens.content_hash} {self.seed} {self.length} {epoch}"
            out[of_epoch] = self._permuted(positions[of_epoch], key, in_blocks)
        return out if self.unique is None else self.unique_windows(out)

    def _permuted(self, positions: np.ndarray, key: str, in_blocks: bool) -> np.ndarray:
        if self.blocks is None:
            return permute(positions, self.size, key.encode())
        sizes = (self.size, self.width, self.blocks.group, f"{key} {self.step}")
        if in_blocks:
            return blocks_read(positions, *sizes) * self.width
        return block_order(positions, *sizes)

    def unique_windows(self, index: np.ndarray) -> np.ndarray:
        """Returns windows of the subset that a run of few unique tokens reads.

        Args:
            index: Indices into the subset.
        """
        key = f"{self.tokens.content_hash} {self.length} unique"
        if self.blocks is None:
            return permute(index, self.available, key.encode())
        return unique_block_windows(index, self.available, self.width, f"{key} blocks")


def window_order(
    tokens: TokenFile,
    *,
    seed: int,
    length: int,
    rows: np.ndarray,
    unique: int | None = None,
    stride: int | None = None,
) -> np.ndarray:
    """Returns the window that each row of a run reads in the order `random`.

    Args:
        tokens: The token file.
        seed: Seed of the run.
        length: Targets of a window, L.
        rows: Numbers of the rows, from the start of the run.
        unique: As for `WindowOrder`.
        stride: As for `count_windows`.
    """
    return WindowOrder(tokens, seed, length, unique, stride).windows(rows)


def training_windows(
    tokens: TokenFile,
    *,
    seed: int,
    length: int,
    rows: np.ndarray,
    unique: int | None = None,
    stride: int | None = None,
) -> np.ndarray:
    """Reads rows of a run in the order `random`; arguments as for `window_order`.

    Returns:
        Tokens, int32 (S, L + 1); inputs are [:, :-1], targets [:, 1:].
    """
    return read_rows(WindowOrder(tokens, seed, length, unique, stride), rows)


def read_rows(order: WindowOrder, rows: np.ndarray) -> np.ndarray:
    """Reads rows of a run, whatever its batch size.

    Args:
        order: Which windows the run reads.
        rows: Numbers of the rows, from the start of the run.

    Returns:
        Tokens, int32 (S, L + 1); inputs are [:, :-1], targets [:, 1:].
    """
    return _gather(order.tokens.train, order.windows(rows) * order.step, order.length, order.pieces)


def prefetch_rows(order: WindowOrder, rows: np.ndarray) -> None:
    """Starts to fetch rows of a run that will be read soon; does nothing where the tokens are on this machine.

    Args:
        order: Which windows the run reads.
        rows: Numbers of the rows, in the order in which they will be read.
    """
    split = order.tokens.train
    if isinstance(split, TokenSplit) and split.source.is_remote:
        by_pieces = split.reads_pieces(order.pieces)
        windows = order.first_windows(rows) if by_pieces else order.windows(rows)
        split.prefetch(windows * order.step, order.length + 1, order.pieces)


def rows_ahead(order: WindowOrder) -> int:
    """Returns how many rows ahead of the next step are fetched: under `blocks` those of one group of blocks.

    Args:
        order: Which windows the run reads.
    """
    if order.blocks is not None:
        return order.blocks.group * order.width
    return max(1, AHEAD_TOKENS // order.length)


def fixed_training_windows(order: WindowOrder, sequences: int) -> np.ndarray:
    """Reads windows evenly spread over what a run trains on, the same for every seed.

    Args:
        order: Which windows the run reads.
        sequences: Number of windows; all of them where there are fewer.

    Returns:
        Tokens, int32 (S, L + 1).
    """
    count = min(sequences, order.size)
    index = np.arange(count, dtype=np.int64) * order.size // count
    index = index if order.unique is None else order.unique_windows(index)
    return _gather(order.tokens.train, index * order.step, order.length)


def validation_windows_at(tokens: TokenFile, *, length: int, rows: np.ndarray, stride: int | None = None) -> np.ndarray:
    """Reads windows of the validation split by their number.

    Args:
        tokens: The token file.
        length: Targets of a window, L.
        rows: Numbers of the windows, from the start of the split.
        stride: As for `count_windows`.

    Returns:
        Tokens, int32 (S, L + 1).
    """
    return _gather(tokens.validation, rows * (stride or length), length)


def validation_windows(tokens: TokenFile, *, length: int, sequences: int, stride: int | None = None) -> np.ndarray:
    """Reads windows evenly spread over the validation split.

    Args:
        tokens: The token file.
        length: Targets of a window, L.
        sequences: Number of windows; all of them where there are fewer.
        stride: As for `count_windows`.

    Returns:
        Tokens, int32 (S, L + 1).

    Raises:
        CorpusError: The split is shorter than one window.
    """
    available = count_windows(len(tokens.validation), length, stride)
    count = min(sequences, available)
    if not count:
        raise CorpusError(_too_short(tokens, "validation", len(tokens.validation), length))
    rows = np.arange(count, dtype=np.int64) * available // count
    return validation_windows_at(tokens, length=length, rows=rows, stride=stride)


def check_token_file(tokens: TokenFile, *, vocab: int, length: int, document_end: int | None = None) -> None:
    """Checks that a model can be trained on a token file.

    Args:
        tokens: The token file.
        vocab: Vocabulary size of the model.
        length: Targets of a window, L.
        document_end: Token at which the model separates documents; None where it does not.

    Raises:
        CorpusError: The vocabulary is too small, the documents end in another token, or a split is shorter than one
            window.
    """
    if vocab < tokens.vocab:
        raise CorpusError(
            f"model.vocab = {vocab} is smaller than the vocabulary of {tokens.path}: set it to at least {tokens.vocab}"
        )
    if document_end is not None and document_end != tokens.eod:
        ends = "are one stream" if tokens.eod is None else f"end in token {tokens.eod}"
        raise CorpusError(f"data.document_end = {document_end}: the documents of {tokens.path} {ends}")
    for split, count in zip(("train", "validation"), tokens.counts, strict=True):
        if not count_windows(count, length):
            raise CorpusError(_too_short(tokens, split, count, length))


def _too_short(tokens: TokenFile, split: str, count: int, length: int) -> str:
    return f"{tokens.path}: the {split} split has {count} tokens, fewer than one window of {length + 1}"


def _gather(split: TokenArray, starts: np.ndarray, length: int, pieces: Pieces | None = None) -> np.ndarray:
    if isinstance(split, TokenSplit):
        return split.windows(starts, length + 1, pieces).astype(np.int32)
    return split[starts[:, None] + np.arange(length + 1)[None, :]].astype(np.int32)

"""The order `blocks`: windows permuted inside groups of pieces of the corpus, so that a bucket sees large requests.

The windows of a corpus are cut into blocks of consecutive windows, of `tokens` tokens each (the last may be shorter).
Each epoch reads the blocks in another order, in groups of up to `group` blocks. Inside a group the rows take the blocks
in turn, and the windows of a block come in an order of their own: row i of a group of n blocks reads block i mod n.
Consecutive rows therefore come from different blocks, and a batch has about as many windows of each block of the group.
A host reads only some of the blocks where the batch is a multiple of the group and the host has fewer rows of it than
the group has blocks; otherwise each host reads every block.

Like the order `random` it is a pure function of (content hash, seed, length, row), and every window is read once per
epoch. Where one group has all blocks it is a full shuffle, stratified by blocks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scaling.data.shards.permutation import feistel_permutation, keyed_permutation, permute, round_keys


@dataclass(frozen=True)
class BlockOrder:
    """Sizes of the blocks and groups, which are part of the identity of a run.

    Attributes:
        tokens: Tokens of a block, rounded down to whole windows.
        group: Largest number of blocks among which windows are permuted.
    """

    tokens: int
    group: int

    def windows(self, stride: int) -> int:
        """Returns the windows of a block.

        Args:
            stride: Tokens from the start of one window to the next.
        """
        return max(1, self.tokens // stride)


@dataclass(frozen=True)
class _Epoch:
    """One epoch of a block order.

    Attributes:
        key: Names the order of this epoch.
        size: Windows of the epoch.
        width: Windows of a block.
        group: Largest number of blocks of a group.
    """

    key: str
    size: int
    width: int
    group: int

    @property
    def blocks(self) -> int:
        return -(-self.size // self.width)

    @property
    def groups(self) -> int:
        return -(-self.blocks // self.group)

    @property
    def short(self) -> int:
        """Windows of the last block, from 1 to `width`."""
        return self.size - (self.blocks - 1) * self.width

    def short_place(self) -> int:
        """Place of the last block, which may be shorter, in the order of the blocks."""
        return int(round_keys(f"{self.key} last".encode())[0] % np.uint64(self.blocks))

    def block_at(self, place: np.ndarray) -> np.ndarray:
        """Returns the block at each place of the order."""
        last, full = self.short_place(), self.blocks - 1
        before = np.clip(place - (place > last), 0, max(full - 1, 0))
        order = permute(before, full, f"{self.key} blocks".encode()) if full else before
        return np.where(place == last, self.blocks - 1, order)


def block_order(positions: np.ndarray, size: int, width: int, group: int, key: str) -> np.ndarray:
    """Maps positions in an epoch to windows.

    Args:
        positions: Positions in [0, size).
        size: Windows of the epoch.
        width: Windows of a block.
        group: Largest number of blocks of a group.
        key: Names the order of this epoch.

    Returns:
        The windows, a permutation of [0, size) over all positions, int64 of the shape of `positions`.
    """
    epoch = _Epoch(key, size, width, group)
    blocks, turn = _blocks_and_turns(positions, epoch)
    return blocks * width + _inside(turn, blocks, epoch)


def blocks_read(positions: np.ndarray, size: int, width: int, group: int, key: str) -> np.ndarray:
    """Returns the block that each position reads, without the order inside the blocks; arguments of `block_order`."""
    return _blocks_and_turns(positions, _Epoch(key, size, width, group))[0]


def _blocks_and_turns(positions: np.ndarray, epoch: _Epoch) -> tuple[np.ndarray, np.ndarray]:
    """Returns the block that each position reads, and how many windows of that block were read before it."""
    width, missing, last = epoch.width, epoch.width - epoch.short, epoch.short_place()
    last_group = _group_of(last, epoch)
    # Positions from the end of the group of the short block on are those of whole blocks, less the missing windows.
    end_of_last = _first_place(last_group + 1, epoch) * width - missing
    whole = np.where(positions >= end_of_last, positions + missing, positions)
    groups = np.where(
        (positions < end_of_last) & (positions >= _first_place(last_group, epoch) * width),
        last_group,
        _group_of(whole // width, epoch),
    )
    first = _first_place(groups, epoch)
    lanes = _first_place(groups + 1, epoch) - first
    lane, turn = _lane(whole - first * width, lanes, np.where(groups == last_group, last - first, -1), epoch)
    places, which = np.unique(first + lane, return_inverse=True)
    return epoch.block_at(places)[which.reshape(positions.shape)], turn


def _first_place(group: np.ndarray | int, epoch: _Epoch) -> np.ndarray:
    """Returns the place of the first block of each group, and after the last group the number of blocks.

    All groups have as many blocks as allowed, but the last two, which share the rest so that neither is small.
    """
    number, whole = np.asarray(group, np.int64), max(epoch.groups - 2, 0) * epoch.group
    halfway = whole + (epoch.blocks - whole + 1) // 2
    last_two = np.where(number == epoch.groups - 1, halfway if epoch.groups > 1 else 0, epoch.blocks)
    return np.where(number < epoch.groups - 1, number * epoch.group, last_two)


def _group_of(place: np.ndarray | int, epoch: _Epoch) -> np.ndarray:
    number = np.minimum(np.asarray(place, np.int64) // epoch.group, max(epoch.groups - 2, 0))
    return np.where(place >= _first_place(epoch.groups - 1, epoch), epoch.groups - 1, number)


def _lane(local: np.ndarray, lanes: np.ndarray, short_lane: np.ndarray, epoch: _Epoch) -> tuple[np.ndarray, np.ndarray]:
    """Returns the block in its group, and the number of the window in it, of positions in a group.

    Args:
        local: Positions in the group.
        lanes: Blocks of the group.
        short_lane: Which of them is the short block; -1 where none is.
        epoch: The epoch.
    """
    lane, turn = local % lanes, local // lanes
    beyond = (short_lane >= 0) & (turn >= epoch.short)  # only the other blocks still have windows
    others = np.maximum(lanes - 1, 1)
    rest = local - lanes * epoch.short
    other = rest % others
    lane = np.where(beyond, other + (other >= short_lane), lane)
    return lane, np.where(beyond, epoch.short + rest // others, turn)


def _inside(turn: np.ndarray, blocks: np.ndarray, epoch: _Epoch) -> np.ndarray:
    """Permutes the windows of each block."""
    out = np.empty_like(turn)
    names, which = np.unique(blocks, return_inverse=True)
    keys = np.stack([round_keys(f"{epoch.key} block {block}".encode()) for block in names], axis=1)[:, which.ravel()]
    is_short = blocks == epoch.blocks - 1
    for chosen, size in ((~is_short, epoch.width), (is_short, epoch.short)):
        if chosen.any():
            out[chosen] = keyed_permutation(turn[chosen], size, keys[:, chosen.ravel()])
    return out


def unique_block_windows(index: np.ndarray, available: int, width: int, key: str) -> np.ndarray:
    """Returns windows of the subset that a run of few unique tokens reads: whole blocks, chosen at random.

    A smaller subset is part of a larger one, and the subset is the same for every seed.

    Args:
        index: Indices into the subset.
        available: Windows of the whole split.
        width: Windows of a block.
        key: Names the subset.
    """
    full = available // width
    block, inside = index // width, index % width
    if full:
        chosen = feistel_permutation(np.minimum(block, full - 1), full, key.encode())
        block = np.where(block < full, chosen, block)  # the last block, if it is shorter, is the last to be chosen
    return block * width + inside

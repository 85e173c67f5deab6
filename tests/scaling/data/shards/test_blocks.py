"""The order `blocks`: every window once per epoch, large pieces, and no state."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.config.objective import DataConfig
from scaling.config.validation import ConfigError
from scaling.data.shards.blocks import BlockOrder, block_order, blocks_read, unique_block_windows
from scaling.data.shards.reader import ShardedTokens, open_shards
from scaling.data.windows import WindowOrder, read_rows
from tests.support.corpora import write_shards

sizes = st.tuples(st.integers(1, 300), st.integers(1, 40), st.integers(1, 9))  # windows, of a block, blocks of a group


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> ShardedTokens:
    """Tokens that say where they stand."""
    folder = tmp_path_factory.mktemp("tokens") / "x.shards"
    write_shards(folder, np.arange(10_000), 20_000 + np.arange(500), sizes=(700, 64, 1, 2_000))
    return open_shards(folder)


@settings(max_examples=60, deadline=None)
@given(shape=sizes, key=st.text(max_size=5))
def test_every_window_comes_exactly_once_per_epoch(shape: tuple[int, int, int], key: str) -> None:
    size = shape[0]
    order = block_order(np.arange(size), *shape, key)
    assert sorted(order) == list(range(size))
    np.testing.assert_array_equal(blocks_read(np.arange(size), *shape, key), order // shape[1])


@settings(max_examples=40, deadline=None)
@given(shape=sizes, seed=st.integers(0, 99))
def test_each_row_is_a_function_of_its_place_alone(shape: tuple[int, int, int], seed: int) -> None:
    size = shape[0]
    order = block_order(np.arange(size), *shape, "k")
    positions = np.random.default_rng(seed).integers(0, size, 20)
    np.testing.assert_array_equal(block_order(positions, *shape, "k"), order[positions])
    assert block_order(positions[:1], *shape, "k") == order[positions[0]]


@settings(max_examples=40, deadline=None)
@given(shape=sizes)
def test_at_any_time_the_windows_of_one_group_of_blocks_are_read(shape: tuple[int, int, int]) -> None:
    size, width, group = shape
    blocks = blocks_read(np.arange(size), size, width, group, "k")
    changes = {block: np.flatnonzero(blocks == block) for block in np.unique(blocks)}
    spans = sorted((int(rows[0]), int(rows[-1])) for rows in changes.values())
    for row in range(0, size, 7):
        assert sum(first <= row <= last for first, last in spans) <= group


@settings(max_examples=40, deadline=None)
@given(available=st.integers(1, 300), width=st.integers(1, 30), share=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_a_smaller_subset_of_unique_tokens_is_part_of_a_larger_one(available, width, share) -> None:
    small, large = sorted(1 + int(part * (available - 1)) for part in share)
    subsets = [set(unique_block_windows(np.arange(n), available, width, "u").tolist()) for n in (small, large)]
    assert len(subsets[0]) == small and subsets[0] <= subsets[1] <= set(range(available))
    assert len({window // width for window in subsets[0]}) <= -(-small // width) + 1, "whole blocks"


def order_of(tokens: ShardedTokens, seed: int = 0, unique: int | None = None) -> WindowOrder:
    return WindowOrder(tokens, seed, 16, unique, None, BlockOrder(256, 4))


def test_consecutive_rows_come_from_the_blocks_of_a_group_in_turn(shards: ShardedTokens) -> None:
    order = order_of(shards)
    assert order.size == 39 * 16  # in 8 groups of 4 blocks, then 4 and 3
    blocks = order.windows(np.arange(39 * 16)) // 16
    for group in blocks[: 36 * 16].reshape(9, 64):
        assert len(set(group[:4])) == 4 and np.array_equal(group, np.tile(group[:4], 16))
    assert len(set(blocks[36 * 16 :])) == 3


def test_epochs_seeds_and_contents_each_give_another_order_of_blocks_and_inside_them(shards: ShardedTokens) -> None:
    n = order_of(shards).size
    orders = [order_of(shards).windows(np.arange(n)), order_of(shards).windows(n + np.arange(n))]
    orders.append(order_of(shards, seed=1).windows(np.arange(n)))
    assert all(sorted(order) == list(range(n)) for order in orders)
    for i, a in enumerate(orders):
        for b in orders[:i]:
            assert np.mean(a == b) < 0.05 and np.mean(a // 16 == b // 16) < 0.2
    inside = [orders[0][orders[0] // 16 == block] % 16 for block in range(4)]
    assert len({tuple(windows) for windows in inside}) == 4, "each block has an order of its own"


def test_golden_values_of_the_order(shards: ShardedTokens) -> None:
    """A change here changes every run in this order: make another order instead."""
    rows = read_rows(order_of(shards, seed=7), np.arange(600, 1_400))
    np.testing.assert_array_equal(np.diff(rows), 1)
    assert hashlib.sha256(rows.tobytes()).hexdigest()[:16] == "118c34061877b42a"
    few = read_rows(order_of(shards, seed=7, unique=3_000), np.arange(300))
    assert (
        len(set(few[:187, 0].tolist())) == 187 and hashlib.sha256(few.tobytes()).hexdigest()[:16] == "32a19526dc928cbd"
    )


def test_a_sharded_corpus_has_the_windows_of_the_file_of_its_tokens(shards: ShardedTokens, tmp_path: Path) -> None:
    whole = tmp_path / "whole.shards"
    write_shards(whole, np.arange(10_000), 20_000 + np.arange(500), sizes=(10_000,))
    for blocks in (None, BlockOrder(256, 4)):
        read = [
            read_rows(WindowOrder(tokens, 0, 16, None, None, blocks), np.arange(624))
            for tokens in (shards, open_shards(whole))
        ]
        assert not np.array_equal(read[0], read[1]), "in the order of its own hash"
        assert set(map(bytes, read[0])) == set(map(bytes, read[1])) and len(set(map(bytes, read[0]))) == 624


def test_sizes_of_blocks_are_identity_and_refused_without_the_order() -> None:
    base = DataConfig(tokens="0" * 64, length=64)
    assert "order" not in base.identity and "block_tokens" not in base.identity
    in_blocks = DataConfig(tokens="0" * 64, length=64, order="blocks")
    assert in_blocks.identity == {**base.identity, "order": "blocks"}
    with pytest.raises(
        ConfigError, match=r"^DataConfig.block_tokens = 128 with order = 'random': used only by blocks$"
    ):
        DataConfig(tokens="0" * 64, length=64, block_tokens=128)
    with pytest.raises(ConfigError, match=r"^DataConfig.order = 'shuffled': must be one of random, blocks$"):
        DataConfig(tokens="0" * 64, length=64, order="shuffled")
    with pytest.raises(ConfigError, match=r"^DataConfig.block_tokens = 63: must be at least one window of 64 tokens$"):
        DataConfig(tokens="0" * 64, length=64, order="blocks", block_tokens=63)

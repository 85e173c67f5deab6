"""Batches: each is a function of its index alone, and each window is read once an epoch."""

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.data.shards.permutation import feistel_permutation
from scaling.data.token_writer import TokenSource, write_tokens
from scaling.data.tokens import CorpusError, TokenFile, open_tokens
from scaling.data.windows import check_token_file, count_windows, validation_windows, window_order
from tests.support.corpora import training_batch

LENGTH = 16


def make(folder: Path, train: int, validation: int, vocab: int = 1 << 20) -> TokenFile:
    """A file whose tokens say where they stand; validation counts on from 500,000."""
    parts = [np.arange(train)], [500_000 + np.arange(validation)]
    return open_tokens(write_tokens(folder, TokenSource("text:x", "t", vocab=vocab, eod=None), *parts))


@pytest.fixture
def tokens(tmp_path: Path) -> TokenFile:
    return make(tmp_path, train=1000, validation=333)  # 62 windows, 7 tokens over


@settings(max_examples=200, deadline=None)
@given(size=st.integers(1, 3000), key=st.binary(max_size=9))
def test_the_network_is_a_permutation(size: int, key: bytes) -> None:
    assert sorted(feistel_permutation(np.arange(size), size, key)) == list(range(size))


def test_the_network_is_a_permutation_at_every_small_size_and_about_every_power_of_two() -> None:
    for size in [*range(1, 70), *(2**p + d for p in range(7, 17) for d in (-1, 0, 1))]:
        out = feistel_permutation(np.arange(size), size, b"k")
        assert np.array_equal(np.sort(out), np.arange(size)), size


def test_the_network_stays_inside_sizes_that_no_table_would_hold() -> None:
    size = (1 << 40) + 12_345
    index = np.array([0, 1, size // 2, size - 1])
    out = feistel_permutation(index, size, b"big")
    assert out.min() >= 0 and out.max() < size and len(set(out.tolist())) == 4
    assert out.tolist() == [998819559419, 370102788402, 1049710925398, 176773300950]


def test_the_network_shuffles_and_each_key_differently() -> None:
    n = 4096
    orders = [feistel_permutation(np.arange(n), n, f"{k}".encode()) for k in range(40)]
    for out in orders:
        assert abs(np.corrcoef(np.arange(n), out)[0, 1]) < 5 / np.sqrt(n)
        assert np.sum(out == np.arange(n)) < 10  # fixed points of a random permutation: 1 on average
        assert np.sum(np.diff(out) == 1) < 10  # neighbours that stayed neighbours: 1 on average
    assert len({tuple(out[:8]) for out in orders}) == 40
    first = np.bincount([out[0] * 8 // n for out in orders], minlength=8)
    assert first.max() < 16, "where index 0 goes is spread out"


def test_golden_values_of_the_order(tokens: TokenFile) -> None:
    """A change here changes every run there ever was: make another function instead."""
    assert feistel_permutation(np.arange(10), 10, b"golden").tolist() == [3, 5, 2, 9, 6, 0, 4, 1, 7, 8]
    rows = np.arange(130)
    read = window_order(tokens, seed=7, length=LENGTH, rows=rows)
    assert tokens.content_hash[:16] == "2bfce12c50debc31"
    assert read[:8].tolist() == [7, 43, 49, 15, 6, 36, 0, 46]
    assert read[62:70].tolist() == [20, 8, 30, 16, 52, 47, 19, 58]
    digest = hashlib.sha256(training_batch(tokens, seed=7, size=8, length=LENGTH, index=9).tobytes()).hexdigest()
    assert digest[:16] == "2fc258ed1efd47a8"


def test_every_window_comes_exactly_once_an_epoch_and_each_epoch_in_its_own_order(tokens: TokenFile) -> None:
    count = count_windows(1000, LENGTH)
    assert count == 62
    read = window_order(tokens, seed=0, length=LENGTH, rows=np.arange(3 * count)).reshape(3, count)
    for epoch in read:
        assert sorted(epoch) == list(range(count))
    assert len({tuple(epoch) for epoch in read.tolist()}) == 3


def test_every_token_is_a_target_once_an_epoch(tokens: TokenFile) -> None:
    count = count_windows(1000, LENGTH)
    rows = np.concatenate([training_batch(tokens, seed=3, size=2, length=LENGTH, index=i) for i in range(count // 2)])
    assert Counter(rows[:, 1:].ravel().tolist()) == Counter(range(1, count * LENGTH + 1))
    assert 1000 - (count * LENGTH + 1) < LENGTH, "only the end, shorter than a window, is left over"
    np.testing.assert_array_equal(rows[:, 1:], rows[:, :-1] + 1)  # a window is unbroken text


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10), size=st.integers(1, 40), index=st.integers(0, 20))
def test_a_row_depends_on_its_place_in_the_run_and_not_on_the_batch_size(corpus: Path, seed, size, index) -> None:
    tokens = open_tokens(corpus)
    whole = training_batch(tokens, seed=seed, size=size, length=LENGTH, index=index)
    assert whole.shape == (size, LENGTH + 1) and whole.dtype == np.int32
    for j in {0, size // 2, size - 1}:
        alone = training_batch(tokens, seed=seed, size=1, length=LENGTH, index=index * size + j)
        np.testing.assert_array_equal(alone[0], whole[j])


def test_a_batch_that_spans_two_epochs_reads_the_end_of_one_and_the_start_of_the_next(tokens: TokenFile) -> None:
    rows = np.concatenate(
        [training_batch(tokens, seed=1, size=7, length=LENGTH, index=i) for i in range(18)]
    )  # 126 = 2·62 + 2
    ones = np.concatenate([training_batch(tokens, seed=1, size=1, length=LENGTH, index=i) for i in range(126)])
    np.testing.assert_array_equal(rows, ones)
    assert Counter(rows[:62, 0].tolist()) == Counter(rows[62:124, 0].tolist())


def test_seed_length_and_content_each_give_another_order(tokens: TokenFile, tmp_path: Path) -> None:
    def starts(tokens: TokenFile, seed: int = 0, length: int = LENGTH) -> list[int]:
        return window_order(tokens, seed=seed, length=length, rows=np.arange(30)).tolist()

    other = make(tmp_path / "other", train=1000, validation=334)
    everything = [starts(tokens), starts(tokens, seed=1), starts(tokens, length=LENGTH - 1), starts(other)]
    assert len({tuple(s) for s in everything}) == 4
    assert starts(open_tokens(tokens.path)) == everything[0], "and nothing else does"
    assert count_windows(1000, 150) == count_windows(1000, 166) and starts(tokens, length=150) != starts(
        tokens, length=166
    )


def test_validation_windows_are_fixed_spread_out_and_do_not_overlap(tokens: TokenFile) -> None:
    available = count_windows(333, LENGTH)
    assert available == 20
    for count in (1, 3, 7, 19, 20, 21, 1000):
        windows = validation_windows(tokens, length=LENGTH, sequences=count)
        assert windows.shape == (min(count, available), LENGTH + 1) and windows.dtype == np.int32
        starts = (windows[:, 0] - 500_000) // LENGTH
        assert np.all((windows[:, 0] - 500_000) % LENGTH == 0) and starts[0] == 0
        gaps = np.diff([*starts, available])
        assert gaps.min() >= 1 and gaps.max() - gaps.min() <= 1, "evenly spread"
        np.testing.assert_array_equal(windows[:, 1:], windows[:, :-1] + 1)
    assert validation_windows(tokens, length=LENGTH, sequences=5).min() >= 500_000, "never the training split"


@pytest.mark.parametrize(
    ("count", "length", "expected"), [(0, 4, 0), (1, 4, 0), (4, 4, 0), (5, 4, 1), (8, 4, 1), (9, 4, 2)]
)
def test_windows_are_counted_with_their_targets(count: int, length: int, expected: int) -> None:
    assert count_windows(count, length) == expected


def test_what_cannot_be_read_is_refused_in_one_line(tokens: TokenFile, tmp_path: Path) -> None:
    check_token_file(tokens, vocab=1 << 20, length=LENGTH)
    with pytest.raises(CorpusError, match=r"^model\.vocab = 1048575 is smaller than .*: set it to at least 1048576$"):
        check_token_file(tokens, vocab=(1 << 20) - 1, length=LENGTH)
    with pytest.raises(CorpusError, match=r"the validation split has 333 tokens, fewer than one window of 334$"):
        check_token_file(tokens, vocab=1 << 20, length=333)
    with pytest.raises(CorpusError, match=r"the train split has 1000 tokens, fewer than one window of 1001$"):
        check_token_file(tokens, vocab=1 << 20, length=1000)
    check_token_file(tokens, vocab=1 << 20, length=332)
    empty = make(tmp_path / "none", train=100, validation=0)
    with pytest.raises(CorpusError, match="the validation split has 0 tokens"):
        validation_windows(empty, length=LENGTH, sequences=4)


def test_a_run_of_few_unique_tokens_reads_those_alone_and_each_once_an_epoch(tokens: TokenFile) -> None:
    def read(unique: int | None, seed: int, rows: int) -> list[int]:
        return window_order(tokens, seed=seed, length=LENGTH, rows=np.arange(rows), unique=unique).tolist()

    ten = read(10 * LENGTH, 0, 30)
    assert all(sorted(ten[i : i + 10]) == sorted(ten[:10]) for i in (0, 10, 20)) and len(set(ten[:10])) == 10
    assert ten[:10] != ten[10:20] and max(ten) < 62
    assert set(ten) == set(read(10 * LENGTH, 1, 10)) and ten[:10] != read(10 * LENGTH, 1, 10)
    assert set(ten) < set(read(20 * LENGTH, 0, 20)) and set(ten) != set(range(10))
    assert sorted(read(62 * LENGTH, 0, 62)) == list(range(62))

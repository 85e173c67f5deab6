"""Corruption of windows for encoders: span corruption (T5) and masking (BERT).

The corruption of a row is a pure function of (key, number of the row).

Axes: S rows, L tokens of a window, n random numbers, k chosen positions, P spans.
"""

from __future__ import annotations

import hashlib

import numpy as np

from scaling.config.objective import WindowLayout
from scaling.data.shards.permutation import splitmix64

SPLITMIX64_INCREMENT = np.uint64(0x9E3779B97F4A7C15)  # Steele 2014
MASKED_SHARE, RANDOM_SHARE = 0.8, 0.1  # of the chosen tokens: masked, replaced (Devlin 2019, section 3.1)


def random_bits(key: str, rows_S: np.ndarray, count: int, stream: int) -> np.ndarray:
    """Draws random numbers of each row with SplitMix64, seeded by key, stream and row.

    Args:
        key: Names the data and the run.
        rows_S: Numbers of the rows.
        count: Random numbers per row.
        stream: Tells apart what a row draws for different purposes.

    Returns:
        Random bits, uint64 (S, n).
    """
    seed, increment = np.frombuffer(hashlib.sha256(f"{key} {stream}".encode()).digest()[:16], "<u8")
    state_S = splitmix64(splitmix64(rows_S.astype(np.uint64) ^ seed) ^ increment)
    return splitmix64(state_S[:, None] + (np.arange(1, count + 1, dtype=np.uint64) * SPLITMIX64_INCREMENT)[None])


def choose_positions(bits_Sn: np.ndarray, count: int) -> np.ndarray:
    """Chooses distinct positions of each row, every choice equally likely.

    Args:
        bits_Sn: Random numbers, one per position.
        count: Positions to choose.

    Returns:
        The positions in ascending order, (S, k).
    """
    return np.sort(np.argsort(bits_Sn, axis=1, kind="stable")[:, :count], axis=1)


def random_lengths(bits_Sn: np.ndarray, spans: int) -> np.ndarray:
    """Splits n + 1 tokens into spans of at least one token, every split equally likely.

    Args:
        bits_Sn: Random numbers, one per boundary between two tokens.
        spans: Number of spans, P.

    Returns:
        Lengths of the spans, (S, P).
    """
    rows, total = len(bits_Sn), bits_Sn.shape[1] + 1
    ends = np.zeros((rows, 1), np.int64), choose_positions(bits_Sn, spans - 1) + 1, np.full((rows, 1), total, np.int64)
    return np.diff(np.concatenate(ends, axis=1), axis=1)


def corrupt_spans(
    window_SL: np.ndarray, rows_S: np.ndarray, *, key: str, layout: WindowLayout, vocab: int
) -> np.ndarray:
    """Replaces random spans by sentinels (Raffel 2020, section 3.1.4).

    A window starts with intact tokens and ends with a span, as in the published code of the paper.

    Args:
        window_SL: Windows of tokens.
        rows_S: Numbers of the rows.
        key: Names the data and the run.
        layout: Sizes of inputs, targets and spans.
        vocab: Vocabulary size; the sentinels are vocab - 1, vocab - 2 and so on.

    Returns:
        Inputs and targets next to each other, int32 (S, columns).
    """
    (rows, length), spans = window_SL.shape, layout.spans
    hidden = layout.outputs - spans - 1
    intact_SP = random_lengths(random_bits(key, rows_S, length - hidden - 1, 0), spans)
    cut_SP = random_lengths(random_bits(key, rows_S, hidden - 1, 1), spans)
    lengths = np.stack([intact_SP, cut_SP], axis=2)  # intact, cut, intact, cut ...
    segment_SL = np.repeat(np.tile(np.arange(2 * spans), rows), lengths.ravel()).reshape(rows, length)
    is_cut_SL = segment_SL % 2 == 1
    is_first_SL = is_cut_SL & (np.diff(segment_SL, axis=1, prepend=0) == 1)
    sentinel_SL = vocab - 1 - segment_SL // 2
    inputs = np.where(is_cut_SL, sentinel_SL, window_SL)[~is_cut_SL | is_first_SL].reshape(rows, layout.inputs)
    pairs = np.stack([sentinel_SL, window_SL], axis=2)  # before each cut token the sentinel of its span
    targets = pairs[np.stack([is_first_SL, is_cut_SL], axis=2)].reshape(rows, -1)
    last_sentinel = np.full((rows, 1), vocab - 1 - spans)
    return np.concatenate([inputs, targets, last_sentinel], axis=1).astype(np.int32)


def mask_tokens(
    window_SL: np.ndarray, rows_S: np.ndarray, *, key: str, layout: WindowLayout, vocab: int, text_vocab: int
) -> np.ndarray:
    """Masks random tokens (Devlin 2019, section 3.1): 80% become the mask, 10% a random token, 10% stay.

    Args:
        window_SL: Windows of tokens.
        rows_S: Numbers of the rows.
        key: Names the data and the run.
        layout: Sizes of inputs and targets.
        vocab: Vocabulary size; the mask is vocab - 1.
        text_vocab: Tokens that stand for text, from which random tokens are drawn.

    Returns:
        Inputs, positions to predict and the tokens there, int32 (S, columns).
    """
    positions_Sk = choose_positions(random_bits(key, rows_S, window_SL.shape[1], 0), layout.scored)
    targets_Sk = np.take_along_axis(window_SL, positions_Sk, axis=1)
    uniform_Sk = (random_bits(key, rows_S, layout.scored, 1) >> np.uint64(11)) * 2.0**-53
    random_Sk = (random_bits(key, rows_S, layout.scored, 2) >> np.uint64(32)) * np.uint64(text_vocab) >> np.uint64(32)
    input_Sk = np.where(uniform_Sk < MASKED_SHARE + RANDOM_SHARE, random_Sk.astype(np.int64), targets_Sk)
    input_Sk = np.where(uniform_Sk < MASKED_SHARE, vocab - 1, input_Sk)
    inputs_SL = window_SL.astype(np.int64)
    np.put_along_axis(inputs_SL, positions_Sk, input_Sk, axis=1)
    return np.concatenate([inputs_SL, positions_Sk, targets_Sk], axis=1).astype(np.int32)

"""Windows to what encoders are trained on. The corruption of a row is a pure function of (key, number of the row).

Axes: S windows, L tokens of one, n draws, k chosen of them, P spans.
"""

from __future__ import annotations

import hashlib

import numpy as np

from scaling.config.objective import Parts
from scaling.data.windows import mix

GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # SplitMix64's step (Steele 2014)
MASKED, RANDOM = 0.8, 0.1  # shares of the chosen tokens: masked, and replaced by any token (Devlin 2019, section 3.1)


def draws(key: str, rows_S: np.ndarray, count: int, stream: int) -> np.ndarray:
    """Random uint64 (S, n) of each row of a stream: SplitMix64 from a start that key, stream and row name."""
    start, by = np.frombuffer(hashlib.sha256(f"{key} {stream}".encode()).digest()[:16], "<u8")
    begun_S = mix(mix(rows_S.astype(np.uint64) ^ start) ^ by)
    return mix(begun_S[:, None] + (np.arange(1, count + 1, dtype=np.uint64) * GOLDEN)[None])


def chosen(draws_Sn: np.ndarray, count: int) -> np.ndarray:
    """`count` different places of each row in order, every choice as likely as any other, (S, k)."""
    return np.sort(np.argsort(draws_Sn, axis=1, kind="stable")[:, :count], axis=1)


def lengths(draws_Sn: np.ndarray, spans: int) -> np.ndarray:
    """n + 1 tokens cut into spans of one or more, every cut as likely as any other: (S, P)."""
    rows, total = len(draws_Sn), draws_Sn.shape[1] + 1
    ends = np.zeros((rows, 1), np.int64), chosen(draws_Sn, spans - 1) + 1, np.full((rows, 1), total, np.int64)
    return np.diff(np.concatenate(ends, axis=1), axis=1)


def spans_cut(window_SL: np.ndarray, rows_S: np.ndarray, *, key: str, parts: Parts, vocab: int) -> np.ndarray:
    """Inputs and targets side by side, int32 (S, columns); sentinels are vocab - 1, vocab - 2 and so on.

    A window starts with kept tokens and ends with a span (as Raffel 2020's published code has it).
    """
    (rows, length), spans = window_SL.shape, parts.spans
    hidden = parts.outputs - spans - 1
    kept_SP = lengths(draws(key, rows_S, length - hidden - 1, 0), spans)
    cut_SP = lengths(draws(key, rows_S, hidden - 1, 1), spans)
    turns = np.stack([kept_SP, cut_SP], axis=2)  # kept, cut, kept, cut ...
    turn_SL = np.repeat(np.tile(np.arange(2 * spans), rows), turns.ravel()).reshape(rows, length)
    is_cut_SL = turn_SL % 2 == 1
    first_SL = is_cut_SL & (np.diff(turn_SL, axis=1, prepend=0) == 1)
    sentinel_SL = vocab - 1 - turn_SL // 2
    inputs = np.where(is_cut_SL, sentinel_SL, window_SL)[~is_cut_SL | first_SL].reshape(rows, parts.inputs)
    both = np.stack([sentinel_SL, window_SL], axis=2)[np.stack([first_SL, is_cut_SL], axis=2)]
    last = np.full((rows, 1), vocab - 1 - spans)
    return np.concatenate([inputs, both.reshape(rows, -1), last], axis=1).astype(np.int32)


def masked(window_SL: np.ndarray, rows_S: np.ndarray, *, key: str, parts: Parts, vocab: int, known: int) -> np.ndarray:
    """Inputs, the places to be told and the tokens there, int32 (S, columns); the mask is vocab - 1.

    known: tokens of the text, one of which stands at a place that is neither masked nor kept.
    """
    places_Sk = chosen(draws(key, rows_S, window_SL.shape[1], 0), parts.scored)
    right_Sk = np.take_along_axis(window_SL, places_Sk, axis=1)
    fate_Sk = (draws(key, rows_S, parts.scored, 1) >> np.uint64(11)) * 2.0**-53
    any_Sk = ((draws(key, rows_S, parts.scored, 2) >> np.uint64(32)) * np.uint64(known)) >> np.uint64(32)
    said_Sk = np.where(fate_Sk < MASKED + RANDOM, any_Sk.astype(np.int64), right_Sk)
    said_Sk = np.where(fate_Sk < MASKED, vocab - 1, said_Sk)
    inputs_SL = window_SL.astype(np.int64)
    np.put_along_axis(inputs_SL, places_Sk, said_Sk, axis=1)
    return np.concatenate([inputs_SL, places_Sk, right_Sk], axis=1).astype(np.int32)

"""Span corruption and masking: inputs and targets together are the window, and nothing else."""

import math
from pathlib import Path

import numpy as np
import pytest

from scaling.config.objective import window_layout
from scaling.data import corruption
from scaling.data.tokens import TokenFile, open_tokens
from scaling.data.windows import training_windows


@pytest.fixture
def tokens(corpus: Path) -> TokenFile:
    return open_tokens(corpus)


def windows(tokens: TokenFile, rows: np.ndarray, length: int, seed: int = 0) -> np.ndarray:
    return training_windows(tokens, seed=seed, length=length, rows=rows)[:, :-1]


def reconstructed(row: np.ndarray, inputs: int, text: int) -> list[int]:
    """The window again: each sentinel of the inputs replaced by what follows it in the targets."""
    read, targets = row[:inputs].tolist(), row[inputs:].tolist()
    spans: dict[int, list[int]] = {}
    for token in targets:
        if token >= text:
            assert token not in spans, "a sentinel twice"
            spans[token] = []
        else:
            spans[next(reversed(spans))].append(token)
    sentinels = [token for token in read if token >= text]
    assert list(spans)[:-1] == sentinels and not spans[targets[-1]]
    assert all(spans[sentinel] for sentinel in sentinels), "an empty span"
    return [t for token in read for t in (spans[token] if token >= text else [token])]


@pytest.mark.parametrize(
    ("length", "share", "mean"), [(32, 0.15, 3.0), (512, 0.15, 3.0), (100, 0.5, 1.5), (7, 0.3, 9.0)]
)
def test_inputs_and_targets_are_the_window_every_token_once(
    tokens: TokenFile, length: int, share: float, mean: float
) -> None:
    layout, rows = window_layout("span", length, share, mean), np.arange(40)
    window = windows(tokens, rows, length)
    vocab = tokens.vocab + layout.specials
    rows_BC = corruption.corrupt_spans(window, rows, key="k", layout=layout, vocab=vocab)
    assert rows_BC.shape == (40, layout.columns) and layout.inputs + layout.outputs == layout.columns
    for row, read in zip(rows_BC, window, strict=True):
        assert reconstructed(row, layout.inputs, tokens.vocab) == read.tolist()
    assert rows_BC.max() == vocab - 1 and layout.scored == layout.outputs
    hidden = layout.outputs - layout.spans - 1
    assert hidden == round(share * length) and layout.spans == max(1, round(hidden / mean))
    assert (rows_BC != vocab - layout.specials).all()  # the decoder's start is no sentinel


def test_every_place_is_as_likely_to_be_cut_out(tokens: TokenFile) -> None:
    """But the first, which is always kept, and the last, which never is; places near them come between."""
    length, rows = 64, np.arange(4000)
    layout = window_layout("span", length, 0.25, 4.0)
    marks = np.tile(np.arange(length), (len(rows), 1))
    rows_BC = corruption.corrupt_spans(marks, rows, key="k", layout=layout, vocab=1000)
    remaining = rows_BC[:, : layout.inputs]
    cut = 1 - np.bincount(remaining[remaining < length], minlength=length) / len(rows)
    assert cut[0] == 0 and cut[-1] == 1
    assert abs(cut.mean() - 0.25) < 1e-12
    assert np.abs(cut[10:40] - cut[10:40].mean()).max() < 4 * math.sqrt(0.25 * 0.75 / len(rows))


def test_the_masked_are_as_many_as_asked_and_treated_as_asked(tokens: TokenFile) -> None:
    length, rows = 100, np.arange(4000)
    layout, text = window_layout("masked", length, 0.15, 3.0), tokens.vocab
    window = windows(tokens, rows, length)
    rows_BC = corruption.mask_tokens(window, rows, key="k", layout=layout, vocab=text + 1, text_vocab=text)
    read, places, right = np.split(rows_BC, [length, length + layout.scored], axis=1)
    assert layout.scored == 15 and (np.diff(places, axis=1) > 0).all() and places.min() == 0 and places.max() == 99
    np.testing.assert_array_equal(np.take_along_axis(window, places, 1), right)
    elsewhere = np.ones_like(window, bool)
    np.put_along_axis(elsewhere, places, False, axis=1)
    np.testing.assert_array_equal(read[elsewhere], window[elsewhere])
    output, n = np.take_along_axis(read, places, 1), places.size
    likely = 4 * np.sqrt(np.array([0.8 * 0.2, 0.1 * 0.9, 0.1 * 0.9]) / n)
    mask, same = np.mean(output == text), np.mean(output == right)
    result = np.array([mask, 1 - mask - same, same])
    assert (np.abs(result - [0.8, 0.1, 0.1]) < likely + 0.1 / text).all()  # a random token may be the right one
    counts = np.bincount(output[(output != text) & (output != right)], minlength=text)
    assert counts.min() > 0 and abs(np.bincount(places.ravel(), minlength=length) / len(rows) - 0.15).max() < 0.025

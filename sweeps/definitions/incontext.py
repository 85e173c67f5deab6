"""Sizes on questions that can only be answered from the examples before them: the score over shots.

Its default size has not been timed. `python -m analysis emergence STORE` draws the score over shots.
"""

from __future__ import annotations

import dataclasses

from scaling.config import EvalConfig, RunConfig
from sweeps import rules
from sweeps.corpus import Corpus

CORPUS = "mix:regression:1=0.6,addition:1-2=0.2,recall:1-6=0.2,tokens=8000000"
LENGTH = 128  # six questions and their answers fit
WIDTHS = (16, 32, 64)
TOKENS = 6e6
HELD_OUT = 512  # windows
TASKS = ("regression-1", "addition-1")
SHOTS = (0, 1, 2, 3, 4, 6)
ITEMS = 300


def in_context(
    corpus: Corpus, *, seed: int = 0, widths: tuple[int, ...] = WIDTHS, tokens: float = TOKENS
) -> list[RunConfig]:
    """Sizes on linear functions given by their values: does the score grow with the shots?"""
    runs = []
    for width in widths:
        run = rules.run(
            width, corpus, length=LENGTH, steps=round(tokens / (rules.batch(LENGTH) * LENGTH)), budget=None, seed=seed
        )
        runs.append(dataclasses.replace(run, eval=EvalConfig(sequences=HELD_OUT)))
    return runs

"""Sizes × lengths on questions that can only be answered from the examples before them: the score over shots.

What a letter's class is called is another in each question (labelling-4): without an example the right name is one of
four, and an example helps where it is of the asked letter's class.
"""

from __future__ import annotations

import dataclasses

from scaling.config import EvalConfig, RunConfig
from sweeps import rules
from sweeps.corpus import Corpus

CORPUS = "mix:labelling:4=0.9,addition:1=0.1,tokens=8000000"
LENGTH = 64
WIDTHS = (16, 32, 64)
TOKENS = 6e6
HELD_OUT = 512  # windows
TASKS = ("labelling-4", "addition-1")
SHOTS = (0, 1, 2, 4, 6, 8)
ITEMS = 300


def in_context(
    corpus: Corpus, *, seed: int = 0, widths: tuple[int, ...] = WIDTHS, tokens: float = TOKENS
) -> list[RunConfig]:
    """Sizes on classes whose names are given by examples alone: does the score grow with the shots?"""
    runs = []
    for width in widths:
        run = rules.run(
            width, corpus, length=LENGTH, steps=round(tokens / (rules.batch(LENGTH) * LENGTH)), budget=None, seed=seed
        )
        runs.append(dataclasses.replace(run, eval=EvalConfig(sequences=HELD_OUT)))
    return runs

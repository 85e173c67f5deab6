"""Sizes on letters that have another name in each question: the score over shots.

A name that was not shown can only be guessed, so what grows with the shots is learned in context. Seen, in 22 minutes
of CPU time: nothing up to width 32, 0.46 of the answers right after eight examples at 48, 0.61 to 0.64 at 64 and 80.
"""

from __future__ import annotations

import dataclasses

from scaling.config.run import EvalConfig, RunConfig
from sweeps.planning import rules
from sweeps.planning.corpus import Corpus

CORPUS = "mix:labelling:2-6=1.0,tokens=11000000"
LENGTH = 64
WIDTHS = (8, 16, 24, 32, 48, 64, 80)
TOKENS = 1e7
HELD_OUT = 512  # windows
TASKS = ("labelling-4",)
SHOTS = (0, 1, 2, 4, 6, 8)
ITEMS = 300


def in_context(
    corpus: Corpus, *, seed: int = 0, widths: tuple[int, ...] = WIDTHS, tokens: float = TOKENS
) -> list[RunConfig]:
    """Sizes on letters whose names are given by examples alone: does the score grow with the shots?"""
    runs = []
    for width in widths:
        run = rules.run(
            width, corpus, length=LENGTH, steps=round(tokens / (rules.batch(LENGTH) * LENGTH)), budget=None, seed=seed
        )
        runs.append(dataclasses.replace(run, eval=EvalConfig(sequences=HELD_OUT)))
    return runs

"""Sizes × lengths on tasks mixed with text: do abilities emerge abruptly as models grow?

Expected: 7.8e12 FLOPs, 11 min 34 s of CPU time. Observed: sums of two digits are right 0 to 8% of the time in all runs
but the largest, and 94% there, while the log-probability of their digits rises steadily: the jump is an artefact of the
metric. The same holds for copying three letters; sorting jumps under both metrics.
"""

from __future__ import annotations

import dataclasses

from scaling.config.run import EvalConfig, RunConfig
from sweeps.planning import rules
from sweeps.planning.corpus import Corpus

CORPUS = "mix:addition:1-3=0.6,sorting:2-5=0.1,copying:1-6=0.1,recall:1-4=0.1,cpython=0.1,tokens=6000000"
LENGTH = 64
WIDTHS = (8, 16, 24, 32, 48, 64)
TOKENS = (5e5, 1e6, 2e6, 4e6)
VALIDATION_SEQUENCES = 512
TASKS = ("addition-2", "addition-3", "sorting-3", "sorting-5", "copying-3", "copying-6", "recall-4")
ITEMS = 200


def emergence(
    corpus: Corpus, *, seed: int = 0, widths: tuple[int, ...] = WIDTHS, tokens: tuple[float, ...] = TOKENS
) -> list[RunConfig]:
    """Emergence on a mixture of tasks: sizes × lengths; minutes on two CPU cores.

    Args:
        corpus: The corpus.
        seed: Seed of every run.
        widths: Widths of the models.
        tokens: Training tokens.
    """
    runs = []
    for width in widths:
        for length in tokens:
            steps = round(length / (rules.batch_sequences(LENGTH) * LENGTH))
            run = rules.run_at_width(width, corpus, length=LENGTH, steps=steps, budget=None, seed=seed)
            runs.append(dataclasses.replace(run, eval=EvalConfig(sequences=VALIDATION_SEQUENCES)))
    return runs

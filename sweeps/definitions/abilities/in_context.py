"""In-context learning: letters whose labels differ in each question, scored over the number of shots.

A label that is not shown can only be guessed, so that any increase with the shots is learned in context. Observed, in
22 minutes of CPU time: no increase up to width 32; 0.46 of the answers right after eight examples at 48, 0.61 to 0.64
at 64 and 80.
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
VALIDATION_SEQUENCES = 512
TASKS = ("labelling-4",)
SHOTS = (0, 1, 2, 4, 6, 8)
ITEMS = 300


def in_context(
    corpus: Corpus, *, seed: int = 0, widths: tuple[int, ...] = WIDTHS, tokens: float = TOKENS
) -> list[RunConfig]:
    """In-context learning of labels: sizes, scored over the number of shots.

    Args:
        corpus: The corpus.
        seed: Seed of every run.
        widths: Widths of the models.
        tokens: Training tokens.
    """
    runs = []
    for width in widths:
        run = rules.run_at_width(
            width,
            corpus,
            length=LENGTH,
            steps=round(tokens / (rules.batch_sequences(LENGTH) * LENGTH)),
            budget=None,
            seed=seed,
        )
        runs.append(dataclasses.replace(run, eval=EvalConfig(sequences=VALIDATION_SEQUENCES)))
    return runs

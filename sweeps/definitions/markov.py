"""Sizes × tokens on a Markov chain of known entropy rate, which the fitted E must recover.

Expected: about 5e12 FLOPs with shared prefixes, four minutes on two CPU cores.
"""

from __future__ import annotations

import dataclasses

from scaling.config.run import EvalConfig, RunConfig
from sweeps.planning import rules
from sweeps.planning.corpus import Corpus

CORPUS = "markov:order=1,vocab=256,tokens=20000000,seed=0"
LENGTH = 64
WIDTHS = (8, 16, 24, 32, 40)  # well below the vocabulary, so that no model reaches the entropy rate
TOKENS = (6e5, 1.2e6, 2.4e6, 4.8e6)
VALIDATION_SEQUENCES = 8192  # their sampling moves E by about 0.002 nats


def markov(corpus: Corpus, *, seed: int = 0) -> list[RunConfig]:
    """Sizes × tokens on a Markov chain of known entropy: 5 sizes × 4 lengths, some minutes on two CPU cores.

    Args:
        corpus: The corpus.
        seed: Seed of every run.
    """
    runs = []
    for width in WIDTHS:
        for tokens in TOKENS:
            steps = round(tokens / (rules.batch_sequences(LENGTH) * LENGTH))
            run = rules.run_at_width(width, corpus, length=LENGTH, steps=steps, budget=None, seed=seed)
            runs.append(dataclasses.replace(run, eval=EvalConfig(sequences=VALIDATION_SEQUENCES)))
    return runs

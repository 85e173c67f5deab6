"""Sizes × tokens on a Markov chain, whose entropy rate is known: the fitted E must find it.

Expected: some 5e12 FLOPs with shared prefixes, four minutes on two CPU cores.
"""

from __future__ import annotations

import dataclasses

from scaling.config.run import EvalConfig, RunConfig
from sweeps.planning import rules
from sweeps.planning.corpus import Corpus

CORPUS = "markov:order=1,vocab=256,tokens=20000000,seed=0"
LENGTH = 64
WIDTHS = (8, 16, 24, 32, 40)  # well below the vocabulary: each has something left to learn
TOKENS = (6e5, 1.2e6, 2.4e6, 4.8e6)
HELD_OUT = 8192  # windows: sampling them moves E by some 0.002 nats


def markov(corpus: Corpus, *, seed: int = 0) -> list[RunConfig]:
    """Sizes × tokens on a Markov chain of known entropy: 5 sizes × 4 lengths, some minutes on two CPU cores."""
    runs = []
    for width in WIDTHS:
        for tokens in TOKENS:
            steps = round(tokens / (rules.batch(LENGTH) * LENGTH))
            run = rules.run(width, corpus, length=LENGTH, steps=steps, budget=None, seed=seed)
            runs.append(dataclasses.replace(run, eval=EvalConfig(sequences=HELD_OUT)))
    return runs

"""Sizes × lengths on tasks among text: which abilities seem to jump as models grow, and do they?

Expected: 7.8e12 FLOPs, 11 min 34 s of CPU time in all. Seen: sums of two digits right 0 to 8% of the time up to the
largest model's last length, then 94%, while the log-probability of their digits had risen all the way: the verdict is
an artefact of the metric. Copying three letters likewise; sorting jumps under both metrics.
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
HELD_OUT = 512  # windows
TASKS = ("addition-2", "addition-3", "sorting-3", "sorting-5", "copying-3", "copying-6", "recall-4")
ITEMS = 200


def emergence(
    corpus: Corpus, *, seed: int = 0, widths: tuple[int, ...] = WIDTHS, tokens: tuple[float, ...] = TOKENS
) -> list[RunConfig]:
    """Sizes × lengths on a mixture of tasks: which abilities jump, and under which metric? Minutes on two CPU cores."""
    runs = []
    for width in widths:
        for length in tokens:
            steps = round(length / (rules.batch(LENGTH) * LENGTH))
            run = rules.run(width, corpus, length=LENGTH, steps=steps, budget=None, seed=seed)
            runs.append(dataclasses.replace(run, eval=EvalConfig(sequences=HELD_OUT)))
    return runs

"""Data-constrained grid (Muennighoff 2023, section 4): so many unique tokens, read so many times.

`unique` of 1 or less are shares of the text, others tokens. The epochs of one amount of text are one trunk with
branches. Held-out text is the same for all.
"""

from __future__ import annotations

import dataclasses

from scaling.config.run import RunConfig
from sweeps.errors import SweepError
from sweeps.planning import rules
from sweeps.planning.budget import steps_reading
from sweeps.planning.corpus import Corpus
from sweeps.planning.rules import TPU, Rules


def epochs(
    corpus: Corpus,
    *,
    seed: int = 0,
    by: Rules = TPU,
    widths: tuple[int, ...] = (256, 512, 768),
    unique: tuple[float, ...] = (0.05, 0.2),
    times: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 16.0, 44.0),
) -> list[RunConfig]:
    """Repeated data (Muennighoff 2023): sizes × unique tokens × epochs up to 44."""
    runs = []
    for asked in unique:
        windows = int(asked * corpus.train if asked <= 1 else asked) // by.length
        if not 0 < windows * by.length < corpus.train:
            raise SweepError(
                f"--set unique={asked:g}: {corpus.name} has {corpus.train:,} training tokens: "
                f"take less than that and at least one window of {by.length}, or a longer text"
            )
        for width in widths:
            of = rules.model(width, corpus.vocab, by)
            for time in times:
                steps = steps_reading(of, time * windows * by.length, by)
                run = rules.run(width, corpus, length=by.length, steps=steps, budget=None, seed=seed, by=by)
                runs.append(dataclasses.replace(run, data=dataclasses.replace(run.data, unique=windows * by.length)))
    return runs

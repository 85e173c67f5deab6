"""Data-constrained grid (Muennighoff 2023, section 4): numbers of unique tokens × numbers of epochs.

The runs of one size and amount of text are branches of one trunk. The validation text is the same for all.
"""

from __future__ import annotations

import dataclasses

from scaling.config.run import RunConfig
from sweeps.errors import SweepError
from sweeps.planning import rules
from sweeps.planning.budget import steps_for_tokens
from sweeps.planning.corpus import Corpus
from sweeps.planning.rules import TPU, Rules


def epochs(
    corpus: Corpus,
    *,
    seed: int = 0,
    rule_set: Rules = TPU,
    widths: tuple[int, ...] = (256, 512, 768),
    unique: tuple[float, ...] = (0.05, 0.2),
    times: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 16.0, 44.0),
) -> list[RunConfig]:
    """Repeated data (Muennighoff 2023): sizes × unique tokens × epochs up to 44.

    Args:
        corpus: The corpus.
        seed: Seed of every run.
        rule_set: The rules.
        widths: Widths of the models.
        unique: Unique tokens; values of 1 or less are shares of the training text.
        times: Epochs.
    """
    runs = []
    for amount in unique:
        windows = int(amount * corpus.train if amount <= 1 else amount) // rule_set.length
        if not 0 < windows * rule_set.length < corpus.train:
            raise SweepError(
                f"--set unique={amount:g}: {corpus.name} has {corpus.train:,} training tokens: "
                f"take less than that and at least one window of {rule_set.length}, or a longer text"
            )
        for width in widths:
            model = rules.model_at_width(width, corpus.vocab, rule_set)
            for time in times:
                steps = steps_for_tokens(model, time * windows * rule_set.length, rule_set)
                run = rules.run_at_width(
                    width, corpus, length=rule_set.length, steps=steps, budget=None, seed=seed, rule_set=rule_set
                )
                runs.append(
                    dataclasses.replace(run, data=dataclasses.replace(run.data, unique=windows * rule_set.length))
                )
    return runs

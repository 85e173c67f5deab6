"""What must be known of a size before a grid is trusted: its best rate, its best batch, the noise between seeds."""

from __future__ import annotations

import dataclasses
import math

from scaling.config.run import RunConfig
from sweeps.planning import rules
from sweeps.planning.budget import size, steps_reading
from sweeps.planning.corpus import Corpus
from sweeps.planning.rules import TPU, Rules

WIDTHS = (256, 384, 512, 768)
FACTORS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


def lr_bracket(
    corpus: Corpus,
    *,
    seed: int = 0,
    by: Rules = TPU,
    widths: tuple[int, ...] = WIDTHS,
    factors: tuple[float, ...] = FACTORS,
    ratio: float = 20.0,
) -> list[RunConfig]:
    """Learning rates about the rule's, per size: each one's best (`analysis figure transfer`)."""
    runs = []
    for run in bases(corpus, widths, ratio, seed, by):
        for factor in factors:
            lr = float(f"{run.optimizer.lr * factor:.3g}")
            runs.append(dataclasses.replace(run, optimizer=dataclasses.replace(run.optimizer, lr=lr)))
    return runs


def batch_bracket(
    corpus: Corpus,
    *,
    seed: int = 0,
    by: Rules = TPU,
    widths: tuple[int, ...] = WIDTHS,
    factors: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0, 4.0),
    ratio: float = 20.0,
) -> list[RunConfig]:
    """Batches about the rule's, per size, at equal tokens; the rate follows the root of the batch."""
    return [
        with_batch(run, round(run.batch * factor))
        for run in bases(corpus, widths, ratio, seed, by)
        for factor in factors
        if run.batch * factor >= 1
    ]


def seeds(
    corpus: Corpus,
    *,
    seed: int = 0,
    by: Rules = TPU,
    widths: tuple[int, ...] = WIDTHS,
    count: int = 5,
    ratio: float = 20.0,
) -> list[RunConfig]:
    """The same runs under several seeds: the noise that a fit's weights want."""
    return [
        dataclasses.replace(run, seed=seed * count + i)
        for run in bases(corpus, widths, ratio, seed, by)
        for i in range(count)
    ]


def bases(corpus: Corpus, widths: tuple[int, ...], ratio: float, seed: int, by: Rules) -> list[RunConfig]:
    """A run by the rules of each width, reading `ratio` tokens a parameter."""
    return [
        rules.run(
            width,
            corpus,
            length=by.length,
            steps=steps_reading(rules.model(width, corpus.vocab, by), ratio * size(width, corpus, by), by),
            budget=None,
            seed=seed,
            by=by,
        )
        for width in widths
    ]


def with_batch(run: RunConfig, batch: int) -> RunConfig:
    """The run at another batch: as many tokens and tokens of warm-up, the rate times the root of the batch's ratio
    (Malladi 2022, square root rule of adaptive optimisers)."""
    ratio = batch / run.batch
    lr = float(f"{run.optimizer.lr * math.sqrt(ratio):.3g}")
    return dataclasses.replace(
        run,
        batch=batch,
        steps=max(1, round(run.steps / ratio)),
        optimizer=dataclasses.replace(run.optimizer, lr=lr),
        schedule=dataclasses.replace(run.schedule, warmup=max(1, round(run.schedule.warmup / ratio))),
    )
